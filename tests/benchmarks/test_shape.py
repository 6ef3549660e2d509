"""Shapes are read where their corners are lost, and not where a person could not tell."""

from typing import TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.judge.draw import Placement, draw
from benchmarks.judge.judge import judge
from benchmarks.judge.scene import SHAPES, Scene
from benchmarks.judge.shape import best_shape, overlaps

Mask: TypeAlias = NDArray[np.bool_]

PIXELS = 26  # across, as a small shape in a demo clip
PLACE = (np.arange(3 * PIXELS) + 0.5) / PIXELS - 1.5
X, Y = PLACE[None, :], PLACE[:, None]  # the shapes below go from -0.5 to 0.5
TRIANGLE = (np.abs(X) <= (Y + 0.5) / 2) & (Y <= 0.5)


def read(*masks: Mask) -> str | None:
    return best_shape(overlaps(np.stack(masks)))


def flat(height: float, x: float = 0.0) -> Mask:
    """A triangle with its top at `x`, `height` as high as it is wide."""
    down = Y / height + 0.5
    return np.asarray((np.abs(X - x * (1 - down)) <= down / 2) & (down <= 1))


def blurred(image: NDArray[np.float64], pixels: float) -> NDArray[np.float64]:
    """`image` [..., H, W] under a Gaussian with a standard deviation of `pixels`."""
    far = np.arange(-12, 13)
    kernel = np.exp(-0.5 * np.square(far / pixels))
    for axis in (-2, -1):
        shifted = (weight * np.roll(image, int(by), axis) for by, weight in zip(far, kernel, strict=True))
        image = np.asarray(sum(shifted) / kernel.sum())
    return image


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pixels", [1.0, 1.5, 2.0, 2.5])
def test_small_shapes_are_read_through_blur(shape: str, pixels: float) -> None:
    for width in (0.20, 0.26):
        scene = Scene(size="small", colour="yellow", shape=shape, motion="moves left", background="gray")
        clip = draw(scene, Placement((0.7, 0.5, width), (0.3, 0.45, width)))
        soft = blurred(clip.astype(np.float64).transpose(0, 3, 1, 2), pixels).transpose(0, 2, 3, 1)
        reading = judge(soft.astype(np.uint8))
        assert (reading.shape, reading.size, reading.motion) == (shape, "small", "moves left")


@pytest.mark.parametrize("height", [0.75, 1.0, 1.3])
@pytest.mark.parametrize("x", [-0.2, 0.0, 0.2])
def test_a_flat_tall_or_leaning_triangle_is_a_triangle(height: float, x: float) -> None:
    assert read(flat(height, x)) == "triangle"


def test_a_triangle_that_wobbles_from_frame_to_frame_is_a_triangle() -> None:
    rounded = blurred(TRIANGLE.astype(np.float64), 0.12 * PIXELS) > 0.5
    assert read(flat(0.8, 0.15), rounded, flat(1.2, -0.15), TRIANGLE) == "triangle"


def test_the_more_a_triangle_is_rounded_the_less_it_is_one_and_between_it_and_a_circle_there_is_doubt() -> None:
    readings = [read(blurred(TRIANGLE.astype(np.float64), share * PIXELS) > 0.5) for share in (0.1, 0.14, 0.2, 0.3)]
    assert readings == ["triangle", "triangle", None, "circle"]


def test_between_a_square_and_a_circle_there_is_doubt() -> None:
    readings = [read((np.abs(X) ** power + np.abs(Y) ** power) <= 0.5**power) for power in (2, 3, 5)]
    assert readings == ["circle", None, "square"]


@pytest.mark.parametrize(
    "mask",
    [
        (np.hypot(X, Y) < 0.5) & (Y < 0),
        (np.hypot(X, Y) < 0.5) & (X < 0),
        TRIANGLE & (X < 0),
        TRIANGLE[::-1],
        TRIANGLE.T,
        np.abs(X) + np.abs(Y) < 0.5,
        np.square(X / 1.4) + np.square(Y) < 0.16,
        (np.abs(X) < 0.6) & (np.abs(Y) < 0.4),
        (np.abs(X) < 0.35 + 0.2 * Y) & (np.abs(Y) < 0.4),
        (np.hypot(X, Y) < 0.5) & (np.hypot(X, Y) > 0.2),
        (np.hypot(X, Y) < 0.5) & ((np.abs(Y) > X) | (X < 0)),
        ((X < 0) | (Y > 0)) & (np.maximum(np.abs(X), np.abs(Y)) < 0.5),
        np.minimum(np.abs(X), np.abs(Y)) + 0 * X < np.where(np.maximum(np.abs(X), np.abs(Y)) < 0.5, 0.25, -1),
        (np.hypot(X, Y - 0.15) < 0.35) | ((np.abs(X) < 0.55 * (Y + 0.5)) & (Y < 0.1)),
        (np.hypot(X - 0.6, Y) < 0.4) | (np.hypot(X + 0.6, Y) < 0.4),
        np.hypot(X, Y) < 0.4 + 0.06 * np.cos(3 * np.arctan2(Y, X) + 2) + 0.05 * np.cos(2 * np.arctan2(Y, X)),
        (np.abs(X) < 1.5) & (np.abs(Y) < 0.04),
    ],
    ids=[
        *("half a circle", "half a circle on its side", "half a triangle", "a triangle point down"),
        *("a triangle point left", "a diamond", "an oval", "a rectangle", "a trapezium", "a ring", "a pie with a gap"),
        *("an L", "a thick cross", "a drop", "two circles", "a blob", "a line"),
    ],
)
def test_other_shapes_are_none_of_ours(mask: Mask) -> None:
    assert read(mask) is None
