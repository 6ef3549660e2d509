"""The demo LoRA slants shapes, by as much as it is strong, and leaves the rest of a prompt alone."""

from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks.judge.draw import draw, place
from benchmarks.judge.judge import judge
from benchmarks.judge.lora import Look, kept, look, markdown, mean_slant, missed, share
from benchmarks.judge.style import slant, straightened
from benchmarks.judge.trials import Given, spread, trials
from wanvideo.pipelines.loras import SHIPPED

shipped = pytest.mark.skipif(
    not (SHIPPED / "slanted.safetensors").exists(), reason="the demo LoRA has not been trained yet"
)


def drawn(by: float) -> list[Look]:
    looks = []
    for i, scene in enumerate(spread(8)):
        frames = draw(scene, place(scene, np.random.default_rng(i), slant=by), slant=by)
        looks.append(Look(scene=scene, slant=slant(frames), reading=judge(straightened(frames))))
    return looks


def test_a_report_of_what_a_perfect_lora_does_meets_all_goals() -> None:
    looks = {0.0: drawn(0.0), 1.0: drawn(0.35)}
    assert list(missed(looks)) == []
    assert "All goals are met." in markdown(looks)
    assert "| 1 | 8 | 0.0% | 100.0% |" in markdown(looks)


def test_a_lora_that_does_nothing_misses_them() -> None:
    looks = {0.0: drawn(0.0), 1.0: drawn(0.0)}
    assert [text.split(",")[0] for text in missed(looks)] == [
        "at strength 1",
        "the slant does not rise with the strength: 0.00",
    ]


def made(strength: float, count: int) -> Sequence[Look]:
    return [look(trial, strength) for trial in trials("t2v-A14B-demo", count, seed=7, given=Given.TEXT)]


@shipped
@pytest.mark.slow
def test_the_demo_lora_slants_shapes_as_much_as_it_is_strong_and_keeps_to_the_prompt() -> None:
    off, half, on = (made(strength, 4) for strength in (0.0, 0.5, 1.0))
    assert share(off, "upright") == 1
    assert share(on, "slanted") >= 0.75
    assert mean_slant(off) < mean_slant(half) < mean_slant(on)
    assert kept(on)["background"] == 1
    assert min(kept(on)[name] for name in ("colour", "shape", "motion")) >= 0.75


@shipped
def test_the_demo_lora_is_small() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= 2**20
