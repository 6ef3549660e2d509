"""Several workers of one supervisor, which are processes that compute nothing."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from tests.jobs.conftest import spec
from tests.jobs.test_placement import SEAT
from tests.jobs.test_supervisor import FAST, Files, Pretender, describe, ended, wait
from wanvideo.errors import InvalidRequest, WorkerNotFound
from wanvideo.jobs.job import Job, State
from wanvideo.jobs.lane import WorkerView
from wanvideo.jobs.placement import Seat, WorkerLimits
from wanvideo.jobs.queue import Queue
from wanvideo.jobs.supervisor import Supervisor

Make = Callable[..., Supervisor]


@pytest.fixture
def make(queue: Queue) -> Iterator[Make]:
    with ExitStack() as closing:

        def start(*names: str, **options: Any) -> Supervisor:
            made = Supervisor(
                queue, dict.fromkeys(names, Pretender), describe=describe, deadlines=FAST, start_again_after=0.01,
                **options,
            )  # fmt: skip
            made.start()
            closing.callback(made.drain, 10)
            until(lambda: all(view.state == "idle" for view in made.workers()))
            return made

        yield start


def until(enough: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not enough():
        assert time.monotonic() < end
        time.sleep(0.01)


def view(supervisor: Supervisor, name: str) -> WorkerView:
    return next(each for each in supervisor.workers() if each.name == name)


def owners(queue: Queue, jobs: list[Job]) -> list[str]:
    """The workers of jobs, in which these were done."""
    return [
        next(event.data["worker"] for event in queue.events(job=ended(queue, job).id) if event.kind == "started")
        for job in jobs
    ]


def order(queue: Queue) -> list[str]:
    """Models of all jobs, as these began."""
    started = [event.job for event in queue.events() if event.kind == "started"]
    return [queue.get(job).model for job in started]


def test_each_worker_stays_with_its_model(queue: Queue, make: Make) -> None:
    make("one", "two")
    jobs = [queue.submit(spec("ok 3", model=model))[0] for model in "abababab"]
    found = owners(queue, jobs)
    assert len(set(found[0::2])) == len(set(found[1::2])) == 1


def test_no_job_is_passed_over_for_ever(queue: Queue, make: Make) -> None:
    make("one", "two", patience=0.5)
    queue.pause()
    jobs = [queue.submit(spec("ok 10", model="a"))[0] for _ in range(2)]
    jobs.append(queue.submit(spec("ok 10", model="b"))[0])
    jobs += [queue.submit(spec("ok 10", model="a"))[0] for _ in range(8)]
    queue.pause(False)
    for job in jobs:
        ended(queue, job)
    assert 2 < order(queue).index("b") < 8  # others went before it, and not all


def test_one_worker_alone_keeps_to_the_order(queue: Queue, make: Make) -> None:
    make("one")
    jobs = [queue.submit(spec("ok 1", model=model))[0] for model in "abab"]
    for job in jobs:
        ended(queue, job)
    assert order(queue) == list("abab")


def test_a_worker_takes_the_models_that_it_is_to_take(queue: Queue, make: Make) -> None:
    limits = {"one": WorkerLimits(models=frozenset("a"), memory=5), "two": WorkerLimits(models=frozenset("b"))}
    supervisor = make("one", "two", limits=limits)
    jobs = [queue.submit(spec("ok 1", model=model))[0] for model in "aabb"]
    assert owners(queue, jobs) == ["one", "one", "two", "two"]
    assert [(queue.get(job.id).result or {})["memory_limit"] for job in jobs] == [5, 5, None, None]
    supervisor.limit("two", WorkerLimits(models=frozenset("c")))
    supervisor.limit("one", WorkerLimits())
    assert owners(queue, [queue.submit(spec("ok 1", model="b"))[0]]) == ["one"]


def test_a_limit_holds_once_it_is_set(queue: Queue, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for who is just looking for a job within the old one."""
    supervisor = make("one")
    looks, found = threading.Event(), threading.Event()

    def claim(*_: object, **__: object) -> None:
        looks.set()
        found.wait(10)

    monkeypatch.setattr(supervisor.leases, "claim", claim)
    assert looks.wait(10)
    limiting = threading.Thread(target=supervisor.limit, args=("one", WorkerLimits(models=frozenset("a"))))
    limiting.start()
    limiting.join(0.2)
    assert limiting.is_alive()
    found.set()
    limiting.join(10)
    assert not limiting.is_alive()


