"""Limits, kept over restarts."""

from pathlib import Path

import pytest

from wanvideo.request import Tier
from wanvideo.server.limits import Limits, LimitsFile, Precision


def test_limits_survive_a_restart(tmp_path: Path) -> None:
    limits = Limits(quantization=Precision.INT8, offload=False, tile=256, vram_gib=12.5)
    LimitsFile(tmp_path / "limits.json").set(limits)
    assert LimitsFile(tmp_path / "limits.json").current == limits


@pytest.mark.parametrize("text", ["", "[]", "{", '{"tile": "big", "vram_gib": -1, "quantization": 7}', "\ud800"])
def test_a_damaged_file_sets_no_limits(tmp_path: Path, text: str) -> None:
    path = tmp_path / "limits.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    assert LimitsFile(path).current == Limits()


def test_limits_mean_what_plans_take() -> None:
    assert Limits().tier is Tier.EXACT
    assert Limits(quantization=Precision.INT8).tier is Tier.FAST
    assert Limits(vram_gib=2).memory_limit == 2**31
