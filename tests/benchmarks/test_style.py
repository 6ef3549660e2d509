"""Filled shapes and outlines are told apart, and an outline that is filled in reads as the shape it surrounds."""

import numpy as np
import pytest

from benchmarks.judge.draw import draw, place
from benchmarks.judge.judge import Frames, judge
from benchmarks.judge.scene import Scene
from benchmarks.judge.style import colour_in, filled_holes, hollowness, style
from benchmarks.judge.trials import spread

STROKE = 0.16
SCENES = spread(30)


def clip(scene: Scene, seed: int, stroke: float | None) -> Frames:
    return draw(scene, place(scene, np.random.default_rng(seed)), stroke=stroke)


def as_seen(read: object) -> tuple[object, ...]:
    return tuple(getattr(read, name) for name in ("background", "colour", "shape", "motion", "size"))


def test_drawn_clips_are_read_as_what_they_are() -> None:
    for seed, scene in enumerate(SCENES):
        assert style(hollowness(clip(scene, seed, None))) == "filled", scene
        assert style(hollowness(clip(scene, seed, STROKE))) == "outlined", scene


def test_an_outline_that_is_filled_in_reads_as_the_whole_shape() -> None:
    for seed, scene in enumerate(SCENES):
        assert as_seen(judge(colour_in(clip(scene, seed, STROKE)))) == as_seen(scene), scene


def test_filling_in_leaves_a_filled_shape_as_it_is() -> None:
    frames = clip(SCENES[0], 0, None)
    assert np.array_equal(colour_in(frames), frames)


def test_hollowness_grows_as_the_middle_fades() -> None:
    filled, outlined = (clip(SCENES[0], 0, stroke).astype(float) for stroke in (None, STROKE))
    mixed = [hollowness(np.rint(filled + t * (outlined - filled)).astype(np.uint8)) for t in (0, 0.25, 0.5, 0.75, 1)]
    assert all(value is not None for value in mixed)
    assert np.diff(np.array(mixed, float)).min() > 0.15
    assert style(mixed[2]) is None


def test_an_empty_clip_has_no_style() -> None:
    blank = np.full((17, 64, 64, 3), 15, np.uint8)
    assert hollowness(blank) is None
    assert style(None) is None
    assert np.array_equal(colour_in(blank), blank)


@pytest.mark.parametrize("gap", [False, True])
def test_only_what_is_closed_is_a_hole(gap: bool) -> None:
    ring = np.zeros((1, 40, 40), bool)
    ring[:, 5:35, 5:35] = True
    ring[:, 9:31, 9:31] = False
    ring[:, 20, 31:] &= not gap
    assert filled_holes(ring)[0, 20, 20] != gap
    assert filled_holes(ring).sum() == (ring.sum() if gap else 900)
