"""Many workers that claim, report and finish jobs of one PostgreSQL, and what its events say about them afterwards.

Each is a thread that does what a worker's supervisor does, through the same code, and makes no videos meanwhile: so
many jobs a second are what the database bears. One attempt in fifty is taken for lost, and what it still says must
not count. Processes share the threads, and each process has its own connections, 30 at most.

    python -m benchmarks.queue_growth.crew URL FOLDER FIRST THREADS SECONDS   # one such process
"""

import itertools
import json
import math
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.queue_growth.stored import specs
from benchmarks.reliability.record import percentile
from wanvideo.jobs.database import Database
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.intake import Submission
from wanvideo.jobs.job import Job, JobEvent, Progress, State
from wanvideo.jobs.leases import Leases
from wanvideo.jobs.queries import ANY, chunks
from wanvideo.jobs.queue import Queue

WORKERS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
SECONDS: Final = 12.0
PROCESSES: Final = 4
WAITING: Final = 20_000  # jobs, when the workers begin
_LOST: Final = 50  # of so many attempts, one
_PAUSE: Final = 0.05  # seconds, of a worker that found nothing


@dataclass(slots=True)
class Worked:
    """What the workers of one process saw. Times in ms."""

    claims: list[tuple[str, int, str]] = field(default_factory=list)  # job, attempt, worker
    ends: list[tuple[str, int, str]] = field(default_factory=list)  # of those whose result was taken
    lost: int = 0  # attempts that were given back
    heard: int = 0  # of them: that were heard after that, which must not be
    empty: int = 0  # claims that found nothing
    cpu_seconds: float = 0.0  # of the process
    claim_ms: list[float] = field(default_factory=list)
    report_ms: list[float] = field(default_factory=list)


def work(leases: Leases, name: str, until: float) -> Worked:
    """One worker, until that time of the monotonic clock."""
    seen, chance, loaded = Worked(), random.Random(name), frozenset[str]()
    while time.monotonic() < until:
        began = time.perf_counter()
        job = _claimed(leases, name, loaded)
        if job is None:
            seen.empty += 1
            time.sleep(_PAUSE)
            continue
        seen.claim_ms.append(1e3 * (time.perf_counter() - began))
        seen.claims.append((job.id, job.attempt, name))
        loaded = frozenset({job.model})
        for kind, data in (
            ("phase", {"phase": "denoise"}),
            ("checkpoint", {"step": 20}),
            ("phase", {"phase": "write"}),
        ):
            began = time.perf_counter()
            leases.record(job, kind, data)
            leases.report(job, Progress(phase="denoise", step=20, steps=40))
            seen.report_ms.append(1e3 * (time.perf_counter() - began))
        if chance.randrange(_LOST) == 0:
            _lose(leases, job, seen)
        elif leases.succeed(job, {"file": f"{job.id}.mp4", "bytes": 4_711_000, "worker": name}):
            seen.ends.append((job.id, job.attempt, name))
    return seen


def _claimed(leases: Leases, name: str, loaded: frozenset[str]) -> Job | None:
    """As a supervisor asks: for the first job, or before it one of the model that is loaded."""
    if (head := leases.next()) is None:
        return None
    if head.model not in loaded and (job := leases.claim(name, ANY.preferring(loaded))) is not None:
        return job
    return leases.claim(name)


def _lose(leases: Leases, job: Job, seen: Worked) -> None:
    """The attempt is taken for lost while it goes on: another one gets the job, and this one is not heard."""
    seen.lost += leases.requeue(job, "its worker was not heard", death=True)
    heard = leases.record(job, "phase", {"phase": "decode"}) or leases.succeed(job, {"file": "twice.mp4"})
    seen.heard += heard


