"""Is what lies in the cache what it should be? Judged without asking the hub; repaired by fetching what is wrong.

Checking is in two depths. Sizes, safetensors headers and shard indexes take milliseconds and find what is missing, cut
or exchanged; only hashing everything (`deep`) finds a flipped bit.
"""

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from wanvideo.errors import DownloadNotFound, ModelCorrupt, ModelIncomplete
from wanvideo.weights.download.cache import RepositoryCache, paths_of, repository, size
from wanvideo.weights.download.control import Control
from wanvideo.weights.download.disk import Disk
from wanvideo.weights.download.events import DownloadEvent
from wanvideo.weights.download.hashing import digest_of
from wanvideo.weights.download.hub import Hub, HubFile, by_repository, expand, is_digest, matches
from wanvideo.weights.download.plan import plan_download
from wanvideo.weights.download.record import Record, newest_record, note_verified, read_record
from wanvideo.weights.download.run import download
from wanvideo.weights.download.transfer import Options
from wanvideo.weights.headers import read_header, read_index
from wanvideo.weights.variants import RemoteFiles

Watch = Callable[[Path, int], None]  # called with a file and the bytes of it that were just hashed

_INDEX: Final = ".safetensors.index.json"


class Health(StrEnum):
    """Of a set of files."""

    MISSING = "missing"  # nothing is here
    INCOMPLETE = "incomplete"  # some files are not here, or not in full
    CORRUPT = "corrupt"  # a file is not what it should be
    OUTDATED = "outdated"  # whole, and the hub has a newer commit
    PRESENT = "present"  # whole to all appearances, and its content was never compared with the hub's hashes
    READY = "ready"  # whole, and every file was hashed since it was last changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with one file."""

    path: Path
    problem: str
    file: HubFile | None = None  # None: nobody knows what it should be
    missing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found."""

    health: Health
    faults: tuple[Fault, ...]
    commits: Mapping[str, str]  # repository -> commit that was looked at
    nbytes: int  # of the files that are here
    files: int

    def __str__(self) -> str:
        return self.health + "".join(f"\n  {fault.path}: {fault.problem}" for fault in self.faults)


def check(
    wanted: Sequence[RemoteFiles],
    cache: Path,
    *,
    deep: bool = False,
    latest: Mapping[str, str] | None = None,
    watch: Watch = lambda _path, _nbytes: None,
    disk: Disk | None = None,
) -> Report:
    """Look at the files that are here; `latest` says which commit the hub has of a repository, where that is known.

    Raises OSError only for a disk that fails.
    """
    sets = [_find(repository(cache, repo_id), patterns) for repo_id, patterns in by_repository(wanted).items()]
    looks = [look for found in sets for look in _look_at(found, deep, watch, disk or Disk())]
    commits = {found.where.repo_id: found.commit for found in sets if found.commit}
    outdated = latest is not None and any(latest.get(repo_id, commit) != commit for repo_id, commit in commits.items())
    return Report(
        health=_verdict(looks, outdated=outdated),
        faults=tuple(look.fault for look in looks if look.fault is not None),
        commits=commits,
        nbytes=sum(size(look.path) or 0 for look in looks),
        files=sum(size(look.path) is not None for look in looks),
    )


def repair(
    wanted: Sequence[RemoteFiles],
    report: Report,
    hub: Hub,
    cache: Path,
    *,
    control: Control | None = None,
    options: Options | None = None,
    disk: Disk | None = None,
) -> Generator[DownloadEvent, None, None]:
    """Fetch what the report found damaged or missing, of the same commit, and nothing else.

    Raises DownloadError, and Cancelled.
    """
    discard(report)
    patience = options.patience if options else None
    for repo_id, patterns in by_repository(wanted).items():
        files = [RemoteFiles(repo_id=repo_id, paths=patterns)]
        revision = report.commits.get(repo_id, "main")
        plan = plan_download(files, hub, cache, revision=revision, patience=patience)
        yield from download(plan, control=control, options=options, disk=disk, title=repo_id)


def discard(report: Report) -> None:
    """Delete what is damaged, so that a download fetches it again."""
    for fault in report.faults:
        if not fault.missing:
            _unlink_content(fault)


# --- which files there should be -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Set:
    """The files of one repository that are wanted."""

    where: RepositoryCache
    commit: str  # "": nothing was ever here
    record: Record | None
    expected: Mapping[str, HubFile | None]  # by path; None where nobody recorded what it is
    lacking: tuple[str, ...] = ()  # patterns that nothing matches


def _find(where: RepositoryCache, patterns: Sequence[str]) -> _Set:
    """By what we recorded when we downloaded; else by what another program put there."""
    main = where.commit_of("main")
    record = (read_record(where, main) if main else None) or (None if main else newest_record(where))
    if record is None:
        return _found_only(where, main or next(reversed(where.commits()), ""), patterns)
    expected: dict[str, HubFile | None] = {}
    lacking: list[str] = []
    for pattern in patterns:
        try:
            expected |= {file.path: file for file in expand([pattern], record.listing)}
        except DownloadNotFound:
            lacking.append(pattern)
    return _Set(where=where, commit=record.commit, record=record, expected=expected, lacking=tuple(lacking))


def _found_only(where: RepositoryCache, commit: str, patterns: Sequence[str]) -> _Set:
    """What is there, and the shards that its indexes name. A blob is named by its hash, so even that is known."""
    there = paths_of(where, commit)
    names = [name for pattern in patterns for name in there if matches(name, pattern)]
    for index in [name for name in names if name.endswith(_INDEX)]:
        names += [str(Path(index).parent / shard) for shard in _shards(where.snapshot(commit) / index)]
    return _Set(
        where=where,
        commit=commit,
        record=None,
        expected={name: _named_by_its_blob(where, commit, name) for name in names},
        lacking=tuple(pattern for pattern in patterns if not any(matches(name, pattern) for name in there)),
    )


def _shards(index: Path) -> set[str]:
    try:
        return set(read_index(index).values())
    except (ModelCorrupt, ModelIncomplete):
        return set()  # reported where the index itself is looked at


def _named_by_its_blob(where: RepositoryCache, commit: str, name: str) -> HubFile | None:
    path = where.snapshot(commit) / name
    nbytes = size(path)
    digest = path.readlink().name if path.is_symlink() else ""
    if nbytes is None or not is_digest(digest):
        return None
    return HubFile(repo_id=where.repo_id, commit=commit, path=name, nbytes=nbytes, digest=digest)


# --- how they are ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """One file, looked at."""

    path: Path
    verified: bool = False
    fault: Fault | None = None


def _look_at(found: _Set, deep: bool, watch: Watch, disk: Disk) -> Iterator[_Look]:
    folder = found.where.snapshot(found.commit) if found.commit else found.where.folder
    for pattern in found.lacking:
        path = folder / pattern
        yield _Look(path=path, fault=Fault(path=path, problem="is not here", missing=True))
    listed = _listed(folder, found.expected)
    for name, file in found.expected.items():
        path = folder / name
        fault = _fault(path, file, listed.get(name))
        verified = fault is None and _is_vouched_for(found.record, file, path)
        if deep and fault is None and file is not None:
            fault = _compare(path, file, watch)
            verified = fault is None
            if verified and found.record is not None:
                note_verified(found.where, file, path.stat().st_mtime_ns, disk)
        yield _Look(path=path, verified=verified, fault=fault)


def _is_vouched_for(record: Record | None, file: HubFile | None, path: Path) -> bool:
    return record is not None and file is not None and record.vouches_for(file, path)


def _listed(folder: Path, names: Mapping[str, HubFile | None]) -> Mapping[str, set[str]]:
    """Shard -> tensors that the index beside it says are in it."""
    tensors: dict[str, set[str]] = {}
    for name in names:
        if name.endswith(_INDEX):
            try:
                weight_map = read_index(folder / name)
            except (ModelCorrupt, ModelIncomplete):
                continue  # reported where the index itself is looked at
            for tensor, shard in weight_map.items():
                tensors.setdefault((Path(name).parent / shard).as_posix(), set()).add(tensor)
    return tensors


def _fault(path: Path, file: HubFile | None, tensors: set[str] | None) -> Fault | None:
    """What can be seen without reading all of it."""
    nbytes = size(path)
    if nbytes is None:
        return Fault(path=path, file=file, problem="is not here", missing=True)
    if file is not None and nbytes != file.nbytes:
        return Fault(path=path, file=file, problem=f"has {nbytes} of {file.nbytes} bytes")
    if file is not None and _points_elsewhere(path, file):
        return Fault(path=path, file=file, problem="holds another file of the repository")
    try:
        if path.name.endswith(_INDEX):
            read_index(path)
        elif path.suffix == ".safetensors":
            header = read_header(path)
            if tensors is not None and header.tensors.keys() != tensors:
                return Fault(path=path, file=file, problem="holds other tensors than its index says")
    except (ModelCorrupt, ModelIncomplete) as error:
        return Fault(path=path, file=file, problem=error.message)
    return None


def _points_elsewhere(path: Path, file: HubFile) -> bool:
    """The link leads to a blob of another hash."""
    blob = path.readlink().name if path.is_symlink() else file.digest
    return is_digest(blob) and blob != file.digest


def _compare(path: Path, file: HubFile, watch: Watch) -> Fault | None:
    digest = digest_of(path, file.hash_kind, lambda nbytes: watch(path, nbytes))
    if digest == file.digest:
        return None
    problem = f"has the hash {digest[:12]}... and should have {file.digest[:12]}..."
    return Fault(path=path, file=file, problem=problem)


def _verdict(looks: Sequence[_Look], *, outdated: bool) -> Health:
    faults = [look.fault for look in looks if look.fault is not None]
    if any(not fault.missing for fault in faults):
        return Health.CORRUPT
    if faults:
        return Health.MISSING if len(faults) == len(looks) else Health.INCOMPLETE
    if outdated:
        return Health.OUTDATED
    return Health.READY if all(look.verified for look in looks) else Health.PRESENT


def _unlink_content(fault: Fault) -> None:
    """The link in the snapshot, and the blob, unless that is the good content of another file."""
    path = fault.path
    if path.is_symlink():
        blob = Path(os.path.normpath(path.parent / path.readlink()))
        if blob.parent.name == "blobs" and (fault.file is None or blob.name == fault.file.digest):
            blob.unlink(missing_ok=True)
    path.unlink(missing_ok=True)
