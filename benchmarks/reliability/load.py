"""How many jobs a server stores in a second, each on disk before it is answered, and how soon it says how one is.

Three runs: submits alone, as many as it takes; reads of one job's status while another one is made; and both together.
"""

import asyncio
import itertools
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import psutil

from benchmarks.reliability.record import Row, Tell, at_least, at_most, percentile
from benchmarks.reliability.server import SMALL, Server, running
from benchmarks.reliability.wire import Wire

USUAL: Final = 3
CONNECTIONS: Final = 64
SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Submits:
    """What came of one run."""

    stored: int
    refused: int
    seconds: float
    cpu_seconds: float
    times: tuple[float, ...]


def run(trials: range, tell: Tell) -> None:
    for _ in trials:
        with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server:
            numbers = asyncio.run(status_while_generating(server.port, SECONDS))
            with server.client() as client:
                client.post("/api/v1/queue/pause", json={})
            found = asyncio.run(submit_for(server, SECONDS, CONNECTIONS))
        tell(
            {
                "submits_per_second": found.stored / found.seconds,
                "refused": found.refused,
                "cpu_ms_per_submit": 1e3 * found.cpu_seconds / max(1, found.stored),
                "submit_p50_ms": 1e3 * percentile(found.times, 50),
                "submit_p99_ms": 1e3 * percentile(found.times, 99),
                **numbers,
            }
        )


async def submit_for(server: Server, seconds: float, connections: int) -> Submits:
    """Keep so many connections busy with submits."""
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    ends, times, refused = time.monotonic() + seconds, [], 0  # type: float, list[float], int
    numbers = itertools.count()

    async def one() -> None:
        nonlocal refused
        wire = Wire(server.port)
        while time.monotonic() < ends:
            answer = await wire.ask("POST", "/api/v1/generation/submit", dict(SMALL) | {"seed": next(numbers)})
            if answer.status == 200:
                times.append(answer.seconds)
            else:
                refused += 1
        wire.close()

    before, began = _cpu(process), time.monotonic()
    await asyncio.gather(*(one() for _ in range(connections)))
    took = time.monotonic() - began
    return Submits(
        stored=len(times), refused=refused, seconds=took, cpu_seconds=_cpu(process) - before, times=tuple(times)
    )


async def status_while_generating(port: int, seconds: float) -> dict[str, float]:
    """Times of GET /api/v1/queue/{id} in ms, while that job is made."""
    wire = Wire(port)
    asked = dict(SMALL) | {"steps": 300, "resolution": "128x128", "frames": 17}
    job = (await wire.ask("POST", "/api/v1/generation/submit", asked)).json()["task_id"]
    while (await wire.ask("GET", f"/api/v1/queue/{job}")).json().get("phase") != "denoise":
        await asyncio.sleep(0.1)
    times, ends = [], time.monotonic() + seconds
    while time.monotonic() < ends:
        answer = await wire.ask("GET", f"/api/v1/queue/{job}")
        if answer.json()["state"] != "running":
            break
        times.append(1e3 * answer.seconds)
        await asyncio.sleep(0.02)
    await wire.ask("POST", f"/api/v1/queue/{job}/cancel", {})
    wire.close()
    return {
        "status_asked": len(times),
        "status_p50_ms": percentile(times, 50),
        "status_p99_ms": percentile(times, 99),
        "status_max_ms": max(times),
    }


def rows(lines: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Medians of the rounds."""

    def usual(name: str) -> float:
        return float(median(line[name] for line in lines))

    return [
        Row("rounds", str(len(lines))),
        at_least("durable submits a second", usual("submits_per_second"), 500, "/s"),
        Row("CPU time of the server for one", f"{usual('cpu_ms_per_submit'):.2f} ms"),
        Row("submit, p50 and p99", f"{usual('submit_p50_ms'):.0f} and {usual('submit_p99_ms'):.0f} ms"),
        at_most("status while generating, p99", usual("status_p99_ms"), 50, " ms"),
    ]


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
