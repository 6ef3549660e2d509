"""Whether a demo clip shows filled shapes or outlines, and the clip with its outlines filled in, for the judge to read.

Only pixels are looked at. Hollowness is a number, so that a style that is half there, such as a shape that is half
transparent, can be told from one that is not there at all.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.judge.judge import BACKGROUND_TOLERANCE, PRESENT, Frames
from benchmarks.judge.shape import Floats, Mask

STYLES: Final = ("filled", "outlined")
FILLED: Final = 0.2  # hollowness up to which a shape is filled: what compression and blur do to its middle
OUTLINED: Final = 0.6  # and from which its middle is more background than shape
CORE: Final = 0.1  # radius of the middle that is looked at, by the square root of the shape's area
RIM: Final = 80  # percentile of the contrast within a shape, above which a pixel has the outline's full colour
BLUR: Final = 2  # pixels at the inner edge of an outline that are neither its colour nor the background's


def hollowness(frames: Frames) -> float | None:
    """How much of the background shows in the middle of the shape: 0 for a filled one, 1 for an outline.

    The median over the middle half of the clip [F, H, W, 3]; None where hardly anything is seen.
    """
    contrast = _contrast(frames)[_middle_half(len(frames))]
    filled = filled_holes(_shape(contrast))
    if filled.mean() < PRESENT:
        return None
    return float(np.median([_hollow(c, f) for c, f in zip(contrast, filled, strict=True) if f.any()]))


def style(hollow: float | None) -> str | None:
    """The word for it; None where it is neither."""
    if hollow is None or FILLED < hollow < OUTLINED:
        return None
    return "filled" if hollow <= FILLED else "outlined"


def colour_in(frames: Frames) -> Frames:
    """The clip [F, H, W, 3] with every hole of its shape painted in the colour of the outline around it."""
    contrast = _contrast(frames)
    shape = _shape(contrast)
    filled = filled_holes(shape)
    middle = _middle_half(len(frames))
    if not filled[middle].any():
        return frames
    bright = contrast[middle] >= np.percentile(contrast[middle][filled[middle]], RIM)
    colour = np.median(frames[middle][bright & filled[middle]], axis=0).astype(np.uint8)
    painted = frames.copy()
    painted[_grown(filled & ~shape, times=BLUR) & filled] = colour
    return painted


def filled_holes(masks: Mask) -> Mask:
    """`masks` [F, H, W] with everything that cannot be reached from the edge of the frame."""
    free = np.pad(~masks, ((0, 0), (1, 1), (1, 1)), constant_values=True)
    outside = np.zeros_like(free)
    outside[:, [0, -1]] = outside[:, :, [0, -1]] = True
    reached = 0
    while (now := int(outside.sum())) > reached:
        reached = now
        outside = _grown(outside, times=8, within=free)
    return np.asarray(~outside[:, 1:-1, 1:-1])


def _contrast(frames: Frames) -> Floats:
    """Distance of every pixel [F, H, W] to the colour of the border."""
    pixels = frames.astype(np.float64)
    ring = np.ones(pixels.shape[1:3], bool)
    thick = max(1, round(0.03 * pixels.shape[2]))
    ring[thick:-thick, thick:-thick] = False
    return np.asarray(np.linalg.norm(pixels - np.median(pixels[:, ring].reshape(-1, 3), axis=0), axis=-1))


def _shape(contrast: Floats) -> Mask:
    """The pixels that are more shape than background."""
    rough = contrast > BACKGROUND_TOLERANCE
    return rough & (contrast > (np.median(contrast[rough]) if rough.any() else 0.0) / 2)


def _hollow(contrast: Floats, filled: Mask) -> float:
    """Of one frame [H, W]."""
    rows, columns = np.nonzero(filled)
    radius = max(1.0, CORE * float(np.sqrt(len(rows))))
    down, across = np.ogrid[: filled.shape[0], : filled.shape[1]]
    core = np.hypot(down - rows.mean(), across - columns.mean()) <= radius
    rim = float(np.percentile(contrast[filled], RIM))
    return float(np.clip(1 - contrast[core].mean() / rim, 0, 1))


def _grown(masks: Mask, *, times: int, within: NDArray[np.bool_] | None = None) -> Mask:
    """`masks` [F, H, W] and the pixels beside them, `times` over, as far as they are `within`."""
    for _ in range(times):
        grown = masks.copy()
        grown[:, 1:] |= masks[:, :-1]
        grown[:, :-1] |= masks[:, 1:]
        grown[:, :, 1:] |= masks[:, :, :-1]
        grown[:, :, :-1] |= masks[:, :, 1:]
        masks = grown if within is None else grown & within
    return masks


def _middle_half(frames: int) -> slice:
    """The frames in which a shape of the demo world is wholly inside."""
    return slice(frames // 4, frames - frames // 4)
