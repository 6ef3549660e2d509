"""Real processes that exchange over loopback: the same numbers as one, and one end for all."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wanvideo.errors import NonFiniteLatents, RankFailed, WanVideoError
from wanvideo.parallel.group import RankGroup, python

MEMBER = python("tests.parallel.member")


@contextmanager
def group(size: int, **begin: object) -> Iterator[RankGroup]:
    patience = 60.0 if "fault" not in begin else 1.0
    ranks = RankGroup(MEMBER, ["cpu"] * size, begin, patience=patience)
    try:
        yield ranks
    finally:
        ranks.close()


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


# --- the same numbers ------------------------------------------------------------------------------------------------


def check_differences(size: int) -> None:
    with group(size) as ranks:
        said = [ranks.hear()[1].values for _ in range(size)]
    for values in said:
        assert values["least"] == [6 - size, 0]
        far = {name: value for name, value in values["differences"].items() if value > 1e-5}
        assert not far
        assert len(values["differences"]) == 13


def test_three_ranks_compute_what_one_does() -> None:
    check_differences(3)


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 4])
def test_an_even_number_does_too(size: int) -> None:
    check_differences(size)


def test_weights_that_wait_in_host_memory_are_there_once() -> None:
    """Each rank sees both networks whole, and holds a third of them."""
    with group(3, streamed=True) as ranks:
        said = [ranks.hear()[1].values for _ in range(3)]
    for values in said:
        assert values["same"] == [True, True]
        assert values["held"]["Rss"] > values["slabs"] > 100_000
        assert abs(3 * values["held"]["Pss"] - values["held"]["Rss"]) < 0.1 * values["held"]["Rss"]
        assert values["left"] == {"Rss": 0, "Pss": 0}


# --- faults ----------------------------------------------------------------------------------------------------------


def fault(name: str, seconds: float) -> WanVideoError:
    """The error after a fault of rank 1, which comes in time and leaves nobody behind."""
    with group(2, fault=name) as ranks:
        ranks.patience = 3.0
        pids = ranks.pids
        assert len(alive(pids)) == 2
        for _ in range(2):
            ranks.hear()
        began = time.monotonic() + 2  # when it happens, at the earliest
        with pytest.raises(WanVideoError) as caught:
            ranks.hear()
        assert time.monotonic() - began < seconds
        assert not alive(pids)
    return caught.value


def test_a_rank_that_dies_ends_all() -> None:
    error = fault("dies", 5)
    assert isinstance(error, RankFailed)
    assert error.message.startswith("rank 1 of 2, on cpu, died by signal 9")


def test_a_rank_that_dies_ends_others_that_do_not_notice() -> None:
    """At once: it says no more, and what others say is of no interest."""
    assert fault("dies alone", 1.5).message.startswith("rank 1 of 2, on cpu, died by signal 9")


def test_a_rank_that_raises_ends_all() -> None:
    assert fault("raises", 5).message.startswith("rank 1 of 2, on cpu, failed: ValueError: no such luck")


@pytest.mark.slow
def test_a_rank_that_hangs_ends_all() -> None:
    assert fault("sleeps", 6).message.startswith("rank 1 of 2, on cpu, does not go on")


@pytest.mark.slow
def test_a_rank_that_is_only_slow_is_waited_for() -> None:
    """Longer than the patience, as it has always taken so long."""
    with group(2, fault="is slow") as ranks:
        assert ranks.patience < 1.5
        for _ in range(3):
            ranks.hear()


@pytest.mark.slow
def test_a_rank_that_is_stopped_ends_all() -> None:
    assert fault("stops", 5).message.startswith("rank 1 of 2, on cpu, does not go on")


@pytest.mark.slow
def test_what_all_ranks_raise_is_raised_as_it_is() -> None:
    error = fault("all raise", 5)
    assert isinstance(error, NonFiniteLatents)
    assert error.facts == {"step": 3}


STARTER = """
import time
from tests.parallel.test_group import MEMBER
from wanvideo.parallel.group import RankGroup
ranks = RankGroup(MEMBER, ["cpu"] * 2, {"fault": "none"}, patience=60.0)
for _ in range(2):
    ranks.hear()
print(*ranks.pids, flush=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_ranks_end_with_the_process_that_started_them() -> None:
    starter = subprocess.Popen([sys.executable, "-c", STARTER], stdout=subprocess.PIPE, text=True)
    try:
        assert starter.stdout is not None
        pids = [int(word) for word in starter.stdout.readline().split()]
        assert len(alive(pids)) == 2
        os.kill(starter.pid, signal.SIGKILL)
        until = time.monotonic() + 10
        while alive(pids) and time.monotonic() < until:
            time.sleep(0.05)
        assert not alive(pids)
    finally:
        starter.kill()
        starter.communicate()
