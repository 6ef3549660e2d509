"""The proofs with several machines can fail, and, in short, they do not."""

import os
import shutil
from collections.abc import Mapping
from typing import Any

import pytest

from benchmarks.reliability import actors, machines, network, restarts
from benchmarks.reliability.cluster import repeated, rows_of

GOOD: Mapping[str, Any] = {
    "jobs": 3, "lost": 0, "duplicated": 0, "half_files": 0, "different": 0, "went_on": 1, "repeated": 1, "seconds": 2.0,
}  # fmt: skip


def events(*said: tuple[str, int]) -> list[Mapping[str, Any]]:
    return [{"type": kind, "data": {"attempt" if kind == "started" else "step": number}} for kind, number in said]


def test_states_that_are_made_again_are_counted() -> None:
    first = [("started", 1), ("checkpoint", 5), ("checkpoint", 10), ("started", 2)]
    assert list(repeated(events(*first, ("resumed", 10), ("checkpoint", 15)))) == [0]
    assert list(repeated(events(*first, ("resumed", 5), ("checkpoint", 10)))) == [1]
    assert list(repeated(events(*first, ("checkpoint", 5)))) == [2]  # it began anew


@pytest.mark.parametrize("what", ["lost", "duplicated", "half_files", "different", "repeated"])
def test_a_broken_promise_is_seen(what: str) -> None:
    assert all(row.kept for row in rows_of([GOOD, GOOD]))
    assert not all(row.kept for row in rows_of([GOOD, {**GOOD, what: 2}]))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_kills_of_every_kind_lose_nothing() -> None:
    found: list[Any] = []
    machines.run(range(len(machines.VICTIMS)), found.append)
    assert {line["victim"] for line in found} == set(machines.VICTIMS)
    assert all(row.kept for row in machines.rows(found))


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.skipif(os.getuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2")
def test_a_network_that_is_cut_loses_nothing() -> None:
    found: list[Any] = []
    network.run(range(3), found.append)
    assert all(row.kept for row in network.rows(found))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_restarts_of_the_database_lose_nothing() -> None:
    found: list[Any] = []
    restarts.run(range(2), found.append)
    assert all(row.kept for row in restarts.rows(found))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_kills_in_a_ray_cluster_lose_nothing() -> None:
    found: list[Any] = []
    actors.run(range(len(actors.VICTIMS)), found.append)
    assert {line["victim"] for line in found} == set(actors.VICTIMS)
    assert all(row.kept for row in actors.rows(found))
