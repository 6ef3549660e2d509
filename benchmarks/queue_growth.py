"""How the queue bears many stored jobs: claims, status, first pages and submits, on SQLite and on PostgreSQL.

    python -m benchmarks.queue_growth                              # 1,000,000 finished jobs, in SQLite
    python -m benchmarks.queue_growth --database postgresql://...  # in an empty database
    python -m benchmarks.queue_growth --debian                     # in a PostgreSQL that is started for it

Every call is one that the server makes, through the same code, from one thread; beside the finished jobs wait 1,000.
 Prints milliseconds of the median, of the 99th percentile and of the slowest call, and exits with 1 if a 99th
percentile is above the goal of 20 ms.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import text

from tests.postgres import programs, running
from wanvideo.jobs.database import Database
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.intake import Submission
from wanvideo.jobs.job import Job, State
from wanvideo.jobs.leases import Leases
from wanvideo.jobs.queries import ALL, Filter
from wanvideo.jobs.queue import Queue
from wanvideo.jobs.rows import dumped
from wanvideo.jobs.spec import JobSpec
from wanvideo.request import GenerationRequest

GOAL: Final = 20.0  # milliseconds, of the 99th percentile
WAITING: Final = 1000
SPEC: Final = JobSpec(
    model="t2v-A14B",
    request=GenerationRequest(prompt="a heron lands on a frozen lake at dawn, slow pan, soft light", seed=7, frames=81),
)
RESULT: Final[dict[str, Any]] = {
    "file": "a-heron-lands-on-a-frozen-lake-7-0123456789ab.mp4", "sha256": "0" * 64, "bytes": 4_711_000, "frames": 81,
    "fps": 16, "width": 832, "height": 480, "steps": 40, "seconds": 300.0,
    "phases": {"load": 20.0, "encode": 2.0, "denoise": 250.0, "decode": 20.0, "write": 8.0},
}  # fmt: skip
# By the database itself, to which a million rows are a matter of seconds.
NUMBERS: Final = {
    True: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count) {insert} FROM n",
    False: "{insert} FROM generate_series(1, :count) AS n(i)",
}
ID: Final = {True: "printf('%032x', i)", False: "lpad(to_hex(i), 32, '0')"}
JOBS: Final = """INSERT INTO jobs (id, state, model, prompt, spec, priority, rank, attempt, deaths, cancelling, created,
    started, finished, result, bytes, favourite)
SELECT {id}, CASE i % 20 WHEN 0 THEN 'failed' WHEN 1 THEN 'cancelled' ELSE 'succeeded' END, :model, :prompt, :spec, 0,
    i * 1024.0, 1, 0, 0, 1.7e9 + i, 1.7e9 + i, 1.7e9 + i, :result, 4711000, 0"""
EVENTS: Final = "INSERT INTO events (job, number, at, kind, data) SELECT {id}, {number}, 1.7e9 + i, '{kind}', '{{}}'"


def fill(database: Database, count: int) -> None:
    numbers, name = NUMBERS[database.is_sqlite], ID[database.is_sqlite]
    values = {
        "count": count, "model": SPEC.model, "prompt": SPEC.request.prompt, "spec": dumped(SPEC.to_json()),
        "result": dumped(RESULT),
    }  # fmt: skip
    with database.write() as connection:
        connection.execute(text(numbers.format(insert=JOBS.format(id=name))), values)
        for number, kind in enumerate(("submitted", "started", "succeeded"), 1):
            insert = EVENTS.format(id=name, number=number, kind=kind)
            connection.execute(text(numbers.format(insert=insert)), {"count": count})
    # As it is in a store that has grown slowly.
    if database.is_sqlite:
        with database.write() as connection:
            connection.execute(text("ANALYZE"))
    else:
        with database.read() as connection:
            connection.execute(text("VACUUM (ANALYZE)"))
            connection.execute(text("CHECKPOINT"))


def calls(queue: Queue) -> dict[str, Callable[[], object]]:
    """By name. Each claims, ends or submits a job of its own."""
    leases, held = Leases(queue), list[Job]()
    ids = iter(str(uuid.uuid4()) for _ in iter(int, 1))

    def claim() -> None:
        job = leases.claim(next(ids))
        assert job is not None
        held.append(job)

    def first(which: Filter = ALL) -> int:
        assert len(queue.page(which, limit=50).jobs) == 50
        return sum(queue.counts(which).values()) + queue.stored_bytes()

    succeeded = Filter(states=frozenset({State.SUCCEEDED}))
    return {
        "claim": claim,
        "report an event": lambda: leases.record(held[-1], "phase", {"phase": "denoise"}),
        "succeed": lambda: leases.succeed(held.pop(), RESULT),
        "submit": lambda: queue.intake.submit(Submission(spec=SPEC)),
        "status": lambda: queue.get(f"{uuid.uuid4().int % 1000 + 1:032x}"),
        "first page of the queue": first,
        "first page of the videos": lambda: first(succeeded),
        "counts": queue.counts,
    }


def measure(queue: Queue, rounds: int) -> dict[str, list[float]]:
    """Milliseconds by call. Rounds of all of them, so that reads meet fresh writes."""
    took: dict[str, list[float]] = {}
    made = calls(queue)
    for _ in range(rounds):
        for name, call in made.items():
            began = time.perf_counter()
            call()
            took.setdefault(name, []).append(1000 * (time.perf_counter() - began))
    return took


@contextmanager
def store(options: argparse.Namespace) -> Iterator[tuple[Database, DataFolder]]:
    with ExitStack() as closing:
        folder = DataFolder(Path(closing.enter_context(tempfile.TemporaryDirectory(dir=options.folder))))
        folder.make()
        url = options.database or f"sqlite:///{folder.database}"
        if options.debian:
            where = programs()
            if where is None:
                raise SystemExit("PostgreSQL is not installed: apt-get install postgresql")
            url = closing.enter_context(running(where)).create("growth")
        database = Database(url)
        closing.callback(database.close)
        database.migrate()
        yield database, folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--database", help="of PostgreSQL, an empty one")
    parser.add_argument("--debian", action="store_true", help="start a PostgreSQL of one's own")
    parser.add_argument("--folder", help="on the disk that is to be measured")
    options = parser.parse_args()
    with store(options) as (database, folder):
        began = time.monotonic()
        fill(database, options.jobs)
        queue = Queue(database, folder, most_waiting=10**9)
        for _ in range(WAITING // 50):
            queue.submit(SPEC, count=50)
        print(f"{options.jobs} jobs stored in {time.monotonic() - began:.0f} s")
        took = measure(queue, options.rounds)
    slow = False
    for name, all_of in took.items():
        p99 = statistics.quantiles(all_of, n=100)[98]
        slow |= p99 > GOAL
        row = {"call": name, "median": statistics.median(all_of), "p99": p99, "worst": max(all_of)}
        print(json.dumps({key: round(value, 2) if isinstance(value, float) else value for key, value in row.items()}))
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
