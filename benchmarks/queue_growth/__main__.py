"""How the queue bears a million stored jobs, and a thousand workers: `make growth`.

    python -m benchmarks.queue_growth --json build/growth.jsonl --report docs/reliability.md
    python -m benchmarks.queue_growth --stores postgres --database postgresql://...   # an empty one, which it fills

Needs PostgreSQL's programs, and starts one of its own unless an address is given; SQLite is measured without the many
workers. Each result is a line of JSON as soon as it is known; a run that is interrupted goes on where it was, after it
has filled the store again, unless that stayed where it was. Exits with 1 if a goal is missed.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import delete

from benchmarks.queue_growth import calls, chores, crew, nodes, served
from benchmarks.queue_growth.report import broken, pages
from benchmarks.queue_growth.stored import fill
from benchmarks.reliability.record import Record
from benchmarks.reliability.report import placed
from tests.postgres import MISSING, programs, running
from wanvideo.jobs.database import Database
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.job import State
from wanvideo.jobs.queue import Queue
from wanvideo.jobs.tables import JOBS

STORES: Final = ("sqlite", "postgres")
PARTS: Final = ("calls", "chores", "nodes", "served", "workers")
MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much of everything."""

    jobs: int
    rounds: int
    workers: Sequence[int]
    seconds: float  # of each number of workers
    waiting: int  # jobs, when they begin
    nodes: Sequence[int]  # machines
    serving: int  # rounds of a server
    submitting: float  # seconds of each

    @classmethod
    def of(cls, options: argparse.Namespace) -> "Sizes":
        if options.tiny:
            return cls(
                jobs=300, rounds=2, workers=(1, 6), seconds=1.0, waiting=400, nodes=(2,), serving=1, submitting=0.5
            )
        return cls(
            jobs=options.jobs, rounds=calls.ROUNDS, workers=options.workers, seconds=crew.SECONDS,
            waiting=crew.WAITING, nodes=nodes.NODES, serving=served.ROUNDS, submitting=served.SECONDS,
        )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    record, sizes = Record(options.json), Sizes.of(options)
    for store in options.stores:
        if todo := list(_missing(record, store, sizes, options.parts)):
            with _opened(store, options.database, options.folder) as (queue, url):
                fill(queue, sizes.jobs)
                for part in todo:
                    part(queue, url)
    if options.report is not None:
        options.report.write_text(placed(options.report.read_text("utf-8"), pages(record)), encoding="utf-8")
    for text in pages(record).values():
        print(f"{text}\n")
    for text in broken(record):
        print(f"BROKEN: {text}")
    return int(any(broken(record)))


Part = Callable[[Queue, str], None]


def _missing(record: Record, store: str, sizes: Sizes, parts: Collection[str]) -> Iterator[Part]:
    """What there is no line of yet, in an order in which each part leaves the store good for the next."""

    def lines(proof: str) -> int:
        return sum(line["store"] == store for line in record.lines(proof))

    if "calls" in parts and not lines("calls"):
        yield lambda queue, _: _tell_all(record, store, "calls", calls.measure(queue, sizes.jobs, sizes.rounds))
    if "chores" in parts and not lines("chores"):
        yield lambda queue, url: _tell_all(record, store, "chores", chores.measure(queue, url))
    if "nodes" in parts and store == "postgres" and not lines("nodes"):
        yield lambda queue, _: _tell_all(record, store, "nodes", nodes.measure(queue, sizes.nodes))
    for _ in range(lines("served"), sizes.serving if "served" in parts else 0):
        yield lambda queue, url: record.add(
            "served", {"store": store, "jobs": sizes.jobs, **_served(queue, url, sizes.submitting)}
        )
    done, began = {line["workers"] for line in record.lines("workers")}, time.time()
    for workers in sizes.workers if "workers" in parts and store == "postgres" else ():
        if workers not in done:
            yield lambda queue, url, workers=workers: record.add(  # type: ignore[misc]
                "workers",
                {"store": store, **crew.run_point(queue, url, workers, sizes.seconds, sizes.waiting)},
            )
    if "workers" in parts and not done.issuperset(sizes.workers) and store == "postgres":
        yield lambda queue, _: _forget_waiting(queue, began)


def _tell_all(record: Record, store: str, proof: str, found: Iterator[Mapping[str, Any]]) -> None:
    """All of it, or nothing."""
    record.add(proof, {"store": store, "found": list(found)})


def _served(queue: Queue, url: str, seconds: float) -> dict[str, Any]:
    began = queue.now()
    queue.pause()  # what waits would only be in the way
    try:
        return served.run_round(queue.folder.root.parent, None if queue.database.is_sqlite else url, seconds)
    finally:
        queue.pause(False)
        _forget_waiting(queue, began)


def _forget_waiting(queue: Queue, since: float) -> None:
    """As it was before: jobs that were added since, and that nobody began."""
    with queue.database.write() as connection:
        connection.execute(delete(JOBS).where(JOBS.c.state == str(State.QUEUED), JOBS.c.created >= since))


@contextmanager
def _opened(store: str, url: str | None, folder: str | None) -> Iterator[tuple[Queue, str]]:
    with ExitStack() as closing:
        root = closing.enter_context(tempfile.TemporaryDirectory()) if folder is None else folder
        data = DataFolder(Path(root) / "data")
        data.make()
        if store == "sqlite":
            url = f"sqlite:///{data.database}"
        elif url is None:
            if (where := programs()) is None:
                raise SystemExit(MISSING)
            url = closing.enter_context(running(where)).create("growth")
        database = Database(url)
        closing.callback(database.close)
        database.migrate()
        yield Queue(database, data, most_waiting=10**9), url


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=MILLION)
    parser.add_argument("--stores", type=lambda text: text.split(","), default=STORES, metavar="NAME,...")
    parser.add_argument("--parts", type=lambda text: text.split(","), default=PARTS, metavar="NAME,...")
    parser.add_argument("--workers", type=lambda text: [int(n) for n in text.split(",")], default=crew.WORKERS)
    parser.add_argument("--database", help="of PostgreSQL, an empty one")
    parser.add_argument("--folder", help="where the store lies, and stays; else it is a temporary one")
    parser.add_argument("--json", type=Path, default=Path("build/growth.jsonl"), metavar="FILE")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the figures into this page")
    parser.add_argument("--tiny", action="store_true", help="only whether it works")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
