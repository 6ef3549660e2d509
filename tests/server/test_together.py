"""What is asked for at the same time is done in one go."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from wanvideo.server.together import Together


def test_those_that_come_while_some_are_at_work_go_next_and_together() -> None:
    batches: list[list[int]] = []
    begun, go = threading.Event(), threading.Event()

    def work(items: Sequence[int]) -> list[int | Exception]:
        batches.append(list(items))
        begun.set()
        assert go.wait(10)
        return [item * 10 for item in items]

    async def run() -> list[int]:
        together = Together(work)
        first = asyncio.create_task(together(0))
        await asyncio.to_thread(begun.wait, 10)
        others = [asyncio.create_task(together(number)) for number in (1, 2, 3)]
        await asyncio.sleep(0)
        go.set()
        return [await each for each in (first, *others)]

    assert asyncio.run(run()) == [0, 10, 20, 30]
    assert batches == [[0], [1, 2, 3]]


def test_an_error_reaches_those_whom_it_concerns() -> None:
    def work(items: Sequence[int]) -> list[int | Exception]:
        if 9 in items:
            raise OSError("the disk")
        return [ValueError(str(item)) if item == 2 else item for item in items]

    async def run() -> None:
        together = Together(work)
        found = await asyncio.gather(*map(together, (1, 2, 3)), return_exceptions=True)
        assert found[0] == 1
        assert isinstance(found[1], ValueError)
        assert found[2] == 3
        with pytest.raises(OSError, match="the disk"):
            await together(9)
        assert await together(4) == 4  # and it goes on

    asyncio.run(run())


def test_nobody_waits_for_one_who_has_gone() -> None:
    async def run() -> None:
        together: Together[int, int] = Together(list)
        gone, stays = asyncio.create_task(together(1)), asyncio.create_task(together(2))
        await asyncio.sleep(0)
        gone.cancel()
        assert await stays == 2

    asyncio.run(run())
