"""What many requests ask for at the same time, done in one go by one thread."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from anyio import to_thread

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

MOST: Final = 128  # in one go, so that nobody waits for many others


class Together(Generic[ItemT, ResultT]):
    """Calls that wait for one another: while some are at work, those that come gather, and go next.

    `work` gives one result for each item, in their order, or the error that is to be raised for it alone; what it
    raises itself is raised for all of them. It may block: it has a thread for itself. To be called on one event loop.
    """

    def __init__(self, work: Callable[[Sequence[ItemT]], Sequence[ResultT | Exception]]) -> None:
        self._work = work
        self._waiting: list[tuple[ItemT, asyncio.Future[ResultT]]] = []
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, item: ItemT) -> ResultT:
        """Raises what `work` gave or raised."""
        future: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                results = await self._results([item for item, _ in batch])
                for (_, future), result in zip(batch, results, strict=True):
                    _settle(future, result)
        finally:
            self._task = None

    async def _results(self, items: Sequence[ItemT]) -> Sequence[ResultT | Exception]:
        try:
            return await to_thread.run_sync(self._work, items)
        except Exception as error:  # noqa: BLE001 - it belongs to those who asked
            return [error] * len(items)


def _settle(future: "asyncio.Future[ResultT]", result: ResultT | Exception) -> None:
    if future.done():  # who asked has gone
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
