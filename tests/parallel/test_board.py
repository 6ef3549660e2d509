"""Strips that several ranks, here threads, put together in memory that all of them see."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from wanvideo.parallel.board import Board, Frames
from wanvideo.parallel.team import Turns
from wanvideo.runtime.strips import SLOTS

COLUMNS = (slice(0, 5), slice(5, 7), slice(7, 12))
ALL = slice(None)


@pytest.fixture
def file() -> Iterator[int]:
    file = os.memfd_create("board")
    yield file
    os.close(file)


def clip(chunks: list[int], height: int = 3) -> list[Frames]:
    """Chunks of so many frames."""
    return [np.random.default_rng(n).integers(0, 256, (n, height, 12, 3), dtype=np.uint8) for n in chunks]


def test_the_first_rank_gets_whole_frames_and_the_others_what_they_gave(file: int) -> None:
    clips = [clip([1, 4, 4, 4, 4]), clip([1, 4], height=9), clip([1, 4, 4])]

    def rank(number: int) -> list[Frames]:
        board, found = Board(file, number, 3, Turns()), []
        for chunks in clips:
            lay = board.join((4, *chunks[0].shape[1:]), (ALL, COLUMNS[number]))
            for chunk in chunks:
                time.sleep(0.002 * number)
                found.append(lay(chunk[:, :, COLUMNS[number]]))
        return found

    with ThreadPoolExecutor(3) as threads:
        first, *others = threads.map(rank, range(3))
    given = [chunk for chunks in clips for chunk in chunks]
    assert all(np.array_equal(one, other) for one, other in zip(first, given, strict=True))
    for number, found in enumerate(others, start=1):
        assert all(np.array_equal(a, b[:, :, COLUMNS[number]]) for a, b in zip(found, given, strict=True))


def test_a_rank_waits_for_nobody_while_there_is_room(file: int) -> None:
    turns, boards = Turns(), [Board(file, number, 2, Turns()) for number in range(2)]
    boards[1] = Board(file, 1, 2, turns)
    strip = np.zeros((4, 3, 12, 3), np.uint8)
    first, second = (board.join(strip.shape, (ALL, ALL)) for board in boards)
    for _ in range(SLOTS):
        second(strip)
    late = threading.Thread(target=second, args=(strip,))
    late.start()
    late.join(0.1)
    assert late.is_alive()
    assert turns.count == SLOTS + 1  # so that the one that it waits for is seen to be behind
    first(strip)
    late.join(5)
    assert not late.is_alive()
