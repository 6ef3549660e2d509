"""Reads from the frames of a demo clip what it shows: background, colour, shape, motion and size.

Only pixels are looked at, never the prompt, and only numpy is used. What cannot be told is None, which scores as wrong:
the judge does not guess. Lengths are fractions of the frame's width; y points down.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.judge.scene import ATTRIBUTES, BACKGROUNDS, COLOURS, RGB, SHAPES, Scene
from benchmarks.judge.shape import Floats, Mask, best_shape, overlaps

Frames: TypeAlias = NDArray[np.uint8]  # [F, H, W, 3]

COLOUR_TOLERANCE: Final = 60.0  # RGB distance of a colour to the nearest of its palette, 71 being the least between two
BACKGROUND_TOLERANCE: Final = 40.0
UNIFORM: Final = 0.8  # share of the border, and of the shape's core, that must have its colour
PRESENT: Final = 0.005  # share of the frame that a shape covers at least; in the world's middle half it is 0.013
TRACE: Final = 0.0006  # the same at the ends of the clip, where a shape may be mostly outside the frame
MOVED: Final = 0.15  # half the shortest move of the world
SCALED: Final = 3**0.5  # change of the area, half way (in factors) to the least of the world
JITTER: Final = 0.05  # how far, in the mean, the shape may be from uniform motion
WIDTH_RANGE: Final = {"small": (0.16, 0.31), "large": (0.31, 0.50)}  # the world has 0.20 to 0.26 and 0.36 to 0.44

AREA: Final = {"circle": np.pi / 4, "square": 1.0, "triangle": 0.5}  # of a shape that is 1 wide and high


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a clip shows, None where that cannot be told, and the measurements behind it."""

    background: str | None
    colour: str | None = None
    shape: str | None = None
    motion: str | None = None
    size: str | None = None

    overlap: Mapping[str, float] | None = None  # with each ideal shape, 0 to 1
    displacement: tuple[float, float] | None = None  # (x, y) of the shape from the first frame to the last
    growth: float | None = None  # area in the last frame by area in the first
    width: float | None = None  # at mid-clip


@dataclass(frozen=True, slots=True)
class Course:
    """The shape's uniform motion, fitted to the frames."""

    displacement: tuple[float, float]
    growth: float
    area: float  # at mid-clip, as a share of a square with the frame's width
    jitter: float  # root mean square distance of the centre from the fit


def judge(frames: Frames) -> Reading:
    """Read a clip [F, H, W, 3] of 8-bit RGB. Raises ValueError for an array of another kind."""
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise ValueError(f"frames must be uint8 [F, H, W, 3], not {frames.dtype} {list(frames.shape)}")
    pixels = frames.astype(np.float64)
    border = _border(pixels)
    back = np.median(border, axis=0)
    if _share_near(border, back, BACKGROUND_TOLERANCE) < UNIFORM:
        return Reading(background=None)
    background = _nearest(back, BACKGROUNDS, BACKGROUND_TOLERANCE)

    contrast = _distance(pixels, back)  # [F, H, W]
    middle = _middle_half(len(frames))
    rough = without_specks(contrast[middle] > BACKGROUND_TOLERANCE)
    if rough.mean() < PRESENT:
        return Reading(background=background)
    # A pixel of the edge that is half covered lies half way between the two colours.
    masks = without_specks(contrast > np.median(contrast[middle][rough]) / 2)
    colour = _core_colour(pixels[middle][_eroded(masks[middle], times=3)])
    overlap = _overlap(masks[middle])
    shape = best_shape(overlap)
    course = _course(masks)
    if course is None:
        return Reading(background=background, colour=colour, shape=shape, overlap=overlap)
    width = float(np.sqrt(course.area / AREA[shape])) if shape else None
    return Reading(
        background=background,
        colour=colour,
        shape=shape,
        motion=_motion(course),
        size=_size(width),
        overlap=overlap,
        displacement=course.displacement,
        growth=course.growth,
        width=width,
    )


