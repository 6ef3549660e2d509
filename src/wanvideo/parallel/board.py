"""Host memory that all ranks see, where each lays its strip of the frames, and the first one takes whole frames.

It is a file without a name, which the process that starts the ranks makes and they inherit: when the last of them has
ended, however it did, nothing is left. Nothing is sent, and a rank waits for others only where they are `SLOTS` chunks
of frames behind it; the first one also for the strips that it takes.
"""

import mmap
import os
import time
from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from wanvideo.parallel.team import Turns
from wanvideo.runtime.strips import SLOTS

Frames: TypeAlias = "npt.NDArray[np.uint8]"
_COUNTS: Final = mmap.PAGESIZE  # bytes before the frames, for numbers
_POLL_SECONDS: Final = 0.0005
_HOST: Final = torch.device("cpu")


class Board:
    """As one rank sees it. Every method is called by all ranks, in the same order."""

    def __init__(self, file: int, rank: int, size: int, turns: Turns) -> None:
        """file: the number of an open file that is empty at first."""
        self._file, self._rank, self._turns = file, rank, turns
        os.posix_fallocate(file, 0, _COUNTS)
        counts = np.frombuffer(mmap.mmap(file, _COUNTS), np.int64, 1 + size)
        self._taken, self._laid = counts[:1], counts[1:]  # chunks so far: by the first rank, and by each
        self._count = 0  # of this rank

    def join(self, shape: tuple[int, int, int, int], own: tuple[slice, slice]) -> Callable[[Frames], Frames]:
        """What lays a strip [n, h, w, 3] and gives whole frames [n, H, W, 3] to the first rank, to others their strip.

        shape: of the longest chunk, [N, H, W, 3]. own: which rows and columns are the strip.
        """
        self._until(lambda: self._taken[0] >= self._count)  # what lies there may be of another shape
        nbytes = int(np.prod(shape))
        os.posix_fallocate(self._file, _COUNTS, SLOTS * nbytes)
        slots = np.frombuffer(mmap.mmap(self._file, SLOTS * nbytes, offset=_COUNTS), np.uint8).reshape(SLOTS, *shape)

        def lay(strip: Frames) -> Frames:
            number = self._count
            self._count += 1
            self._turns.take(_HOST)
            whole = slots[number % SLOTS, : len(strip)]
            self._until(lambda: self._taken[0] > number - SLOTS)
            whole[:, own[0], own[1]] = strip
            self._laid[self._rank] = number + 1
            if self._rank != 0:
                return strip
            self._until(lambda: self._laid.min() > number)
            frames = whole.copy()
            self._taken[0] = number + 1
            return frames

        return lay

    def _until(self, there: Callable[[], bool]) -> None:
        """Who never comes is noticed by the process that started all."""
        while not there():
            time.sleep(_POLL_SECONDS)
