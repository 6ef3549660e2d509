"""Gaps between kernels are counted once, whatever overlaps."""

import pytest

from benchmarks.speed.profile import Span, busy, by_name

SPANS = [Span("b", 60.0, 80.0), Span("a", 0.0, 30.0), Span("a", 10.0, 20.0), Span("c", 75.0, 100.0)]


def test_the_time_between_spans_is_idle_and_all_other_busy() -> None:
    assert busy(SPANS) == pytest.approx((70e-6, 30e-6, 30e-6))
    assert busy([]) == (0, 0, 0)


def test_names_are_added_up_and_the_longest_come_first() -> None:
    found = by_name(SPANS)
    assert list(found) == ["a", "c", "b"]
    assert found["a"] == pytest.approx((40e-6, 2))
