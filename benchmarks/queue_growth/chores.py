"""What is done once in a while, with a million jobs: at the start, every ten minutes, every night."""

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.queue_growth.stored import APART, RUNNING, job_id
from tests.postgres import programs
from wanvideo.jobs.backup import backup
from wanvideo.jobs.leases import Leases
from wanvideo.jobs.queue import Queue
from wanvideo.jobs.reconcile import Review, reconcile
from wanvideo.jobs.retention import DAY, DELETIONS, Retention, Rules

TIMES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Chore:
    """Something that takes its time. `before`: what has to be done again before each time."""

    name: str
    make: Callable[[], object]
    before: Callable[[], object] = lambda: None


def measure(queue: Queue, url: str, times: int = TIMES) -> Iterator[Mapping[str, Any]]:
    """Seconds, the median of some times."""
    for chore in _chores(queue, url):
        took = []
        for _ in range(times):
            chore.before()
            began = time.perf_counter()
            chore.make()
            took.append(time.perf_counter() - began)
        yield {"chore": chore.name, "seconds": round(median(took), 3)}


def _chores(queue: Queue, url: str) -> Iterator[Chore]:
    leases, age = Leases(queue), queue.now() - queue.get(job_id(1)).created
    # Of one in a thousand jobs the time is over; as many have to make room.
    old = Rules(keep_days=(age - sum(queue.counts().values()) // 1000 * APART) / DAY)
    full = Rules(quota_bytes=queue.stored_bytes() * 999 // 1000)

    def claim_some() -> None:
        for number in range(RUNNING):
            leases.claim(f"gpu{number}")

    yield Chore(name="start: put right what a kill left", make=lambda: reconcile(queue))
    yield Chore(name=f"start: take back {RUNNING} jobs", make=leases.recover, before=claim_some)
    yield Chore(name="check of SQLite's file", make=queue.database.check)
    yield Chore(name="look for lost videos, without rest", make=Review(queue, rest=0.0).run)
    yield Chore(name="retention by age", make=Retention(queue, old).due)
    yield Chore(name="retention by size", make=Retention(queue, full).due)
    yield Chore(name="forget old deletions", make=lambda: queue.forget_deletions(queue.now() - DELETIONS * DAY))
    yield Chore(name="pictures that are needed", make=queue.pictures)
    yield Chore(name="backup of the database", make=lambda: _backup(queue, url))


def _backup(queue: Queue, url: str) -> None:
    with tempfile.TemporaryDirectory(dir=queue.folder.root.parent) as folder:
        if queue.database.is_sqlite:
            backup(queue.folder, Path(folder) / "backup", videos=False)
            return
        where = programs()
        assert where is not None
        command = [str(where / "pg_dump"), "--format=custom", "--compress=1", f"--dbname={url}"]
        with (Path(folder) / "dump").open("wb") as dump:
            subprocess.run(command, stdout=dump, check=True)
