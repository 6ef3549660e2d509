"""Which rank was the first cause, from what each said and how it ended."""

import signal
from dataclasses import replace

import pytest

from wanvideo.errors import NonFiniteLatents, NotEnoughMemory, RankFailed
from wanvideo.parallel.verdict import Ending, verdict
from wanvideo.parallel.wire import Message

LOST = Message("lost", {"message": "Connection closed by peer"})


def failed(error: str | None, message: str) -> Message:
    return Message("failed", {"error": error, "message": message, "suggestions": ["smaller"], "facts": {"step": 3}})


def ending(rank: int, last: Message | None = None, exitcode: int | None = None) -> Ending:
    return Ending(rank=rank, device=f"cuda:{rank}", last=last, exitcode=exitcode)


@pytest.mark.parametrize(
    ("others", "first", "says"),
    [
        (LOST, ending(1, failed(None, "ValueError: no such luck"), 1), "failed: ValueError: no such luck"),
        (LOST, ending(1, None, -signal.SIGKILL), "died by signal 9"),
        (LOST, ending(1, None, 3), "died with exit code 3"),
        (LOST, ending(1), "does not go on"),
    ],
)
def test_who_lost_the_others_is_not_the_cause(others: Message, first: Ending, says: str) -> None:
    error = verdict([ending(0, others, 1), first, ending(2, others, 1)])
    assert isinstance(error, RankFailed)
    assert error.message.startswith(f"rank 1 of 3, on cuda:1, {says}")
    assert error.facts == {"rank": 1, "ranks": 3, "device": "cuda:1"}


def test_who_fell_behind_hangs_and_who_waits_for_it_does_not() -> None:
    behind = replace(ending(1), hangs=True)
    error = verdict([ending(0), behind, ending(2, LOST, 1)])
    assert error.message.startswith("rank 1 of 3, on cuda:1, does not go on")


def test_who_was_aborted_for_waiting_too_long_is_not_the_cause_either() -> None:
    assert verdict([ending(0, None, -signal.SIGABRT), ending(1)]).facts["rank"] == 1


def test_an_error_of_one_rank_keeps_its_kind_and_names_the_rank() -> None:
    error = verdict([ending(0, LOST, 1), ending(1, failed("NotEnoughMemory", "the memory ran out"), 1)])
    assert isinstance(error, NotEnoughMemory)
    assert error.message == "rank 1 of 2, on cuda:1: the memory ran out"
    assert error.facts == {"step": 3, "rank": 1}
    assert error.suggestions == ("smaller",)


def test_an_error_that_all_ranks_have_alike_is_no_ranks_fault() -> None:
    same = failed("NonFiniteLatents", "step 3 gave NaN")
    error = verdict([ending(0, same, 1), ending(1, same, 1)])
    assert isinstance(error, NonFiniteLatents)
    assert (error.message, error.facts) == ("step 3 gave NaN", {"step": 3})


def test_where_all_lost_one_another_nobody_is_left_out() -> None:
    assert "Connection closed by peer" in verdict([ending(0, LOST, 1), ending(1, LOST, 1)]).message
