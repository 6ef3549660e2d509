"""Which shape the outlines of a clip show.

Each outline is laid over ideal shapes of the same area and centre of mass. What generates and compresses a video
rounds corners, most of all those of small triangles, so every ideal shape is there with corners rounded to several
degrees: blurred, and cut off again where it is half covered, which is how the outline itself came to be.

The agreement is a mean over frames, so a frame that came out badly does not decide. Beyond the roundings that are
allowed, shapes run into one another; there, and for anything else that fits no ideal well or two nearly alike, the
answer is None.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.judge.scene import SHAPES

Mask: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.float64]

ROUNDINGS: Final = (0.0, 0.04, 0.08, 0.12)  # standard deviation of the blur, by the shape's width
CELLS: Final = 96  # across an ideal shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far from its ideal a shape may be and still have its name."""

    overlap: float  # least agreement (intersection over union)
    lead: float  # by which it must agree better than any other shape
    stretch: float  # width by height, or the reverse
    lean: float = 0.0  # shift of the top to either side, by the height


# A circle has no corners to lose, and an oval is soon none, a rectangle no square. A flat, tall or leaning triangle is
# one still, but with so much freedom must be clearly nothing else: a triangle that was blurred by a fifth of its width
# agrees with both triangle and circle by 0.87, a trapezium with half the base on top by 0.87 and with a square by 0.80.
TOLERANCES: Final = {
    "circle": Tolerance(overlap=0.91, lead=0.04, stretch=1.1),
    "square": Tolerance(overlap=0.87, lead=0.04, stretch=1.1),
    "triangle": Tolerance(overlap=0.85, lead=0.08, stretch=1.3, lean=0.25),
}


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """An outline or an ideal shape, with what is needed to lay one over the other."""

    cells: Mask  # [H, W], or a square that is empty along its edges for an ideal shape
    centre: tuple[float, float]  # of mass (x, y), in cells from the middle of the first
    side: float  # of the square with the same area, in cells
    aspect: float  # spread of the cells in x by that in y
    lean: float  # how far its rows shift in x from one to the next below


@cache
def ideal(shape: str, rounding: float) -> Figure:
    """`shape` after a blur of `rounding` widths."""
    inside = _inside(shape).astype(np.float64)
    if rounding:
        kernel = np.exp(-0.5 * np.square(np.arange(-CELLS // 2, CELLS // 2 + 1) / (rounding * CELLS)))
        for _ in range(2):  # along either axis
            inside = np.array([np.convolve(row, kernel / kernel.sum(), mode="same") for row in inside]).T
    return _measured(inside > 0.5)


def overlaps(masks: Mask) -> dict[str, float]:
    """How well the outlines [F, H, W], none empty, agree with each shape at the rounding that fits best, 0 to 1."""
    outlines = [_measured(mask) for mask in masks]
    return {
        shape: max(
            float(np.mean([_agreement(outline, ideal(shape, rounding), TOLERANCES[shape]) for outline in outlines]))
            for rounding in ROUNDINGS
        )
        for shape in SHAPES
    }


def best_shape(overlap: Mapping[str, float]) -> str | None:
    """The shape that the outlines are clearly nearest to."""
    second, best = sorted(overlap, key=overlap.__getitem__)[-2:]
    needed = TOLERANCES[best]
    clear = overlap[best] >= needed.overlap and overlap[best] - overlap[second] >= needed.lead
    return best if clear else None


def _inside(shape: str) -> Mask:
    """The cells that lie in the shape, whose bounding box is half of the square."""
    place = (np.arange(2 * CELLS) + 0.5) / CELLS - 1
    across, down = np.abs(place)[None, :], place[:, None]
    match shape:
        case "circle":
            return np.asarray(across**2 + down**2 <= 0.25)
        case "square":
            return np.asarray((across <= 0.5) & (np.abs(down) <= 0.5))
        case "triangle":
            return np.asarray((across <= (down + 0.5) / 2) & (down <= 0.5))
        case _:
            raise ValueError(f"{shape!r} is not a shape of the demo world: it has {', '.join(SHAPES)}")


def _measured(cells: Mask) -> Figure:
    rows, columns = np.nonzero(cells)
    x, y = columns.mean(), rows.mean()
    spread_y = np.square(rows - y).mean() + 1e-6  # not 0, not even for a line
    lean = ((columns - x) * (rows - y)).mean() / spread_y
    spread_x = np.square(columns - x - lean * (rows - y)).mean() + 1e-6
    return Figure(
        cells=cells,
        centre=(float(x), float(y)),
        side=float(np.sqrt(len(rows))),
        aspect=float(np.sqrt(spread_x / spread_y)),
        lean=float(lean),
    )


def _agreement(outline: Figure, ideal: Figure, allowed: Tolerance) -> float:
    """Intersection over union with the ideal shape, which is brought as near to the outline as it may allowed."""
    scale = ideal.side / outline.side
    stretch = float(np.sqrt(np.clip(outline.aspect / ideal.aspect, 1 / allowed.stretch, allowed.stretch)))
    lean = np.clip(outline.lean, -allowed.lean, allowed.lean)
    height, width = outline.cells.shape
    across = (np.arange(width) - outline.centre[0])[None, :]
    down = (np.arange(height) - outline.centre[1])[:, None]
    columns = ideal.centre[0] + (across - lean * down) * scale / stretch
    rows = ideal.centre[1] + down * scale * stretch
    # What lies beyond the ideal's cells takes the value at their edge, which is empty.
    at_columns, at_rows = (np.rint(place).clip(0, 2 * CELLS - 1).astype(int) for place in (columns, rows))
    laid = ideal.cells[at_rows, at_columns]
    return float((outline.cells & laid).sum() / (outline.cells | laid).sum())