def run_point(queue: Queue, url: str, workers: int, seconds: float = SECONDS, waiting: int = WAITING) -> dict[str, Any]:
    """So many workers for so long, and what the database says about it."""
    _refill(queue, waiting)
    since, count = queue.last_seq(), min(workers, PROCESSES)
    shares = [len(range(n, workers, count)) for n in range(count)]
    command = [sys.executable, "-m", "benchmarks.queue_growth.crew", url, str(queue.folder.root)]
    crews = [
        subprocess.Popen(
            [*command, str(number), str(share), str(seconds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for number, share in enumerate(shares)
    ]
    for crew in crews:  # they have imported everything, and are connected
        assert crew.stdout is not None
        assert crew.stdout.readline() == "ready\n"
    before, began = cpu_of_server(queue.database), time.monotonic()
    with ThreadPoolExecutor(count) as pool:
        worked = together(pool.map(_ended, crews))
    took = time.monotonic() - began
    cpu, done = cpu_of_server(queue.database) - before, len(worked.ends)
    return {
        "workers": workers, "processes": count, "seconds": round(took, 2), "jobs": done,
        "jobs_per_second": round(done / took, 1), "postgres_cpu_ms_per_job": round(1e3 * cpu / max(1, done), 2),
        "workers_cpu_ms_per_job": round(1e3 * worked.cpu_seconds / max(1, done), 2),
        "cores": round((cpu + worked.cpu_seconds) / took, 2),
        "claim_p50_ms": round(percentile(worked.claim_ms, 50), 2),
        "claim_p99_ms": round(percentile(worked.claim_ms, 99), 2),
        "report_p50_ms": round(percentile(worked.report_ms, 50), 2),
        "report_p99_ms": round(percentile(worked.report_ms, 99), 2), "found_nothing": worked.empty,
        "workers_without_a_job": workers - len({worker for _, _, worker in worked.claims}),
        "attempts": len(worked.claims), "attempts_taken_back": worked.lost, "heard_after_that": worked.heard,
        **judged(queue, since, worked),
    }  # fmt: skip


def judged(queue: Queue, since: int, worked: Worked) -> dict[str, int]:
    """Leases that are wrong, by what the database has kept since an event; every value should be 0."""
    started: list[tuple[str, int, str]] = []
    succeeded: set[str] = set()
    holder: dict[str, str] = {}  # by job: the worker that has it now
    overlapping = twice = 0
    for event in _all_events(queue, since):
        match event.kind:
            case "started":
                started.append((event.job, event.data["attempt"], event.data["worker"]))
                overlapping += event.job in holder
                holder[event.job] = event.data["worker"]
            case "requeued":
                overlapping += holder.pop(event.job, None) is None
            case "succeeded":
                overlapping += holder.pop(event.job, None) is None
                twice += event.job in succeeded
                succeeded.add(event.job)
    given = Counter((job, attempt) for job, attempt, _ in worked.claims)
    published = {job.id: (job.attempt, (job.result or {}).get("worker")) for job in queue.find_all(succeeded).values()}
    return {
        "leases_lost": len(set(started) - set(worked.claims)),  # of which no worker knows
        "leases_unknown": len(set(worked.claims) - set(started)),  # of which no event knows
        "leases_doubled": sum(count - 1 for count in given.values()) + len(started) - len(set(started)) + overlapping,
        "jobs_ended_twice": twice,
        "jobs_left_running": len(holder),
        "results_of_another": sum(published.get(job) != (attempt, name) for job, attempt, name in worked.ends)
        + len(succeeded ^ {job for job, _, _ in worked.ends}),
    }


WRONG: Final = ("leases_lost", "leases_unknown", "leases_doubled", "jobs_ended_twice", "jobs_left_running",
                "results_of_another", "heard_after_that")  # fmt: skip


def together(parts: Iterable[Worked]) -> Worked:
    whole = Worked()
    for part in parts:
        whole.claims += part.claims
        whole.ends += part.ends
        whole.claim_ms += part.claim_ms
        whole.report_ms += part.report_ms
        whole.lost += part.lost
        whole.heard += part.heard
        whole.empty += part.empty
        whole.cpu_seconds += part.cpu_seconds
    return whole


def cpu_of_server(database: Database) -> float:
    """Seconds that PostgreSQL has worked, all its processes together; nan where it is on another machine."""
    with database.read() as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    try:
        server = psutil.Process(pid).parent()
    except psutil.NoSuchProcess:
        return math.nan
    if server is None or server.name() != "postgres":
        return math.nan
    own = server.cpu_times()
    alive = [process.cpu_times() for process in server.children()]
    # Those of connections that have ended count in what their parent says of its children.
    return float(own.children_user + own.children_system + sum(each.user + each.system for each in [own, *alive]))


def _refill(queue: Queue, waiting: int) -> None:
    missing, chosen = waiting - queue.counts()[State.QUEUED], itertools.cycle(specs())
    for some in chunks(range(missing), 500):
        queue.intake.submit_all([Submission(spec=next(chosen)) for _ in some])


def _all_events(queue: Queue, since: int) -> Iterator[JobEvent]:
    """In the order in which they came, which is that of each job's own."""
    while events := queue.events(since=since, limit=5000):
        yield from events
        since = events[-1].seq


def _ended(crew: "subprocess.Popen[str]") -> Worked:
    said, _ = crew.communicate("go\n")
    if crew.returncode != 0:
        raise ChildProcessError(f"a process of workers ended with {crew.returncode}")
    values = json.loads(said)
    for name in ("claims", "ends"):
        values[name] = [tuple(each) for each in values[name]]
    return Worked(**values)


def main(arguments: Sequence[str]) -> None:
    """One process: it says that it is ready, waits for a line, and says what its workers saw."""
    url, folder, first, threads, seconds = arguments
    database = Database(url)
    leases = Leases(Queue(database, DataFolder(Path(folder))))
    leases.next()
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.process_time()
    names = [f"{first}/gpu{number}" for number in range(int(threads))]
    until = time.monotonic() + float(seconds)
    with ThreadPoolExecutor(len(names)) as pool:
        worked = together(pool.map(lambda name: work(leases, name, until), names))
    database.close()
    worked.cpu_seconds = time.process_time() - began
    print(json.dumps(asdict(worked)))


if __name__ == "__main__":
    main(sys.argv[1:])
