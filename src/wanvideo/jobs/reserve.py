"""A little room on the disk, kept for a server that finds it full.

To start, and to delete a video, something has to be written first: without this, nobody could make room in the app.
"""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from wanvideo.errors import DiskFull

BYTES: Final = 2**20  # hundreds of transactions
T = TypeVar("T")


class Reserve:
    """A file that is given up when it is needed, and made again when there is room."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fill(self) -> None:
        """With half of the room that there is, at most. Random bytes: no file system stores them in less."""
        if self._path.is_file():
            return
        try:
            self._path.write_bytes(os.urandom(min(BYTES, shutil.disk_usage(self._path.parent).free // 2)))
        except OSError as error:
            self._path.unlink(missing_ok=True)
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise

    def spend(self) -> bool:
        """Whether there was any."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        return True

    def use(self, work: Callable[[], T]) -> T:
        """What `work` gives, with this room if it cannot be done without. Raises DiskFull, and what else it raises."""
        try:
            return work()
        except DiskFull:
            if not self.spend():
                raise
        return work()
