"""Writing such that a crash, a power failure or a full disk never leaves a file that looks whole and is not.

All writing of downloads goes through one `Disk`, so that a test can make any single one of these calls fail.
"""

import errno
import os
import sys
from pathlib import Path
from typing import Final
from uuid import uuid4

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Disk:
    """The file system. Every method raises OSError."""

    def open(self, path: Path) -> int:
        """A descriptor to read and write; the file is created if it is not there."""
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)

    def write(self, descriptor: int, data: bytes | memoryview, offset: int) -> None:
        """All of `data`; a disk that is nearly full takes the first part only and says so at the second."""
        view = memoryview(data)
        while view:
            count = os.pwrite(descriptor, view, offset)
            view, offset = view[count:], offset + count

    def sync(self, descriptor: int) -> None:
        """What was written survives a power failure from now on."""
        os.fsync(descriptor)

    def truncate(self, descriptor: int, nbytes: int) -> None:
        os.ftruncate(descriptor, nbytes)

    def replace(self, source: Path, target: Path) -> None:
        """Rename in one step, replacing what is there; survives a power failure from now on."""
        source.replace(target)
        self.sync_folder(target.parent)

    def link(self, source: Path, target: Path) -> bool:
        """One more name for the same bytes, in one step; False where the file system cannot."""
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f"{target.name}.{uuid4().hex[:8]}.tmp")
        try:
            temporary.hardlink_to(source)
        except OSError as error:
            if error.errno in FULL:
                raise
            return False
        self.replace(temporary, target)
        return True

    def write_whole(self, path: Path, data: bytes) -> None:
        """A small file, in one step."""
        temporary = path.with_name(f"{path.name}.{uuid4().hex[:8]}.tmp")
        descriptor = self.open(temporary)
        try:
            self.write(descriptor, data, 0)
            self.sync(descriptor)
            self.replace(temporary, path)
        finally:
            os.close(descriptor)
            temporary.unlink(missing_ok=True)

    def point(self, path: Path, target: Path) -> None:
        """A relative symbolic link at `path`, in one step."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{uuid4().hex[:8]}.tmp")
        try:
            temporary.symlink_to(os.path.relpath(target, path.parent))
            self.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def sync_folder(self, folder: Path) -> None:
        """The names in it survive a power failure from now on. On Windows, a folder cannot be opened for that."""
        if sys.platform == "win32":
            return
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def boot() -> str:
    """Names the time since the computer was started; "" where the system does not say."""
    try:
        return BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""
