import contextlib
import json
import queue as queues
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.conftest import spec
from tests.postgres import Postgres
from wanvideo.errors import DiskFull
from wanvideo.jobs.executor import Message
from wanvideo.jobs.job import Job, State
from wanvideo.jobs.ledger import Change
from wanvideo.jobs.queue import Queue
from wanvideo.jobs.spec import JobSpec
from wanvideo.jobs.supervisor import Supervisor, share
from wanvideo.jobs.terms import Deadlines


class Pretender:
    """The process of `pretender.py`."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._said: queues.Queue[Message] = queues.Queue()

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and (self._process.poll() is None or not self._said.empty())

    @property
    def exitcode(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("pretender.py"))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()

    def send(self, message: Message) -> None:
        if self._process is None or self._process.stdin is None:
            return
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def receive(self, timeout: float) -> Message | None:
        try:
            return self._said.get(timeout=timeout)
        except queues.Empty:
            return None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdin is not None
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            self._said = queues.Queue()

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        said = self._said
        for line in process.stdout:
            said.put(json.loads(line))
        process.stdout.close()
        process.wait()


class Files:
    """Models that are fetched when a test says so."""

    def __init__(self, *missing: str) -> None:
        self.lacking = set(missing)
        self.stopped: list[str] = []
        self.asked: dict[str, Callable[[Mapping[str, Any] | None], None]] = {}

    def missing(self, spec: JobSpec) -> bool:
        return spec.model in self.lacking

    def at_hand(self) -> set[str]:
        return set()

    def prepare(
        self, job: Job, progress: Callable[[int, int], None], done: Callable[[Mapping[str, Any] | None], None]
    ) -> Callable[[bool], None]:
        progress(25, 100)
        self.asked[job.id] = done
        return lambda wanted: self.stopped.append(job.id)


def describe(job: Job, how: str, known: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"code": "WORKER_CRASH" if how == "crash" else "WORKER_HUNG", "message": f"{how} in {known['phase']}"}


FAST = Deadlines(phases={"load": 10.0, "encode": 0.5, "denoise": 10.0}, heartbeat=30.0, cancel=0.5)


@pytest.fixture
def files() -> Files:
    return Files("i2v-A14B")


@pytest.fixture
def supervisor(queue: Queue, files: Files) -> Iterator[Supervisor]:
    supervisor = Supervisor(
        queue, {"gpu": Pretender}, describe=describe, preparer=files, deadlines=FAST, start_again_after=0.01
    )
    supervisor.start()
    yield supervisor
    assert supervisor.drain(10)


def ended(queue: Queue, job: Job, seconds: float = 20) -> Job:
    return wait(queue, job, lambda found: found.done, seconds)


def wait(queue: Queue, job: Job, enough: Callable[[Job], bool], seconds: float = 20) -> Job:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if enough(found := queue.get(job.id)):
            return found
        time.sleep(0.02)
    raise AssertionError(f"{found} after {seconds} s")


def test_jobs_are_done_one_after_the_other(queue: Queue, supervisor: Supervisor) -> None:
    jobs = queue.submit(spec("ok 2"), count=3)
    found = [ended(queue, job) for job in jobs]
    assert [job.state for job in found] == [State.SUCCEEDED] * 3
    assert len({job.result["pid"] for job in found if job.result}) == 1


def test_progress_is_what_the_worker_said(queue: Queue, supervisor: Supervisor) -> None:
    told: list[Change] = []
    queue.subscribe(told.append)
    ended(queue, queue.submit(spec("ok 4"))[0])
    steps = [c.job.progress for c in told if c.kind == "progress" and c.job.progress.phase == "denoise"]
    assert [(p.step, p.steps) for p in steps] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert all(p.eta_seconds is not None and p.eta_seconds < 3 for p in steps)
    assert [p.percent for p in steps] == sorted(p.percent for p in steps)


def test_a_job_whose_worker_dies_goes_on_from_what_was_kept(queue: Queue, supervisor: Supervisor) -> None:
    job = queue.submit(spec("ok 40"))[0]
    wait(queue, job, lambda found: found.progress.step >= 3)
    supervisor.lanes[0].executor._process.kill()  # type: ignore[attr-defined]
    found = ended(queue, job)
    assert found.state is State.SUCCEEDED
    assert found.result is not None
    assert found.result["first"] >= 3
    assert (found.attempt, found.deaths) == (2, 1)


def test_three_deaths_are_the_jobs_fault_and_the_queue_goes_on(queue: Queue, supervisor: Supervisor) -> None:
    bad, good = queue.submit(spec("crash"))[0], queue.submit(spec("ok 1"))[0]
    found = ended(queue, bad)
    assert (found.state, found.attempt) == (State.FAILED, 3)
    assert found.failure == {"code": "WORKER_CRASH", "message": "crash in load"}
    assert ended(queue, good).state is State.SUCCEEDED


def test_a_worker_that_hangs_is_killed(queue: Queue, supervisor: Supervisor) -> None:
    found = ended(queue, queue.submit(spec("hang"))[0])
    assert found.failure is not None
    assert found.failure["code"] == "WORKER_HUNG"


def test_a_sticky_error_takes_the_process_and_not_the_job(queue: Queue, supervisor: Supervisor) -> None:
    found = ended(queue, queue.submit(spec("sticky 1"))[0])
    assert (found.state, found.attempt) == (State.SUCCEEDED, 2)
    assert supervisor.workers()[0].starts == 2


def test_a_rank_that_fails_costs_an_attempt_and_the_third_one_the_job(queue: Queue, supervisor: Supervisor) -> None:
    (job,) = queue.submit(spec("rank 9"))
    failed = ended(queue, job)
    assert (failed.state, failed.attempt, failed.deaths) == (State.FAILED, 3, 2)
    assert failed.failure is not None
    assert failed.failure["message"] == "rank 1 of 2 died"
    assert supervisor.workers()[0].starts == 1, "the worker itself has nothing to do with it"


@pytest.mark.parametrize("free", range(1, 9))
def test_a_job_gets_its_even_share_of_what_is_free(free: int) -> None:
    assert share(free, 0) == free
    for waiting in range(12):
        assert share(free, waiting) * (1 + waiting) <= free or share(free, waiting) == 1
        assert share(free, waiting) >= share(free, waiting + 1) >= 1


def test_a_failure_is_kept_with_its_words(queue: Queue, supervisor: Supervisor) -> None:
    found = ended(queue, queue.submit(spec("fail"))[0])
    assert found.failure == {"code": "VRAM_OOM_VAE", "message": "too large"}
    assert queue.runs()[0].code == "VRAM_OOM_VAE"


@pytest.mark.parametrize("manner", ["ok", "deaf"])
def test_a_running_job_is_cancelled_whether_the_worker_listens_or_not(
    queue: Queue, supervisor: Supervisor, manner: str
) -> None:
    job = queue.submit(spec(f"{manner} 400"))[0]
    wait(queue, job, lambda found: found.progress.step >= 1)
    queue.cancel(job.id)
    assert ended(queue, job, 5).state is State.CANCELLED
    assert ended(queue, queue.submit(spec("ok 1"))[0]).state is State.SUCCEEDED


def test_files_are_fetched_while_other_jobs_run(queue: Queue, supervisor: Supervisor, files: Files) -> None:
    lacking, other = queue.submit(spec("ok 1", model="i2v-A14B"))[0], queue.submit(spec("ok 1"))[0]
    assert ended(queue, other).state is State.SUCCEEDED
    found = queue.get(lacking.id)
    assert (found.state, found.progress.phase, found.progress.percent) == (State.RUNNING, "download", 25)
    files.lacking.clear()
    files.asked[lacking.id](None)
    assert ended(queue, lacking).state is State.SUCCEEDED


def test_a_download_that_fails_fails_its_job(queue: Queue, supervisor: Supervisor, files: Files) -> None:
    job = queue.submit(spec("ok 1", model="i2v-A14B"))[0]
    wait(queue, job, lambda found: found.progress.percent == 25 and job.id in files.asked)
    files.asked[job.id]({"code": "DOWNLOAD_UNREACHABLE", "message": "no network"})
    found = ended(queue, job)
    assert found.failure == {"code": "DOWNLOAD_UNREACHABLE", "message": "no network"}


def test_a_job_cancelled_while_its_download_begins_wants_nothing(
    queue: Queue, supervisor: Supervisor, files: Files
) -> None:
    cancelled = threading.Event()

    def cancel(change: Change) -> None:
        if change.kind == "progress" and not cancelled.is_set():  # said before there is anything to stop
            cancelled.set()
            queue.cancel(change.job.id)

    queue.subscribe(cancel)
    job = queue.submit(spec(model="i2v-A14B"))[0]
    assert ended(queue, job).state is State.CANCELLED
    assert files.stopped == [job.id]


def test_a_download_is_stopped_when_its_job_is_cancelled(queue: Queue, supervisor: Supervisor, files: Files) -> None:
    job = queue.submit(spec("ok 1", model="i2v-A14B"))[0]
    wait(queue, job, lambda found: supervisor.fetching is not None and job.id in supervisor.fetching.jobs)
    queue.cancel(job.id)
    assert ended(queue, job).state is State.CANCELLED
    assert files.stopped == [job.id]


def test_a_server_that_stops_keeps_its_job(queue: Queue) -> None:
    first = Supervisor(queue, {"gpu": Pretender}, describe=describe, deadlines=FAST)
    first.start()
    job = queue.submit(spec("ok 60"))[0]
    wait(queue, job, lambda found: found.progress.step >= 2)
    assert first.drain(5)
    found = queue.get(job.id)
    assert (found.state, found.deaths) == (State.QUEUED, 0)
    second = Supervisor(queue, {"gpu": Pretender}, describe=describe, deadlines=FAST)
    second.start()
    found = ended(queue, job)
    assert second.drain(5)
    assert found.result is not None
    assert found.result["first"] >= 2


def test_two_workers_share_the_queue(queue: Queue) -> None:
    both = Supervisor(queue, {"a": Pretender, "b": Pretender}, describe=describe, deadlines=FAST)
    both.start()
    jobs = [ended(queue, job) for job in queue.submit(spec("ok 10"), count=4)]
    assert both.drain(5)
    assert len({job.result["pid"] for job in jobs if job.result}) == 2


def test_a_worker_that_does_not_start_is_tried_again_and_said_so(queue: Queue) -> None:
    class Broken(Pretender):
        def start(self) -> None:
            raise OSError("no such program")

    supervisor = Supervisor(queue, {"gpu": Broken}, describe=describe, start_again_after=0.01)
    supervisor.start()
    until = time.monotonic() + 10
    while supervisor.workers()[0].starts < 3 and time.monotonic() < until:
        time.sleep(0.02)
    assert supervisor.workers()[0].problem == "it could not be started: no such program"
    assert supervisor.drain(5)


def test_a_job_goes_on_when_the_database_was_away(
    supervisor: Supervisor, queue: Queue, request: pytest.FixtureRequest
) -> None:
    if queue.database.is_sqlite:
        pytest.skip("SQLite has no server that could be away")
    postgres: Postgres = request.getfixturevalue("postgres")
    jobs = [queue.submit(spec("steps 20"))[0] for _ in range(3)]
    for _ in range(3):
        time.sleep(0.4)
        postgres.restart()
    assert [ended(queue, job, 60).state for job in jobs] == [State.SUCCEEDED] * 3
    assert [len([event for event in queue.events(job.id) if event.kind == "succeeded"]) for job in jobs] == [1, 1, 1]
    assert supervisor.workers()[0].problem is None


def test_what_was_fetched_while_the_database_was_away_is_heard_of_later(
    supervisor: Supervisor, queue: Queue, files: Files, request: pytest.FixtureRequest
) -> None:
    if queue.database.is_sqlite:
        pytest.skip("SQLite has no server that could be away")
    server: Postgres = request.getfixturevalue("postgres")
    good, bad = (queue.submit(spec("ok", model="i2v-A14B"))[0] for _ in range(2))
    while files.asked.keys() != {good.id, bad.id}:
        time.sleep(0.02)
    server.control("stop", "-m", "immediate")
    files.lacking.clear()
    files.asked[good.id](None)  # whoever tells is not kept waiting
    files.asked[bad.id]({"code": "DOWNLOAD_DISK_FULL", "message": "no room"})
    server.control("start", "-l", str(server.data / "log"))
    states = [ended(queue, job).state for job in (good, bad)]
    assert states[0] is State.SUCCEEDED
    assert states[1] in (State.SUCCEEDED, State.FAILED)  # it may have been tried again


def test_what_was_to_be_fetched_when_the_database_failed_waits_again(queue: Queue, files: Files) -> None:
    supervisor = Supervisor(queue, {"gpu": Pretender}, describe=describe, preparer=files)
    fetched, forgotten = (queue.submit(spec("ok", model="i2v-A14B"))[0] for _ in range(2))
    claimed = [supervisor.leases.start(job.id, supervisor.downloader, phase="download") for job in (fetched, forgotten)]
    assert supervisor.fetching is not None
    assert claimed[0] is not None
    supervisor.fetching.begin(claimed[0])
    supervisor.recover(supervisor.lanes[0])  # the other one's claim was stored, and not heard of
    assert [queue.get(job.id).state for job in (fetched, forgotten)] == [State.RUNNING, State.QUEUED]


def test_a_download_says_nothing_more_of_a_job_that_others_took(
    supervisor: Supervisor, queue: Queue, files: Files
) -> None:
    job = queue.submit(spec("ok", model="i2v-A14B"))[0]
    mine = wait(queue, job, lambda found: found.progress.phase == "download" and job.id in files.asked)
    queue.hear(Change(job=mine, kind="progress", data={}, here=False))
    queue.hear(Change(job=replace(mine, attempt=0, state=State.QUEUED), kind="submitted", data={}, here=False))
    assert files.stopped == []  # what was heard late is of an attempt before
    queue.hear(Change(job=replace(mine, attempt=mine.attempt + 1), kind="started", data={}, here=False))
    assert files.stopped == [job.id]
    assert supervisor.fetching is not None
    assert supervisor.fetching.jobs == frozenset()


def test_a_job_goes_on_when_the_disk_was_full(supervisor: Supervisor, queue: Queue) -> None:
    if not queue.database.is_sqlite:
        pytest.skip("a limit of SQLite's stands for the disk")
    jobs = [queue.submit(spec("steps 20"))[0]]
    with queue.database.write() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with contextlib.suppress(DiskFull):
        while True:
            jobs += queue.submit(spec("steps 2"))
    until = time.monotonic() + 30
    while supervisor.workers()[0].state != "waiting" and time.monotonic() < until:
        time.sleep(0.02)
    assert "disk of the database is full" in str(supervisor.workers()[0].problem)
    with queue.database.write() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 100000")
    assert {ended(queue, job, 60).state for job in jobs} == {State.SUCCEEDED}
    assert supervisor.workers()[0].problem is None
