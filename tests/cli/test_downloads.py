"""What people read while a model is downloaded."""

from pathlib import Path

import pytest

from tests.hub.loopback import LoopbackHub
from tests.hub.scene import REPO, plan, repository
from wanvideo.cli.downloads import describe, duration, progress_line
from wanvideo.cli.models import size
from wanvideo.weights.download.events import DownloadProgress, State


@pytest.mark.parametrize(
    ("nbytes", "text"), [(12, "12 bytes"), (2048, "2.0 KiB"), (3 << 20, "3.0 MiB"), (36 << 30, "36.0 GiB")]
)
def test_sizes_have_their_unit(nbytes: int, text: str) -> None:
    assert size(nbytes) == text


@pytest.mark.parametrize(("seconds", "text"), [(4.4, "4 s"), (600, "10 min"), (9000, "2.5 h")])
def test_durations_have_their_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_progress_fits_on_a_line() -> None:
    progress = DownloadProgress(
        state=State.DOWNLOADING,
        files=(),
        done_bytes=3 << 30,
        total_bytes=36 << 30,
        fetched_bytes=1 << 30,
        bytes_per_second=85 * 2**20,
        seconds_left=420,
    )
    assert progress_line(progress) == "downloading: 3.0 GiB of 36.0 GiB, 85.0 MiB/s, 7 min left"


def test_a_plan_says_how_much_comes_and_where_it_goes(loopback: LoopbackHub, tmp_path: Path) -> None:
    loopback.add(REPO, repository())
    text = describe(plan(loopback, tmp_path))
    assert "830.5 KiB to fetch in 6 files, of 830.5 KiB in 6" in text
    assert str(tmp_path) in text