def score(readings: Sequence[Reading], scenes: Sequence[Scene]) -> dict[str, float]:
    """The share of clips, for each attribute and for `all` of them at once, that show what was asked for."""
    if len(readings) != len(scenes) or not scenes:
        raise ValueError(f"as many readings as scenes are needed, at least one: {len(readings)} and {len(scenes)}")
    right = np.array(
        [[getattr(r, name) == getattr(s, name) for name in ATTRIBUTES] for r, s in zip(readings, scenes, strict=True)]
    )
    shares = dict(zip(ATTRIBUTES, right.mean(axis=0).tolist(), strict=True))
    return shares | {"all": float(right.all(axis=1).mean())}


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in dB of two 8-bit images or clips of one shape; infinite where they are equal."""
    if a.shape != b.shape or a.dtype != np.uint8 or b.dtype != np.uint8:
        raise ValueError(f"two uint8 arrays of one shape are needed, not {a.dtype} {a.shape} and {b.dtype} {b.shape}")
    error = np.square(a.astype(np.float64) - b).mean()
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def _middle_half(frames: int) -> slice:
    """The frames in which a shape of the demo world is wholly inside."""
    return slice(frames // 4, frames - frames // 4)


def _distance(pixels: Floats, colour: Floats) -> Floats:
    offset = pixels - colour
    return np.asarray(np.sqrt(np.einsum("...c,...c", offset, offset)))


def _border(pixels: Floats) -> Floats:
    """The pixels [n, 3] of a ring along the edge of all frames, 3 % wide."""
    height, width = pixels.shape[1:3]
    ring = np.ones((height, width), bool)
    thick = max(1, round(0.03 * width))
    ring[thick:-thick, thick:-thick] = False
    return pixels[:, ring].reshape(-1, 3)


def _share_near(pixels: Floats, colour: Floats, tolerance: float) -> float:
    return float((_distance(pixels, colour) < tolerance).mean())


def _core_colour(core: Floats) -> str | None:
    """The name of the colour that nearly all of the pixels [n, 3] have."""
    if not len(core):
        return None
    median = np.median(core, axis=0)
    return (
        _nearest(median, COLOURS, COLOUR_TOLERANCE) if _share_near(core, median, COLOUR_TOLERANCE) >= UNIFORM else None
    )


def _nearest(colour: Floats, palette: Mapping[str, RGB], tolerance: float) -> str | None:
    distance = {name: float(_distance(colour, np.array(rgb, float))) for name, rgb in palette.items()}
    name = min(distance, key=distance.__getitem__)
    return name if distance[name] < tolerance else None


def without_specks(masks: Mask) -> Mask:
    """Every pixel of `masks` [F, H, W] as most of the nine around it are, which removes what noise adds."""
    padded = np.pad(masks, ((0, 0), (1, 1), (1, 1)), mode="edge").astype(np.uint8)
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return np.asarray(rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] >= 5)


def _eroded(masks: Mask, *, times: int) -> Mask:
    """`masks` [F, H, W] without the pixels at their edges, and without those at the edge of the frame."""
    for _ in range(times):
        inner = (
            masks[:, 1:-1, 1:-1] & masks[:, :-2, 1:-1] & masks[:, 2:, 1:-1] & masks[:, 1:-1, :-2] & masks[:, 1:-1, 2:]
        )
        masks = np.pad(inner, ((0, 0), (1, 1), (1, 1)))
    return masks


def _centre(mask: Mask) -> tuple[float, float]:
    """The centre of mass (x, y) in pixels."""
    rows, columns = np.nonzero(mask)
    return float(columns.mean()) + 0.5, float(rows.mean()) + 0.5


def _overlap(masks: Mask) -> dict[str, float]:
    """How well the masks [F, H, W] agree with each shape, as far as there is something in most of them."""
    seen = masks[masks.mean(axis=(1, 2)) >= PRESENT]
    return overlaps(seen) if len(seen) > len(masks) // 2 else dict.fromkeys(SHAPES, 0.0)


def _course(masks: Mask) -> Course | None:
    """Uniform motion and growth fitted to the masks [F, H, W]; None where hardly anything is seen, or in a still image.

    Frames in which the shape is cut by the edge of the frame say little about its centre and area, so they count only
    where too few others are left.
    """
    frames, width = len(masks), masks.shape[2]
    seen = masks.mean(axis=(1, 2)) >= TRACE
    if frames < 2 or seen.mean() < 0.9:
        return None
    cut = masks[:, [0, -1]].any(axis=(1, 2)) | masks[:, :, [0, -1]].any(axis=(1, 2))
    used = np.flatnonzero(seen & ~cut if (seen & ~cut).sum() > frames // 3 else seen)
    time = used / (frames - 1) - 0.5
    centres = np.array([_centre(masks[i]) for i in used]) / width
    side = np.sqrt(masks[used].sum(axis=(1, 2))) / width
    (speed_x, speed_y), origin = np.polyfit(time, centres, 1)
    growth, middle = np.polyfit(time, side, 1)
    off = centres - origin - np.outer(time, (speed_x, speed_y))
    first, last = max(middle - growth / 2, 1e-3), max(middle + growth / 2, 1e-3)
    return Course(
        displacement=(float(speed_x), float(speed_y)),
        growth=float((last / first) ** 2),
        area=float(middle**2),
        jitter=float(np.sqrt(np.square(off).sum(axis=1).mean())),
    )


def _motion(course: Course) -> str | None:
    """Which motion of the world that is: one thing at a time, and along one axis."""
    x, y = course.displacement
    moved = max(abs(x), abs(y)) >= MOVED
    scaled = not 1 / SCALED < course.growth < SCALED
    oblique = min(abs(x), abs(y)) > max(abs(x), abs(y)) / 2
    if course.jitter > JITTER or (moved and (scaled or oblique)):
        return None
    if moved:
        return (
            ("moves left" if x < 0 else "moves right") if abs(x) > abs(y) else ("moves up" if y < 0 else "moves down")
        )
    if scaled:
        return "is growing" if course.growth > 1 else "is shrinking"
    return "stays still"


def _size(width: float | None) -> str | None:
    if width is None:
        return None
    return next((size for size, (low, high) in WIDTH_RANGE.items() if low <= width < high), None)
