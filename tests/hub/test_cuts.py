"""A download that is killed again and again ends with the right bytes, and fetches few of them twice."""

from pathlib import Path

import pytest

from tests.hub.cuts import cut
from tests.hub.loopback import LoopbackHub


def test_ten_kills_cost_little(loopback: LoopbackHub, tmp_path: Path) -> None:
    outcome = cut(loopback, tmp_path, nbytes=6 << 20, cuts=10, seed=3, bytes_per_second=5e5)
    assert outcome.right
    assert outcome.kills == 10
    # A kill costs what was on its way, whatever the size of the whole; this whole is 40 times too small for 5 %.
    assert outcome.ratio <= 1.2


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_two_hundred_kills_cost_at_most_five_percent(loopback: LoopbackHub, tmp_path: Path) -> None:
    outcome = cut(loopback, tmp_path, nbytes=256 << 20, cuts=200, seed=1, bytes_per_second=3e5)
    assert outcome.right
    assert outcome.kills >= 190  # chance may end a life of the last ones
    assert outcome.ratio <= 1.05
