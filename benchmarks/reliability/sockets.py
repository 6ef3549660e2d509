"""A thousand clients of /ws, and a hundred more that never read.

Jobs end, one after the other; every healthy client must be told of every end, and soon. The jobs are cancelled while
they wait, so that what is measured is the way of the news alone.
"""

import asyncio
import base64
import os
import resource
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import psutil
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.reliability.record import Row, Tell, at_most, none_of, percentile
from benchmarks.reliability.server import SMALL, running
from benchmarks.reliability.wire import Wire

USUAL: Final = 1
CLIENTS: Final = 1000
DEAF: Final = 100
ENDS: Final = 30
PAUSE: Final = 1.0  # seconds between two ends
LATE: Final = 30.0  # seconds after the last one, after which an end counts as lost


def run(trials: range, tell: Tell, clients: int = CLIENTS, deaf: int = DEAF) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * (clients + deaf))), hard))
    for _ in trials:
        with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server:
            assert server.process is not None
            process = psutil.Process(server.process.pid)
            found = asyncio.run(_told(server.port, process, clients, deaf))
        tell({"clients": clients, "deaf": deaf, **found})


async def _told(port: int, process: psutil.Process, clients: int, deaf: int) -> dict[str, Any]:
    wire = Wire(port)
    await wire.ask("POST", "/api/v1/queue/pause", {})
    idle = process.memory_info().rss
    never = [_deaf(port) for _ in range(deaf)]
    times: list[float] = []
    ended: dict[str, float] = {}
    open_ones = [await _open(port) for _ in range(clients)]
    wire.close()  # the server has closed it, if all of this took long
    listeners = [asyncio.create_task(_listen(each, ended, times)) for each in open_ones]
    for number in range(ENDS):
        answer = await wire.ask("POST", "/api/v1/generation/submit", dict(SMALL) | {"seed": number})
        job = answer.json()["task_id"]
        await asyncio.sleep(PAUSE)
        ended[job] = time.perf_counter()
        await wire.ask("POST", f"/api/v1/queue/{job}/cancel", {})
    until = time.monotonic() + LATE
    while len(times) < clients * ENDS and time.monotonic() < until:
        await asyncio.sleep(0.1)
    rss = process.memory_info().rss
    for task in listeners:
        task.cancel()
    await asyncio.gather(*listeners, return_exceptions=True)
    for each in never:
        each.close()
    return {
        "ends": ENDS,
        "lost": clients * ENDS - len(times),
        "p50_ms": 1e3 * percentile(times, 50),
        "p99_ms": 1e3 * percentile(times, 99),
        "max_ms": 1e3 * max(times),
        "grown_mib": (rss - idle) / 2**20,
    }


async def _open(port: int) -> ClientConnection:
    return await connect(f"ws://127.0.0.1:{port}/ws", proxy=None, compression=None, max_queue=None, open_timeout=60)


async def _listen(client: ClientConnection, ended: Mapping[str, float], times: list[float]) -> None:
    """Note how long after the cancel each end was told, once."""
    seen: set[str] = set()
    async for frame in client:
        if not isinstance(frame, str) or '"task_update"' not in frame or '"cancelled"' not in frame:
            continue
        arrived = time.perf_counter()
        for job in ended.keys() - seen:
            if job in frame:
                seen.add(job)
                times.append(arrived - ended[job])


def _deaf(port: int) -> socket.socket:
    """Connected, and never read from."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    key = base64.b64encode(os.urandom(16)).decode()
    client.sendall(
        f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    return client


def rows(lines: Sequence[Mapping[str, Any]]) -> list[Row]:
    """What was lost in all rounds, and medians of their times."""
    told = sum(line["clients"] * line["ends"] for line in lines)
    return [
        Row("clients, and others that never read", f"{lines[0]['clients']} and {lines[0]['deaf']}"),
        none_of("ends that a client was not told of", sum(line["lost"] for line in lines), told),
        Row("time until they were told, p50", f"{median(line['p50_ms'] for line in lines):.0f} ms"),
        at_most("the same, p99", median(line["p99_ms"] for line in lines), 250, " ms"),
        Row("memory of the server, above idle, at most", f"{max(line['grown_mib'] for line in lines):.0f} MiB"),
    ]
