"""What a lossy setting costs: one clip for real, and the table of made-up ones."""

import math
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.judge.trials import Given, trials
from benchmarks.quality import DIALS, EXACT, Dial, Measured, markdown, measure, rows, too_lossy

MODEL = "ti2v-5B-demo"


def one(dial: str = EXACT.name, seed: int = 0, **changes: Any) -> Measured:
    values: dict[str, Any] = {
        "computed": 1.0,
        "time": 1.0,
        "psnr": math.inf,
        "ssim": 1.0,
        "latents": 0.0,
        "right": True,
    }
    return Measured(model=MODEL, version="1", dial=dial, seed=seed, **(values | changes))


def recommended() -> str:
    return next(dial.name for dial in DIALS if dial.recommended)


@pytest.mark.slow
def test_a_clip_is_compared_with_the_exact_one() -> None:
    trial = next(iter(trials(MODEL, 24, given=Given.TEXT)))
    exact, cached = measure(trial, [Dial(name="cache", request={"step_cache": 0.1})])
    assert (exact.dial, exact.computed, exact.psnr, exact.ssim, exact.latents) == ("exact", 1, math.inf, 1, 0)
    assert cached.dial == "cache"
    assert cached.computed < 0.9
    assert 15 < cached.psnr < 60
    assert 0.5 < cached.ssim < 1
    assert 0 < cached.latents < 0.2


def test_a_row_sums_up_the_clips_and_pairs_each_with_its_exact_one() -> None:
    exact = [one(seed=seed, right=seed != 1) for seed in range(4)]
    lossy = [one("d", 0, right=False, psnr=30.0), one("d", 1, psnr=40.0, ssim=0.9, time=0.5, computed=0.5)]
    row = rows([*exact, *lossy])[1]
    assert (row.clips, row.right, row.lost, row.won) == (2, 0.5, 1, 1)
    assert (row.psnr, row.ssim, row.computed) == ((35.0, 30.0), (0.95, 0.9), 0.75)
    assert row.time == 0.75


def test_a_recommended_dial_may_lose_a_point() -> None:
    name = recommended()
    exact = [one(seed=seed) for seed in range(100)]
    lossy = [one(name, seed, right=seed > 0) for seed in range(100)]
    assert not too_lossy(rows([*exact, *lossy]))
    lossy[1] = replace(lossy[1], right=False)
    assert [row.dial for row in too_lossy(rows([*exact, *lossy]))] == [name]


def test_the_table_has_a_line_for_each_dial() -> None:
    table = rows([one(), one(recommended(), psnr=30.12, ssim=0.98765, latents=0.0123, computed=0.6)])
    lines = markdown(table, "One clip.").splitlines()
    assert "One clip." in lines
    assert lines[-2] == f"| {MODEL} | exact | 1 | 100% | 100% |  |  |  | 100.0% | 0 | 0 |"
    numbers = "1 | 60% | 100% | 30.1, 30.1 | 0.9877, 0.9877 | 0.012, 0.012 | 100.0% | 0 | 0 |"
    assert lines[-1] == f"| {MODEL} | **{recommended()}** | {numbers}"


@pytest.mark.parametrize("decibels", [30.5, math.inf])
def test_a_clip_comes_back_from_its_line(decibels: float) -> None:
    assert Measured.from_json(one(psnr=decibels).to_json()) == one(psnr=decibels)


@pytest.mark.parametrize("line", ["", "{", "[]", "{}", '{"psnr": 1, "other": 2}'])
def test_another_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"not a measured clip|Expecting"):
        Measured.from_json(line)