def test_workers_come_and_go_while_others_work(queue: Queue, make: Make) -> None:
    supervisor = make("one")
    first = queue.submit(spec("ok 60"))[0]
    wait(queue, first, lambda found: found.progress.step >= 2)
    supervisor.add("two", Pretender)
    with pytest.raises(InvalidRequest, match="'two' already"):
        supervisor.add("two", Pretender)
    assert owners(queue, [queue.submit(spec("ok 1"))[0]]) == ["two"]
    supervisor.remove("one", now=True)  # its job goes on in the other one, from where it was
    found = ended(queue, first)
    assert (found.attempt, found.deaths) == (2, 0)
    assert found.result is not None
    assert found.result["first"] >= 2
    until(lambda: [each.name for each in supervisor.workers()] == ["two"])
    with pytest.raises(WorkerNotFound, match="no worker 'one' here, but two"):
        supervisor.remove("one")


def test_a_worker_that_is_to_go_does_its_job_first(queue: Queue, make: Make) -> None:
    supervisor = make("one")
    job = queue.submit(spec("ok 20"))[0]
    wait(queue, job, lambda found: found.progress.step >= 2)
    supervisor.remove("one")
    assert view(supervisor, "one").state == "leaving"
    assert ended(queue, job).attempt == 1
    until(lambda: not supervisor.workers())
    assert queue.get(queue.submit(spec("ok 1"))[0].id).state is State.QUEUED


def test_a_broken_device_gets_no_more_jobs_until_it_is_put_back(queue: Queue, make: Make) -> None:
    """Jobs that one worker dies with are done by the other one."""

    class Broken(Pretender):
        def send(self, message: Any) -> None:
            super().send(message)
            if message["type"] == "run":
                assert self._process is not None
                self._process.kill()

    supervisor = make("good")
    supervisor.add("bad", Broken)
    until(lambda: view(supervisor, "bad").state == "idle")
    jobs = queue.submit(spec("ok 10"), count=12)
    assert all(ended(queue, job).state is State.SUCCEEDED for job in jobs)
    bad = view(supervisor, "bad")
    assert bad.out is not None
    assert (bad.state, bad.out.code, bad.pid) == ("out", "losses", None)
    assert bad.problem == "3 jobs in a row lost their worker here"
    assert sum(queue.get(job.id).deaths for job in jobs) == 3
    supervisor.put_back("bad")
    until(lambda: view(supervisor, "bad").state == "idle")


def test_a_slow_device_gets_no_more_jobs_while_others_work(queue: Queue, make: Make) -> None:
    limits = {"slow": WorkerLimits(models=frozenset({"for-slow"})), "good": WorkerLimits(models=frozenset({"a"}))}
    supervisor = make("good", "slow", limits=limits)
    for _ in range(3):
        ended(queue, queue.submit(spec("pace 3.0", model="for-slow"))[0])
        ended(queue, queue.submit(spec("pace 1.0", model="a"))[0])
    until(lambda: view(supervisor, "slow").state == "out")
    assert "3.0 times as long as on the others" in str(view(supervisor, "slow").problem)
    supervisor.remove("good")  # now it is the only one, and a slow one is better than none
    assert owners(queue, [queue.submit(spec("ok 1", model="for-slow"))[0]]) == ["slow"]


