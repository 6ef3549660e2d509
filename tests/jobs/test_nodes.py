"""Processes that share a queue, and what becomes of the jobs of one that is gone."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.jobs.conftest import spec
from tests.jobs.test_supervisor import Pretender, describe, wait
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.job import State
from wanvideo.jobs.leases import Leases
from wanvideo.jobs.nodes import Nodes, node_of
from wanvideo.jobs.queue import Queue
from wanvideo.jobs.supervisor import Supervisor
from wanvideo.jobs.terms import MOST_DEATHS


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def nodes(queue: Queue, clock: Clock) -> Callable[[str], Nodes]:
    supervisor = Supervisor(queue, {}, describe=describe, node="b")

    def make(name: str) -> Nodes:
        return Nodes(queue.database, name, about=lambda: {"host": name}, lost=supervisor.take_back, now=clock)

    return make


def test_a_node_that_falls_silent_loses_its_jobs_and_what_it_still_says_is_not_heard(
    queue: Queue, clock: Clock, nodes: Callable[[str], Nodes]
) -> None:
    job, leases = queue.submit(spec())[0], Leases(queue)
    silent, observer = nodes("a"), nodes("b")
    silent.beat()
    observer.beat()
    first = leases.claim("a/gpu")
    assert first is not None
    for _ in range(10):  # a minute in which it says that it is there
        clock.now += 6
        silent.beat()
        assert observer.look() == []
    clock.now += 29
    assert observer.look() == []
    clock.now += 2
    assert observer.look() == ["a"]
    assert [view.id for view in observer.views()] == ["b"]
    assert queue.get(job.id).state is State.QUEUED
    second = leases.claim("b/gpu")
    assert second is not None
    assert second.deaths == 1
    assert not leases.record(first, "phase", {"phase": "denoise"})
    assert not leases.succeed(first, {"file": "late.mp4"})
    assert leases.succeed(second, {"file": "counts.mp4"})
    silent.beat()  # it was only slow
    assert [view.id for view in observer.views()] == ["a", "b"]


def test_a_node_that_nobody_listed_loses_its_jobs_too(
    queue: Queue, clock: Clock, nodes: Callable[[str], Nodes]
) -> None:
    job = queue.submit(spec())[0]
    Leases(queue).claim("a/gpu")
    observer = nodes("b")
    observer.look()
    clock.now += 31
    assert observer.look() == ["a"]
    assert queue.get(job.id).state is State.QUEUED


def test_a_job_that_is_lost_with_too_many_machines_fails(
    queue: Queue, clock: Clock, nodes: Callable[[str], Nodes]
) -> None:
    job, observer = queue.submit(spec())[0], nodes("b")
    for _ in range(MOST_DEATHS):
        assert Leases(queue).claim("a/gpu") is not None
        observer.look()
        clock.now += 31
        observer.look()
    assert queue.get(job.id).state is State.FAILED


def test_a_job_that_was_to_be_cancelled_is_cancelled_when_its_machine_is_lost(
    queue: Queue, clock: Clock, nodes: Callable[[str], Nodes]
) -> None:
    job, observer = queue.submit(spec())[0], nodes("b")
    Leases(queue).claim("a/gpu")
    queue.cancel(job.id)
    observer.look()
    clock.now += 31
    observer.look()
    assert queue.get(job.id).state is State.CANCELLED


def test_who_comes_next_to_a_data_folder_takes_up_its_jobs_and_those_alone(queue: Queue, folder: DataFolder) -> None:
    node = node_of(folder)
    assert node_of(folder) == node
    assert node_of(DataFolder(_made(folder.root / "other"))) != node
    mine, other = (queue.submit(spec())[0] for _ in range(2))
    Leases(queue).claim(f"{node}/gpu")
    Leases(queue).claim("another/gpu")
    supervisor = Supervisor(queue, {}, describe=describe, node=node)
    supervisor.start()
    assert queue.get(mine.id).state is State.QUEUED
    assert queue.get(other.id).state is State.RUNNING
    assert supervisor.drain(1)


@pytest.fixture
def supervisor(queue: Queue) -> Iterator[Supervisor]:
    supervisor = Supervisor(queue, {"gpu": Pretender}, describe=describe, node="a", start_again_after=0.01)
    supervisor.start()
    yield supervisor
    assert supervisor.drain(10)


def test_a_worker_whose_job_was_given_to_others_gives_it_up(queue: Queue, supervisor: Supervisor) -> None:
    job = queue.submit(spec("keep 1000"))[0]
    held = wait(queue, job, lambda found: found.progress.step > 2)
    assert held.worker == "a/gpu"
    supervisor.take_back("a")  # by another one, to which this one was silent
    second = Leases(queue).start(job.id, "b/gpu")
    assert second is not None
    next_one = queue.submit(spec("steps 3"))[0]
    wait(queue, next_one, lambda found: found.state is State.SUCCEEDED)
    assert queue.get(job.id).worker == "b/gpu"


def _made(path: Path) -> Path:
    path.mkdir()
    return path
