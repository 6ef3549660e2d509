from dataclasses import replace

import pytest

from wanvideo.jobs.placement import Record, Seat, Turns, WorkerLimits, allowed, judged, wishes
from wanvideo.jobs.queries import ANY

SEAT = Seat(loaded=frozenset(), limits=WorkerLimits(), lost={}, free=True)
A, B = frozenset({"a"}), frozenset({"b"})
HEAD = ("job", "b")  # of model b


def made(*paces: float) -> Record:
    record = Record()
    for pace in paces:
        record.made(pace)
    return record


def test_a_loaded_model_comes_first_and_then_whatever_is_next() -> None:
    mine = replace(SEAT, loaded=A)
    assert wishes(mine, [SEAT], ANY, HEAD, overdue=False) == (ANY.preferring(A), ANY)


@pytest.mark.parametrize(("loaded", "overdue"), [(B, False), (A, True)])
def test_the_next_job_is_taken_if_its_model_is_loaded_or_it_has_waited_long(
    loaded: frozenset[str], overdue: bool
) -> None:
    assert wishes(replace(SEAT, loaded=loaded), [], ANY, HEAD, overdue=overdue) == (ANY,)


def test_a_job_is_left_to_a_free_worker_that_has_its_model() -> None:
    free = replace(SEAT, loaded=B)
    assert wishes(SEAT, [free], ANY, HEAD, overdue=False) == (ANY.leaving(B),)


@pytest.mark.parametrize(
    "other", [replace(SEAT, loaded=B, free=False), replace(SEAT, loaded=B, limits=WorkerLimits(models=A)),
              replace(SEAT, loaded=B, lost={"job": "b"})]
)  # fmt: skip
def test_a_job_is_not_left_to_a_worker_that_would_not_take_it(other: Seat) -> None:
    assert wishes(SEAT, [other], ANY, HEAD, overdue=False) == (ANY,)


def test_a_job_that_a_worker_died_with_is_left_to_others_that_did_not() -> None:
    mine = replace(SEAT, lost={"job": "b"})
    assert allowed(mine, [SEAT]).without == {"job"}
    assert allowed(mine, [mine]).without == set()
    assert allowed(mine, []).without == set()


def test_a_device_is_broken_if_different_jobs_bring_its_worker_down_in_a_row() -> None:
    record = Record()
    for job in ("1", "2", "2"):
        record.died(job, "a")
    assert judged(record, [None]) is None
    record.died("3", "a")
    out = judged(record, [None])
    assert out is not None
    assert (out.code, out.reason) == ("losses", "3 jobs in a row lost their worker here")
    record.made(1.0)
    assert judged(record, [None]) is None


def test_a_device_is_slow_if_it_takes_twice_as_long_as_others_of_what_was_planned() -> None:
    slow, usual = made(2.1, 2.2, 9.0, 2.2, 2.1), made(1.1, 1.0, 1.0)
    out = judged(slow, [usual.pace, made(5.0).pace])  # of the last one too little is known
    assert out is not None
    assert (out.code, out.reason) == (
        "slow", "steps take 2.2 times as long as on the others, of what was planned 2.20 and 1.00",
    )  # fmt: skip
    assert judged(usual, [slow.pace]) is None
    assert judged(slow, [2.0]) is None  # the plan is wrong, and not the device
    assert judged(made(2.2, 2.2), [1.0]) is None


def test_a_job_may_be_passed_over_for_so_long() -> None:
    now = 0.0
    turns = Turns(10.0, lambda: now)
    assert not turns.is_overdue("job")
    turns.passed_over("job")
    now = 9.0
    turns.passed_over("job")
    assert not turns.is_overdue("job")
    now = 10.0
    assert turns.is_overdue("job")
    turns.forget("job")
    assert not turns.is_overdue("job")
    assert Turns(0.0, lambda: now).is_overdue("job")
