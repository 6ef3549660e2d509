"""The same store behind a server: how soon it is ready, how many jobs it takes in a second, how soon it answers."""

import asyncio
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.queue_growth.stored import RARE, job_id
from benchmarks.reliability.load import CONNECTIONS, submit_for
from benchmarks.reliability.record import percentile
from benchmarks.reliability.server import running
from benchmarks.reliability.wire import Wire

ROUNDS: Final = 2
SECONDS: Final = 15.0
ASKED: Final = 200  # times
_PATHS: Final = {
    "status": f"/api/v1/queue/{job_id(1)}",
    "queue": "/api/v1/queue?limit=200",
    "gallery": "/api/v1/outputs?limit=60",
    "search": f"/api/v1/outputs?limit=60&text={RARE}",
}


def run_round(folder: Path, database: str | None, seconds: float = SECONDS, asked: int = ASKED) -> dict[str, Any]:
    """database: of PostgreSQL; None: SQLite in the folder. The queue has to be paused."""
    environment = {} if database is None else {"WANVIDEO_DATABASE": database}
    began = time.monotonic()
    with running(folder, environment) as server:
        ready = time.monotonic() - began
        answers = asyncio.run(_answers(server.port, asked))
        found = asyncio.run(submit_for(server, seconds, CONNECTIONS))
    return {
        "ready_seconds": round(ready, 2), "submits_per_second": round(found.stored / found.seconds, 1),
        "refused": found.refused, "cpu_ms_per_submit": round(1e3 * found.cpu_seconds / max(1, found.stored), 2),
        "submit_p50_ms": round(1e3 * percentile(found.times, 50), 1),
        "submit_p99_ms": round(1e3 * percentile(found.times, 99), 1), **answers,
    }  # fmt: skip


async def _answers(port: int, asked: int) -> dict[str, float]:
    """Milliseconds of each address, over HTTP."""
    wire, took = Wire(port), dict[str, float]()
    for name, path in _PATHS.items():
        times = []
        for _ in range(asked):
            answer = await wire.ask("GET", path)
            assert answer.status == 200, answer.body
            times.append(1e3 * answer.seconds)
        took |= {f"{name}_p50_ms": round(percentile(times, 50), 2), f"{name}_p99_ms": round(percentile(times, 99), 2)}
    wire.close()
    return took
