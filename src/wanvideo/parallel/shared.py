"""Host memory for the weights of one network that wait there: all ranks see it, and it is there once.

It is a file without a name. The first rank makes it, the others open what the system shows of the first one's files,
and when the last of them has let go of it or ended, however it did, nothing is left.
"""

import mmap
import os
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from wanvideo.runtime.streaming import HostMemory

_PAGE: Final = 2 << 20  # bytes: slabs begin at large pages, where the system has them


class SharedMemory(HostMemory):
    """As one rank sees it. All have the same slabs in the same order, and fill them by turns."""

    def __init__(self, file: int, rank: int, size: int, meet: Callable[[], None]) -> None:
        """file: the number of an open file, which is closed at the end. meet: waits until all ranks are there."""
        self._file, self._rank, self._size, self._meet = file, rank, size, meet
        self._taken = self._end = 0

    def take(self, nbytes: int) -> tuple[Tensor, bool]:
        start, turn = self._end, self._taken % self._size
        self._taken, self._end = self._taken + 1, start + max(1, -(-nbytes // _PAGE)) * _PAGE
        os.posix_fallocate(self._file, self._end - 1, 1)  # never makes it shorter: another rank may be ahead
        pages = mmap.mmap(self._file, self._end - start, offset=start)
        return torch.frombuffer(pages, dtype=torch.uint8)[:nbytes], turn != self._rank

    def finish(self) -> None:
        self._meet()
        os.close(self._file)
