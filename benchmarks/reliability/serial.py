"""Many jobs, one after the other, on one server with one worker: does anything grow?"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx2
import psutil

from benchmarks.reliability.kills import workers
from benchmarks.reliability.record import Row, Tell, at_most
from benchmarks.reliability.server import SMALL, Server, running

USUAL: Final = 20  # looks
EVERY: Final = 25  # jobs before each


def run(trials: range, tell: Tell) -> None:
    """All looks up to the last. A run that is interrupted begins anew: memory is that of one process."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server, server.client() as client:
        for number in range(1, EVERY * trials.stop + 1):
            _made(client, number)
            if number % EVERY == 0:
                tell({"run": trials.start, "jobs": number, **look(server)})


def look(server: Server) -> dict[str, Any]:
    """Memory in KiB, open files and threads, of the server and of its worker."""
    assert server.process is not None
    found: dict[str, Any] = {}
    for name, pid in (("server", server.process.pid), ("worker", workers(server)[0])):
        process = psutil.Process(pid)
        found[f"{name}_kib"] = process.memory_info().rss // 1024
        found[f"{name}_files"] = process.num_fds()
        found[f"{name}_threads"] = process.num_threads()
    return found


def slope(lines: Sequence[Mapping[str, Any]], name: str) -> float:
    """Growth for each job by least squares over the second half, when all caches are full."""
    half = [line for line in lines if line["jobs"] > lines[-1]["jobs"] / 2]
    mean_x = sum(line["jobs"] for line in half) / len(half)
    mean_y = sum(line[name] for line in half) / len(half)
    above = sum((line["jobs"] - mean_x) * (line[name] - mean_y) for line in half)
    below = sum((line["jobs"] - mean_x) ** 2 for line in half)
    return above / below if below else 0.0


def rows(lines: Sequence[Mapping[str, Any]]) -> list[Row]:
    last = [line for line in lines if line["run"] == lines[-1]["run"]]
    found = [Row("jobs in a row", str(last[-1]["jobs"]))]
    for name in ("server", "worker"):
        first, end = last[0], last[-1]
        found += [
            at_most(f"growth of the {name}, second half", slope(last, f"{name}_kib"), 10, " KiB a job"),
            Row(f"memory of the {name}, after {first['jobs']} jobs and at the end",
                f"{first[f'{name}_kib'] / 1024:.0f} and {end[f'{name}_kib'] / 1024:.0f} MiB"),
            Row(f"open files of the {name}, likewise", f"{first[f'{name}_files']} and {end[f'{name}_files']}"),
            Row(f"threads of the {name}, likewise", f"{first[f'{name}_threads']} and {end[f'{name}_threads']}"),
        ]  # fmt: skip
    return found


def _made(client: httpx2.Client, seed: int) -> None:
    job = client.post("/api/v1/generation/submit", json=dict(SMALL) | {"seed": seed}).json()["task_id"]
    while (state := client.get(f"/api/v1/queue/{job}").json()["state"]) in ("queued", "running"):
        time.sleep(0.05)
    assert state == "succeeded", state
