"""Jobs that come in together."""

import pytest

from tests.jobs.conftest import spec
from wanvideo.errors import IdempotencyConflict, QueueFull
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.intake import Stored, Submission
from wanvideo.jobs.queue import Queue


def test_a_batch_is_one_transaction_in_the_order_in_which_it_came(queue: Queue) -> None:
    asked = [Submission(spec=spec(f"heron {number}")) for number in range(20)]
    stored = queue.intake.submit_all(asked)
    ids = [outcome.jobs[0].id for outcome in stored if isinstance(outcome, Stored)]
    assert [job.id for job in queue.waiting()] == ids == list(queue.line())
    assert [queue.place(queue.get(job)) for job in ids] == list(range(1, 21))
    assert [event.job for event in queue.events()] == ids


def test_what_is_refused_does_not_touch_the_others(queue: Queue) -> None:
    queue.submit(spec("other"), key="taken")
    asked = [
        Submission(spec=spec(), count=40),
        Submission(spec=spec(), count=40),  # of 50
        Submission(spec=spec("something else"), key="taken"),
        Submission(spec=spec(), count=9),
    ]
    first, full, conflict, last = queue.intake.submit_all(asked)
    assert isinstance(full, QueueFull)
    assert isinstance(conflict, IdempotencyConflict)
    assert isinstance(first, Stored)
    assert isinstance(last, Stored)
    assert len(queue.waiting()) == 1 + 40 + 9


def test_a_key_that_comes_twice_in_a_batch_makes_one_job(queue: Queue) -> None:
    twice = [Submission(spec=spec(), key="k", count=3)] * 2
    first, second = queue.intake.submit_all(twice)
    assert isinstance(first, Stored)
    assert second == Stored(jobs=first.jobs, replayed=True)
    assert next(outcome for outcome in queue.intake.submit_all(twice[:1]) if isinstance(outcome, Stored)).replayed
    assert len(queue.waiting()) == 3


def test_the_place_of_a_job_follows_its_priority(queue: Queue) -> None:
    last, first = queue.submit(spec())[0], queue.submit(spec(), priority=5)[0]
    held = queue.submit(spec(), held=True)[0]
    assert (queue.place(first), queue.place(last), queue.place(held)) == (1, 2, None)


def test_nothing_is_there_if_the_transaction_fails(queue: Queue, folder: DataFolder) -> None:
    with pytest.raises(ZeroDivisionError):
        queue.intake.submit_all([Submission(spec=spec()), _broken()])
    assert queue.waiting() == ()


def _broken() -> Submission:
    class Bad(Submission):
        @property
        def digest(self) -> str:
            raise ZeroDivisionError

    return Bad(spec=spec(), key="bad")
