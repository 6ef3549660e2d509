"""What one process does, heard in another one with the same PostgreSQL."""

import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.jobs.conftest import spec
from tests.postgres import TEMPLATE, Postgres
from wanvideo.jobs.database import Database
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.job import Progress, State
from wanvideo.jobs.leases import Leases
from wanvideo.jobs.ledger import Change
from wanvideo.jobs.queue import Queue
from wanvideo.jobs.relay import Relay

Join = Callable[[], tuple[Queue, list[Change]]]


@pytest.fixture
def join(postgres: Postgres, tmp_path: Path) -> Iterator[Join]:
    """One more process: its queue, and what it was told."""
    name = uuid.uuid4().hex
    url = postgres.create(name, template=TEMPLATE)
    with ExitStack() as closing:
        closing.callback(postgres.drop, name)

        def make() -> tuple[Queue, list[Change]]:
            database = Database(url)
            closing.callback(database.close)
            queue, told = Queue(database, DataFolder(tmp_path)), list[Change]()
            relay = Relay(queue)
            relay.start()
            closing.callback(relay.stop)
            queue.subscribe(told.append)
            return queue, told

        yield make


def until(enough: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not enough():
        assert time.monotonic() < end
        time.sleep(0.01)


def kinds(told: list[Change]) -> list[str]:
    return [change.kind for change in told if change.kind != "progress"]


def test_the_life_of_a_job_is_heard_everywhere_once_and_in_order(join: Join) -> None:
    (here, mine), (there, others) = join(), join()
    job = here.submit(spec())[0]
    until(lambda: kinds(others) == ["submitted"])  # a process tells what it does itself at once
    leases = Leases(there)
    held = leases.claim("gpu")
    assert held is not None
    leases.report(held, Progress(phase="denoise", step=2, steps=4))
    until(lambda: here.get(job.id).progress.step == 2)
    assert leases.succeed(held, {"file": "a.mp4"})
    here_too = ["submitted", "started", "succeeded", "deleted"]
    until(lambda: "succeeded" in kinds(mine))
    here.delete(job.id)
    until(lambda: kinds(mine) == kinds(others) == here_too)
    time.sleep(1.2)  # in which all look once more
    assert kinds(mine) == kinds(others) == here_too
    assert [change.here for change in mine if change.kind != "progress"] == [True, False, False, True]
    assert others[-1].job.id == job.id


@pytest.mark.parametrize("size", [100, 40_000])
def test_a_preview_is_seen_everywhere(join: Join, size: int) -> None:
    (here, mine), (there, _) = join(), join()
    here.submit(spec())
    leases = Leases(there)
    held = leases.claim("gpu")
    assert held is not None
    data = {"jpeg": random.Random(size).randbytes(size).hex(), "step": 1}
    leases.show(held, data)
    until(lambda: "preview" in kinds(mine))
    assert [dict(change.data) for change in mine if change.kind == "preview"] == [data]


def test_a_preview_that_is_too_large_is_left_out(join: Join) -> None:
    (here, mine), (there, _) = join(), join()
    here.submit(spec())
    leases = Leases(there)
    held = leases.claim("gpu")
    assert held is not None
    leases.show(held, {"jpeg": "a" * 200_000})
    leases.show(held, {"jpeg": "small"})
    until(lambda: "preview" in kinds(mine))
    assert [dict(change.data) for change in mine if change.kind == "preview"] == [{"jpeg": "small"}]


def test_a_job_is_cancelled_by_another_process_at_once(join: Join) -> None:
    (here, _), (there, others) = join(), join()
    job = here.submit(spec())[0]
    assert Leases(there).claim("gpu") is not None
    began = time.monotonic()
    here.cancel(job.id)
    until(lambda: "cancelling" in kinds(others))
    assert time.monotonic() - began < 0.9  # it was told, and did not look by itself


def test_who_waits_for_work_is_woken(join: Join) -> None:
    (here, _), (there, _) = join(), join()
    until(lambda: not here.waiting())
    began = time.monotonic()
    here.submit(spec())
    there.wait(10)
    assert time.monotonic() - began < 5


def test_what_happened_while_the_database_was_away_is_told_later(join: Join, postgres: Postgres) -> None:
    (here, _), (there, others) = join(), join()
    here.submit(spec())
    until(lambda: kinds(others) == ["submitted"])
    postgres.restart()
    jobs = [here.submit(spec())[0].id for _ in range(3)]
    until(lambda: [change.job.id for change in others][1:] == jobs)
    assert there.counts()[State.QUEUED] == 4


def test_what_is_done_here_is_not_heard_from_the_database_while_it_is_told(postgres: Postgres, tmp_path: Path) -> None:
    name = uuid.uuid4().hex
    database = Database(postgres.create(name, template=TEMPLATE))
    queue, told = Queue(database, DataFolder(tmp_path)), list[Change]()
    queue.subscribe(lambda _: time.sleep(1.5))  # meanwhile the relay looks
    queue.subscribe(told.append)
    relay = Relay(queue)
    relay.start()
    try:
        queue.submit(spec(), count=2)
        until(lambda: len(told) >= 2)
        time.sleep(1.2)
        assert [change.here for change in told] == [True, True]
    finally:
        relay.stop()
        database.close()
        postgres.drop(name)


def test_many_events_of_many_processes_are_all_heard_once(join: Join) -> None:
    queues = [join() for _ in range(3)]
    for number in range(60):
        queues[number % 3][0].submit(spec(), count=10)
    for _, told in queues:
        until(lambda told=told: len(told) >= 600)  # type: ignore[misc]
        assert len({change.event.seq for change in told if change.event}) == len(told) == 600
