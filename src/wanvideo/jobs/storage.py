"""Where several machines keep what they share: files under names such as `outputs/heron.mp4`.

A shared folder is enough; an S3-compatible store is the other kind. The home user has neither: what jobs need and make
lies in the data folder alone, and `wanvideo.jobs.files` then asks for nothing here.
"""

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from wanvideo.errors import DiskFull, StorageFailed
from wanvideo.jobs.folder import sync

BLOCK: Final = 4 * 2**20  # bytes that are read at once
_NAME: Final = re.compile(r"[^/\0]+(?:/[^/\0]+)*")
DRAFT: Final = ".part-"  # what is not there yet begins so


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A file that is there, whole."""

    name: str
    bytes: int
    changed: float  # seconds since 1970


class Storage(Protocol):
    """Files by name. Names have no empty parts, no `.` and no `..`; else ValueError is raised.

    All raise StorageFailed where the storage does not answer, and DiskFull.
    """

    def put(self, name: str, source: Path) -> None:
        """Store a file, over one of that name; readers see the old or the new one, never half of it."""

    def read(self, name: str, first: int = 0, count: int | None = None) -> Iterator[bytes]:
        """`count` bytes from number `first` on, or all that follow. Raises FileNotFoundError."""

    def stat(self, name: str) -> Stored | None:
        """None: there is none."""

    def list(self, prefix: str) -> Iterator[Stored]:
        """All whose names begin with `prefix`, which ends with a slash, in any order."""

    def delete(self, name: str) -> None:
        """Nothing happens if there is none."""

    def clear(self, prefix: str) -> None:
        """Delete all below `prefix`, and what machines that died were about to store there."""

    def remove_drafts(self, seconds: float) -> int:
        """Remove what machines were about to store when they died, and have not gone on with for so long; how many."""


def storage_of(address: str) -> Storage:
    """An absolute folder, or `s3://BUCKET/PREFIX`. Raises StorageFailed for what is neither, or cannot be used."""
    if address.startswith("s3://"):
        from wanvideo.jobs.bucket import Bucket

        return Bucket(address)
    path = Path(address)
    if "://" in address or not path.is_absolute():
        raise StorageFailed(f"{address!r:.100} is no storage: write /an/absolute/folder or s3://BUCKET/PREFIX")
    return SharedFolder(path)


def checked(name: str) -> str:
    """Raises ValueError for what is no name, or leads elsewhere."""
    if not _NAME.fullmatch(name) or any(part in (".", "..") for part in name.split("/")):
        raise ValueError(f"{name!r:.100} is no name of a stored file")
    return name


def fetch(storage: Storage, name: str, target: Path) -> bool:
    """Copy a stored file to this machine, whole or not at all. False: there is none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft_of(target)
    try:
        with _explained(name), draft.open("xb") as file:
            file.writelines(storage.read(name))
        draft.replace(target)
    except FileNotFoundError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True


class SharedFolder:
    """A folder that every machine sees under the same path, such as one of NFS. See `Storage`."""

    def __init__(self, root: Path) -> None:
        """It has to be there: a share that is not mounted must not look like one that is empty."""
        self.root = root
        if not root.is_dir():
            raise StorageFailed(f"there is no folder {root}: make or mount it, on every machine")

    def put(self, name: str, source: Path) -> None:
        target = self._path(name)
        draft = _draft_of(target)
        with _explained(name):
            self._require_root()
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with source.open("rb") as given, draft.open("xb") as file:
                    shutil.copyfileobj(given, file, BLOCK)
                    file.flush()
                    os.fsync(file.fileno())
                _publish(draft, target, name)
                sync(target.parent)
            finally:
                draft.unlink(missing_ok=True)

    def read(self, name: str, first: int = 0, count: int | None = None) -> Iterator[bytes]:
        with _explained(name), self._path(name).open("rb") as file:
            file.seek(first)
            left = count
            while left is None or left > 0:
                block = file.read(BLOCK if left is None else min(BLOCK, left))
                if not block:
                    return
                left = None if left is None else left - len(block)
                yield block

    def stat(self, name: str) -> Stored | None:
        path = self._path(name)
        with _explained(name):
            self._require_root()
            if not path.is_file() or path.is_symlink():
                return None
            return self._stored(path)

    def list(self, prefix: str) -> Iterator[Stored]:
        folder = self._path(prefix.removesuffix("/"))
        with _explained(prefix):
            self._require_root()
            for place, _, files in os.walk(folder, onerror=_unless_gone):
                for path in (Path(place, name) for name in files if not name.startswith(DRAFT)):
                    with suppress(FileNotFoundError):
                        if not path.is_symlink():
                            yield self._stored(path)

    def delete(self, name: str) -> None:
        with _explained(name):
            self._path(name).unlink(missing_ok=True)

    def clear(self, prefix: str) -> None:
        folder = self._path(prefix.removesuffix("/"))
        with _explained(prefix):
            self._require_root()
            shutil.rmtree(folder, ignore_errors=True)

    def remove_drafts(self, seconds: float) -> int:
        with _explained("what was left behind"):
            self._require_root()
            before = self._now() - seconds
            old = [path for path in self._drafts() if _changed(path) < before]
            for path in old:
                path.unlink(missing_ok=True)
        return len(old)

    def _drafts(self) -> Iterator[Path]:
        for place, _, files in os.walk(self.root, onerror=_unless_gone):
            yield from (Path(place, name) for name in files if name.startswith(DRAFT))

    def _now(self) -> float:
        """By the clock that gives files their times, which need not be this machine's."""
        probe = _draft_of(self.root / "probe")
        probe.touch(exist_ok=False)
        try:
            return probe.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.root / checked(name)

    def _stored(self, path: Path) -> Stored:
        found = path.stat()
        return Stored(name=path.relative_to(self.root).as_posix(), bytes=found.st_size, changed=found.st_mtime)

    def _require_root(self) -> None:
        if not self.root.is_dir():
            raise StorageFailed(f"the folder {self.root} is gone: is its share mounted?")


def _publish(draft: Path, target: Path, name: str) -> None:
    try:
        draft.replace(target)
    except FileNotFoundError as error:  # a machine that stood still for long, and goes on
        raise StorageFailed(f"{name} was not stored: others took its draft for left behind; store it again") from error


def _changed(path: Path) -> float:
    """When something was last written to it; of what is gone, never mind."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def _unless_gone(error: OSError) -> None:
    """Others may remove what is being listed."""
    if not isinstance(error, FileNotFoundError):
        raise error


def _draft_of(target: Path) -> Path:
    return target.with_name(f"{DRAFT}{secrets.token_hex(8)}")


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """What the system says, as errors of ours; that there is no such file stays."""
    import errno

    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"the disk is full, and {name} was not stored: make room") from error
        raise StorageFailed(f"{name} cannot be reached: {error.strerror or error}") from error
