"""One address in front of several servers, in turns; it leaves out those that do not answer."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

_BLOCK = 65536


@contextmanager
def balanced(ports: Callable[[], Sequence[int]]) -> Iterator[int]:
    """ports: of the servers, asked for each connection. Gives the port of the one address."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    found: list[int] = []

    async def serve() -> None:
        turn = 0

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal turn
            there = ports()
            for number in range(len(there)):
                turn += 1
                with suppress(OSError):
                    upstream = await asyncio.open_connection("127.0.0.1", there[(turn + number) % len(there)])
                    await _joined((reader, writer), upstream)
                    return
            writer.close()

        async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
            found.append(server.sockets[0].getsockname()[1])
            ready.set()
            with suppress(asyncio.CancelledError):
                await server.serve_forever()

    task = loop.create_task(serve())

    def run() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.run_until_complete(_end_the_rest())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()


async def _end_the_rest() -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for each in rest:
        each.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _joined(one: Pair, other: Pair) -> None:
    """Until either side hangs up."""
    ways = [asyncio.create_task(_copy(one[0], other[1])), asyncio.create_task(_copy(other[0], one[1]))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        for _, writer in (one, other):
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while block := await reader.read(_BLOCK):
            writer.write(block)
            await writer.drain()
