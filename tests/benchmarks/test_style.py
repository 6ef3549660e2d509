"""Upright shapes and slanted ones are told apart, and one that is put upright reads as the shape it was."""

import numpy as np

from benchmarks.judge.draw import draw, place
from benchmarks.judge.judge import Frames, judge
from benchmarks.judge.scene import Scene
from benchmarks.judge.style import slant, straightened, style
from benchmarks.judge.trials import spread

SLANT = 0.35
SCENES = spread(30)


def clip(scene: Scene, seed: int, by: float) -> Frames:
    return draw(scene, place(scene, np.random.default_rng(seed), slant=by), slant=by)


def as_seen(read: object) -> tuple[object, ...]:
    return tuple(getattr(read, name) for name in ("background", "colour", "shape", "motion", "size"))


def test_drawn_clips_are_read_as_what_they_are() -> None:
    for seed, scene in enumerate(SCENES):
        assert style(slant(clip(scene, seed, 0.0))) == "upright", scene
        assert style(slant(clip(scene, seed, SLANT))) == "slanted", scene


def test_a_slanted_shape_that_is_put_upright_reads_as_the_shape_it_was() -> None:
    for seed, scene in enumerate(SCENES):
        assert as_seen(judge(straightened(clip(scene, seed, SLANT)))) == as_seen(scene), scene


def test_putting_an_upright_shape_upright_leaves_it_as_it_is() -> None:
    frames = clip(SCENES[0], 0, 0.0)
    assert np.array_equal(straightened(frames), frames)


def test_the_slant_is_measured_whatever_the_shape_and_its_size() -> None:
    for seed, scene in enumerate(SCENES):
        for by in (0.0, 0.1, 0.2, 0.3, 0.4):
            measured = slant(clip(scene, seed, by))
            assert measured is not None
            assert abs(measured - by) < 0.03, scene


def test_half_a_slant_and_one_to_the_left_have_no_name() -> None:
    assert style(slant(clip(SCENES[0], 0, SLANT / 2))) is None
    assert style(slant(clip(SCENES[0], 0, SLANT)[:, :, ::-1])) is None


def test_an_empty_clip_has_no_style() -> None:
    blank = np.full((17, 64, 64, 3), 15, np.uint8)
    assert slant(blank) is None
    assert style(None) is None
    assert np.array_equal(straightened(blank), blank)
