"""Draws demo clips by supersampling: to test the judge with, and to take images from that models are given.

It shares no code with what the models learn from.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from benchmarks.judge.scene import BACKGROUNDS, COLOURS, Scene

OVERSAMPLING = 4
WAY = {"moves left": (-1, 0), "moves right": (1, 0), "moves up": (0, -1), "moves down": (0, 1)}


@dataclass(frozen=True, slots=True)
class Placement:
    """The shape's bounding box in the first and the last frame: centre x, y and width, by the frame's width."""

    first: tuple[float, float, float]
    last: tuple[float, float, float]


def place(scene: Scene, rng: np.random.Generator, *, inside: float = 0.5, slant: float = 0.0) -> Placement:
    """A random placement for the scene, wholly inside the frame at least in the middle part `inside` of the clip.

    Where that leaves no room for the longest moves, moves are shorter.
    """
    width = rng.uniform(0.20, 0.26) if scene.size == "small" else rng.uniform(0.36, 0.44)
    change = 1.0
    if scene.motion in ("is growing", "is shrinking"):
        change = rng.uniform(3.05, 6) ** (0.5 if scene.motion == "is growing" else -0.5)  # of the width
    begin, end = 2 * width / (1 + change), 2 * width * change / (1 + change)
    room = 1 - max(width, begin, end) * (1 + slant)
    way = np.array(WAY.get(scene.motion, (0, 0))) * rng.uniform(0.30, min(0.60, room / inside))
    free = room - np.abs(way) * inside  # that share of the way lies between the ends of the middle part
    middle = 0.5 + rng.uniform(-0.5, 0.5, size=2) * free
    return Placement((*(middle - way / 2), begin), (*(middle + way / 2), end))


def draw(
    scene: Scene, placement: Placement, *, frames: int = 17, size: int = 128, slant: float = 0.0
) -> NDArray[np.uint8]:
    """The clip [F, H, W, 3] of the scene's shape on its way from one placement to the other.

    With a `slant`, the top of the shape is moved to the right of its foot, by that share of its height.
    """
    back, front = (np.array(rgb, float) for rgb in (BACKGROUNDS[scene.background], COLOURS[scene.colour]))
    clip = []
    for x, y, width in np.linspace(placement.first, placement.last, frames):
        cover = _cover(scene.shape, x, y, width, size, slant)[..., None]
        clip.append(np.rint(back * (1 - cover) + front * cover))
    return np.stack(clip).astype(np.uint8)


def _cover(shape: str, x: float, y: float, width: float, size: int, slant: float) -> NDArray[np.float64]:
    """The share of each pixel [H, W] that the shape covers: how many of the points in it lie inside."""
    hits = np.zeros((size, size))
    for i, j in product(range(OVERSAMPLING), repeat=2):
        u, v = ((np.arange(size) + (k + 0.5) / OVERSAMPLING) / size for k in (i, j))
        across, down = (u[None, :] - x) / width, (v[:, None] - y) / width
        hits += _inside(shape, across + slant * down, down)
    return hits / OVERSAMPLING**2


def _inside(shape: str, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the points lie in the shape, whose bounding box goes from -1/2 to 1/2."""
    match shape:
        case "circle":
            return np.asarray(u**2 + v**2 < 0.25)
        case "square":
            return np.asarray((np.abs(u) < 0.5) & (np.abs(v) < 0.5))
        case "triangle":
            return np.asarray((v < 0.5) & (v > 2 * np.abs(u) - 0.5))
        case _:
            raise ValueError(f"no way is known to draw a {shape!r}")
