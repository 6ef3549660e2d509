"""Removing files from the cache: what goes, what it frees, and what stays because something else needs it."""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from wanvideo.errors import DownloadError
from wanvideo.weights.download.cache import RepositoryCache, paths_of, repository
from wanvideo.weights.download.hub import by_repository, matches
from wanvideo.weights.download.record import records
from wanvideo.weights.variants import RemoteFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What removing will delete, as a value, to be shown before it is done."""

    links: tuple[Path, ...]  # in snapshots
    blobs: tuple[Path, ...]  # with what is left of unfinished downloads
    frees_bytes: int
    shared: tuple[Path, ...]  # stay, since something else needs them


def plan_removal(wanted: Sequence[RemoteFiles], cache: Path, *, keep: Sequence[RemoteFiles] = ()) -> Removal:
    """All files that `wanted` names, of all commits, without those that `keep` names too."""
    kept = by_repository(keep)
    links: list[Path] = []
    blobs: list[Path] = []
    shared: list[Path] = []
    for repo_id, patterns in by_repository(wanted).items():
        where = repository(cache, repo_id)
        for path in _matching(where, patterns):
            in_use = path in set(_matching(where, kept.get(repo_id, ())))
            (shared if in_use else links).append(path)
        blobs += _unused_blobs(where, links, shared)
        blobs += _leftovers(where, patterns)
    return Removal(links=tuple(links), blobs=tuple(blobs), frees_bytes=_frees(blobs, links), shared=tuple(shared))


def remove(removal: Removal) -> None:
    """Do it. Raises DownloadError if one of the files is being downloaded just now."""
    for blob in removal.blobs:
        _check_not_locked(blob)
    for path in (*removal.links, *removal.blobs):
        path.unlink(missing_ok=True)
        _remove_empty_folders(path.parent)
    for folder in {_repository_folder(path) for path in (*removal.links, *removal.blobs)}:
        if folder.is_dir() and not any(_files(folder / "snapshots")) and not any(_files(folder / "blobs")):
            shutil.rmtree(folder)


def _matching(where: RepositoryCache, patterns: Sequence[str]) -> list[Path]:
    return [
        where.snapshot(commit) / name
        for commit in where.commits()
        for name in paths_of(where, commit)
        if any(matches(name, pattern) for pattern in patterns)
    ]


def _unused_blobs(where: RepositoryCache, links: Sequence[Path], shared: Sequence[Path]) -> list[Path]:
    """Blobs that only `links` lead to."""
    gone = {_target(path) for path in links if path.is_symlink()}
    others = [where.snapshot(c) / name for c in where.commits() for name in paths_of(where, c)]
    needed = {_target(path) for path in others if path not in set(links)} | {_target(path) for path in shared}
    return sorted(blob for blob in gone - needed if blob.parent == where.folder / "blobs" and blob.exists())


def _leftovers(where: RepositoryCache, patterns: Sequence[str]) -> list[Path]:
    """Parts and journals of downloads of these files that never ended."""
    files = [file for record in records(where) for file in record.listing.files]
    digests = {file.digest for file in files if any(matches(file.path, pattern) for pattern in patterns)}
    paths = [path for digest in sorted(digests) for path in (where.part(digest), where.journal(digest))]
    return [path for path in paths if path.exists()]


def _target(path: Path) -> Path:
    """The blob itself, not what that may be a link to in turn."""
    return Path(os.path.normpath(path.parent / path.readlink())) if path.is_symlink() else path


def _frees(blobs: Sequence[Path], links: Sequence[Path]) -> int:
    """Bytes of what loses its last name; a blob may have another one in another repository."""
    names: dict[tuple[int, int], list[os.stat_result]] = {}
    for path in (*blobs, *(path for path in links if not path.is_symlink())):
        status = path.lstat()
        names.setdefault((status.st_dev, status.st_ino), []).append(status)
    return sum(found[0].st_blocks * 512 for found in names.values() if len(found) >= found[0].st_nlink)


def _check_not_locked(blob: Path) -> None:
    folder = _repository_folder(blob)
    where = RepositoryCache(cache=folder.parent, repo_id=folder.name.removeprefix("models--").replace("--", "/", 1))
    lock = where.lock(blob.name.partition(".")[0])
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DownloadError(f"{blob.name} is being downloaded just now: stop that first, then remove it") from None
    lock.release()


def _repository_folder(path: Path) -> Path:
    return next(folder for folder in path.parents if folder.name.startswith("models--"))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_symlink() or path.is_file())


def _remove_empty_folders(folder: Path) -> None:
    """Up to the repository's own folder."""
    while not folder.name.startswith("models--") and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