def test_a_broken_device_of_a_machine_is_taken_out_if_other_machines_work(queue: Queue, make: Make) -> None:
    supervisor = make("one")
    supervisor.elsewhere = lambda: [SEAT]
    jobs = [queue.submit(spec("crash"))[0] for _ in range(3)]
    until(lambda: view(supervisor, "one").state == "out")
    assert [(found.state, found.deaths) for found in map(queue.get, (job.id for job in jobs))] == [
        (State.QUEUED, 1)
    ] * 3
    supervisor.elsewhere = tuple  # now it is alone, and takes also what it died with
    assert all(ended(queue, job).state is State.FAILED for job in jobs)


def with_model(model: str, **more: Any) -> Seat:
    """A worker of another machine that has one."""
    return replace(SEAT, at_hand=frozenset({model}), **more)


def test_a_job_whose_model_another_machine_has_is_left_to_it_for_a_while(queue: Queue, make: Make) -> None:
    supervisor = make("one", preparer=Files("a"), patience=600.0)
    supervisor.elsewhere = lambda: [with_model("a")]
    job, other = queue.submit(spec("ok 1", model="a"))[0], queue.submit(spec("ok 1", model="b"))[0]
    ended(queue, other)
    assert queue.get(job.id).state is State.QUEUED
    supervisor._turns.patience = 0.1  # as if it had passed: the other one has too much to do
    wait(queue, job, lambda found: found.progress.phase == "download")


def test_a_job_is_not_left_to_a_machine_that_does_not_take_it(queue: Queue, make: Make) -> None:
    supervisor = make("one", preparer=Files("a"), patience=600.0)
    limits = WorkerLimits(models=frozenset({"b"}))
    supervisor.elsewhere = lambda: [with_model("a", limits=limits), with_model("a", unable=frozenset({"a"}))]
    wait(queue, queue.submit(spec("ok 1", model="a"))[0], lambda found: found.progress.phase == "download")


def test_while_a_model_is_on_its_way_its_other_jobs_are_there_for_other_machines(queue: Queue, make: Make) -> None:
    files = Files("a")
    supervisor = make("one", "two", preparer=files)
    supervisor.elsewhere = lambda: [SEAT]
    first, second = (queue.submit(spec("ok 1", model="a"))[0] for _ in range(2))
    wait(queue, first, lambda found: found.progress.phase == "download")
    ended(queue, queue.submit(spec("ok 1", model="b"))[0])
    assert queue.get(second.id).state is State.QUEUED
    files.lacking.clear()
    files.asked[first.id](None)
    assert {ended(queue, job).state for job in (first, second)} == {State.SUCCEEDED}


def test_what_a_machine_cannot_fetch_is_left_to_others_while_there_are_some(queue: Queue, make: Make) -> None:
    files = Files("a")
    supervisor = make("one", preparer=files)
    supervisor.elsewhere = lambda: [SEAT]
    job = queue.submit(spec("ok 1", model="a"))[0]
    wait(queue, job, lambda _: job.id in files.asked)
    full = {"code": "DOWNLOAD_DISK_FULL", "message": "one: no room"}
    files.asked.pop(job.id)(full)
    ended(queue, queue.submit(spec("ok 1", model="b"))[0])
    assert (queue.get(job.id).state, supervisor.unable) == (State.QUEUED, frozenset({"a"}))
    assert [each.data["reason"] for each in queue.events(job=job.id) if each.kind == "requeued"] == ["one: no room"]
    supervisor.elsewhere = lambda: [replace(SEAT, unable=frozenset({"a"}))]  # the other one can no more
    wait(queue, job, lambda _: job.id in files.asked)
    files.asked[job.id](full)
    assert ended(queue, job).failure == full


def test_what_no_machine_could_fetch_fails_at_once(queue: Queue, make: Make) -> None:
    files = Files("a")
    supervisor = make("one", preparer=files)
    supervisor.elsewhere = lambda: [SEAT]
    job = queue.submit(spec("ok 1", model="a"))[0]
    wait(queue, job, lambda _: job.id in files.asked)
    files.asked[job.id]({"code": "DOWNLOAD_NOT_FOUND", "message": "the hub has no such file"})
    assert ended(queue, job).state is State.FAILED
