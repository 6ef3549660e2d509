"""One server for each data folder, and where the others find it."""

import errno
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Final

from wanvideo.errors import DataFolderInUse, DiskFull, StorageFailed
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.reserve import Reserve

try:
    import fcntl
except ModuleNotFoundError:  # native Windows, where no server runs, and so none is there
    POSIX = False
else:
    POSIX = True

_PATIENCE: Final = 0.5  # seconds; whoever asks whether a server is there holds the lock for an instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the server of a data folder listens, for other programs of the same user."""

    url: str
    token: str | None = None


@contextmanager
def locked(folder: DataFolder) -> Iterator[None]:
    """Keep other servers out of the data folder.

    Raises DataFolderInUse, which says whose it is, and DiskFull or StorageFailed where the folder cannot be used.
    """
    if not POSIX:
        raise StorageFailed("the server needs Linux: on Windows, run it under WSL2, as docs/operations.md says")
    with _usable(folder):
        folder.make()
        opened = folder.lock.open("a+")
    with opened as file:
        if not _taken(file.fileno(), fcntl.LOCK_EX, _PATIENCE):
            file.seek(0)
            owner = file.read(40).strip() or "unknown"
            raise DataFolderInUse(
                f"{folder.root} is in use by another server (process {owner}): stop that one, or choose another folder "
                "with --data-dir",
                facts={"pid": owner},
            )
        Reserve(folder.reserve).spend()  # `run` fills it again, when all is open
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        folder.address.unlink(missing_ok=True)  # of a server that was killed
        yield


@contextmanager
def _usable(folder: DataFolder) -> Iterator[None]:
    """What the system says of a folder, as DiskFull or StorageFailed."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"the disk of {folder.root} is full: make room") from error
        raise StorageFailed(
            f"{error.filename or folder.root} cannot be used: {error.strerror}. Let this user write there, or choose "
            "other folders with --data-dir and --outputs-dir"
        ) from error


@contextmanager
def announced(folder: DataFolder, address: Address) -> Iterator[None]:
    """Say where the server is while the block runs; to be called with the lock held. Only this user can read it."""
    part = folder.address.with_suffix(".part")
    part.unlink(missing_ok=True)
    with open(part, "x", opener=lambda name, flags: os.open(name, flags, 0o600), encoding="utf-8") as file:
        json.dump(asdict(address), file)
    part.replace(folder.address)
    try:
        yield
    finally:
        folder.address.unlink(missing_ok=True)


def address_of(folder: DataFolder) -> Address | None:
    """Where the server of a data folder is. None: none runs, whatever a killed one has left, or it is just starting."""
    if not is_locked(folder):
        return None
    with suppress(OSError, ValueError, TypeError):
        return Address(**json.loads(folder.address.read_text(encoding="utf-8")))
    return None


def is_locked(folder: DataFolder) -> bool:
    """Whether a server works in the folder."""
    if not POSIX:
        return False
    try:
        with folder.lock.open() as file:
            return not _taken(file.fileno(), fcntl.LOCK_SH, 0.0)
    except OSError:  # there is no such folder, or it is somebody else's
        return False


def _taken(descriptor: int, kind: int, patience: float) -> bool:
    """Whether the lock was got, by trying for so many seconds."""
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(0.02)
        else:
            return True
