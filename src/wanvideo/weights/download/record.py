"""What was verified, kept in the cache beside the files: hashes and commit as the hub gave them, and when we checked.

One JSON file per repository and commit, in a folder that other programs do not look into. It says which files there
are, so that a copy can be judged without asking the hub, and for each that we have hashed, the time of its last change,
so that a whole file need not be hashed again to be believed.
"""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

from filelock import FileLock

from wanvideo.errors import DownloadRefused
from wanvideo.weights.download.cache import RepositoryCache
from wanvideo.weights.download.disk import Disk
from wanvideo.weights.download.hub import HashKind, HubFile, Listing, check_path

_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What we know about a repository at one commit."""

    repo_id: str
    revision: str  # the branch that was asked for
    commit: str
    files: Mapping[str, HubFile]  # by path: all that could be wanted, here or not
    verified: Mapping[str, int] = field(default_factory=dict)  # path -> time of last change when it was hashed, in ns
    bytes_per_second: float | None = None  # of the last download

    @classmethod
    def of(cls, listing: Listing) -> Self:
        return cls(
            repo_id=listing.repo_id,
            revision=listing.revision,
            commit=listing.commit,
            files={file.path: file for file in listing.files},
        )

    @property
    def listing(self) -> Listing:
        return Listing(
            repo_id=self.repo_id, revision=self.revision, commit=self.commit, files=tuple(self.files.values())
        )

    def vouches_for(self, file: HubFile, path: Path) -> bool:
        """Whether `path` was found to be `file` and has not been touched since."""
        changed = self.verified.get(file.path)
        known = self.files.get(file.path)
        try:
            return changed is not None and known == file and path.stat().st_mtime_ns == changed
        except OSError:
            return False


def read_record(where: RepositoryCache, commit: str) -> Record | None:
    """None if there is none that we can read: then files are believed only after they were hashed."""
    try:
        return _parse(where.repo_id, commit, json.loads(_path(where, commit).read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, DownloadRefused):
        return None


def records(where: RepositoryCache) -> Iterator[Record]:
    """Of all commits, the one whose files were wanted last first."""
    for path in sorted(where.own.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True):
        if (record := read_record(where, path.stem)) is not None:
            yield record


def newest_record(where: RepositoryCache) -> Record | None:
    return next(records(where), None)


def begin_record(where: RepositoryCache, listing: Listing, disk: Disk) -> Record:
    """Keep what the hub said, without losing what was verified."""
    with _locked(where):
        before = read_record(where, listing.commit)
        record = Record.of(listing)
        if before is not None:
            record = replace(
                record,
                revision=before.revision if listing.revision == listing.commit else listing.revision,
                verified=before.verified,
                bytes_per_second=before.bytes_per_second,
            )
        _write(where, record, disk)
    return record


def note_verified(where: RepositoryCache, file: HubFile, changed: int, disk: Disk) -> None:
    """The file was hashed and is right; `changed` is the time of its last change, in nanoseconds."""
    with _locked(where):
        record = read_record(where, file.commit)
        if record is not None and record.verified.get(file.path) != changed:
            _write(where, replace(record, verified={**record.verified, file.path: changed}), disk)


def note_speed(where: RepositoryCache, commit: str, bytes_per_second: float, disk: Disk) -> None:
    """For the estimate of the next download."""
    with _locked(where):
        record = read_record(where, commit)
        if record is not None:
            _write(where, replace(record, bytes_per_second=bytes_per_second), disk)


def _path(where: RepositoryCache, commit: str) -> Path:
    return where.own / f"{commit}.json"


def _locked(where: RepositoryCache) -> FileLock:
    where.own.mkdir(parents=True, exist_ok=True)
    return FileLock(where.own / "lock", mode=0o664)


def _write(where: RepositoryCache, record: Record, disk: Disk) -> None:
    value = {
        "version": _VERSION,
        "repo_id": record.repo_id,
        "revision": record.revision,
        "commit": record.commit,
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "bytes_per_second": record.bytes_per_second,
        "files": {
            file.path: {"bytes": file.nbytes, file.hash_kind.value: file.digest, "verified": record.verified.get(path)}
            for path, file in record.files.items()
        },
    }
    disk.write_whole(_path(where, record.commit), json.dumps(value, indent=1).encode("utf-8"))


def _parse(repo_id: str, commit: str, value: Any) -> Record | None:
    if value["version"] != _VERSION or value["commit"] != commit:
        return None
    files: dict[str, HubFile] = {}
    verified: dict[str, int] = {}
    for path, entry in value["files"].items():
        digest = entry.get(HashKind.SHA256.value) or entry[HashKind.GIT_SHA1.value]
        files[path] = HubFile(
            repo_id=repo_id, commit=commit, path=check_path(path), nbytes=int(entry["bytes"]), digest=str(digest)
        )
        if entry["verified"] is not None:
            verified[path] = int(entry["verified"])
    speed = value["bytes_per_second"]
    return Record(
        repo_id=repo_id,
        revision=str(value["revision"]),
        commit=commit,
        files=files,
        verified=verified,
        bytes_per_second=None if speed is None else float(speed),
    )
