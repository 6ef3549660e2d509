"""Many who take jobs at the same time, in threads and in processes."""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.jobs.conftest import spec
from tests.postgres import Postgres
from wanvideo.errors import StorageFailed
from wanvideo.jobs.database import Database
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.job import State
from wanvideo.jobs.leases import Leases
from wanvideo.jobs.queue import Queue

WORKER = """
import sys
from pathlib import Path
from wanvideo.jobs.database import Database
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.leases import Leases
from wanvideo.jobs.queue import Queue

database = Database(sys.argv[1])
leases = Leases(Queue(database, DataFolder(Path(sys.argv[2]))))
while (job := leases.claim(sys.argv[3])) is not None:
    assert leases.succeed(job, {"file": f"{job.id}.mp4"})
    print(job.id, job.attempt)
database.close()
"""


def test_every_job_is_claimed_once_by_many_threads(queue: Queue) -> None:
    jobs = [queue.submit(spec(), priority=n % 3)[0].id for n in range(40)]

    def work(name: int) -> Iterator[str]:
        leases = Leases(queue)
        while (job := leases.claim(f"gpu{name}")) is not None:
            assert leases.record(job, "phase", {"phase": "denoise"})
            assert leases.succeed(job, {"file": f"{job.id}.mp4"})
            yield job.id

    with ThreadPoolExecutor(8) as pool:
        done = [job for some in pool.map(lambda name: list(work(name)), range(8)) for job in some]
    assert sorted(done) == sorted(jobs)
    assert queue.counts()[State.SUCCEEDED] == 40
    assert [event.number for event in queue.events(jobs[0])] == [1, 2, 3, 4]


def test_every_job_is_claimed_once_by_many_processes(queue: Queue, url: str, folder: DataFolder) -> None:
    if queue.database.is_sqlite:
        pytest.skip("one process has SQLite's file")
    jobs = [queue.submit(spec())[0].id for _ in range(40)]
    processes = [
        subprocess.Popen([sys.executable, "-c", WORKER, url, folder.root, f"gpu{n}"], stdout=subprocess.PIPE, text=True)
        for n in range(3)
    ]
    said = [line.split() for process in processes for line in process.communicate(timeout=60)[0].splitlines()]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(job for job, _ in said) == sorted(jobs)
    assert {attempt for _, attempt in said} == {"1"}


def test_a_job_of_higher_priority_is_claimed_first_and_a_paused_queue_gives_none(queue: Queue) -> None:
    first, second = queue.submit(spec(), priority=-1)[0], queue.submit(spec(), priority=5)[0]
    queue.pause()
    assert Leases(queue).claim("gpu") is None
    queue.pause(False)
    claimed = [Leases(queue).claim("gpu") for _ in range(3)]
    assert [job and job.id for job in claimed] == [second.id, first.id, None]


def test_a_store_that_is_started_again_is_used_again(url: str, folder: DataFolder, postgres: Postgres) -> None:
    if url.startswith("sqlite"):
        pytest.skip("there is nothing to start again")
    database = Database(url)
    queue = Queue(database, folder)
    job = queue.submit(spec())[0]
    postgres.restart()
    assert queue.get(job.id) == job
    postgres.control("stop", "-m", "immediate")
    try:
        with pytest.raises(StorageFailed):
            queue.submit(spec())
    finally:
        postgres.control("start", "-l", str(postgres.data / "log"))
    assert queue.counts()[State.QUEUED] == 1
    database.close()


def test_a_machine_whose_clock_is_behind_ends_no_job_before_it_began(database: Database, folder: DataFolder) -> None:
    queue = Queue(database, folder, most_waiting=50)
    late = Leases(Queue(database, folder, most_waiting=50, now=lambda: time.time() - 600))
    job = queue.submit(spec())[0]
    begun = late.claim("other/gpu")
    assert begun is not None
    assert late.succeed(begun, {"file": "v.mp4"})
    found = queue.get(job.id)
    assert found.started is not None
    assert found.finished is not None
    assert found.created <= found.started <= found.finished
