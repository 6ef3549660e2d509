"""Whether the shape of a demo clip is upright or slanted, and the clip with its shape upright, for the judge to read.

Only pixels are looked at. Slant is a number, so that a style that is half there can be told from one that is not there
at all.
"""

from typing import Final

import numpy as np

from benchmarks.judge.judge import BACKGROUND_TOLERANCE, PRESENT, Frames, without_specks
from benchmarks.judge.shape import Mask

STYLES: Final = ("upright", "slanted")
UPRIGHT: Final = 0.1  # slant up to which a shape is upright: what generation and compression do to a small one
SLANTED: Final = 0.2  # and from which one sees it


def slant(frames: Frames) -> float | None:
    """How far the shape leans to the right from its foot to its top, by its height: 0 for an upright one.

    The median over the middle half of the clip [F, H, W, 3], in which a shape of the demo world is wholly inside; None
    where hardly anything is seen.
    """
    masks = _shape(frames)[len(frames) // 4 : len(frames) - len(frames) // 4]
    if masks.mean() < PRESENT:
        return None
    return float(np.median([_lean(mask) for mask in masks if mask.any()]))


def style(slant: float | None) -> str | None:
    """The word for it; None where it is neither."""
    if slant is None:
        return None
    return "upright" if abs(slant) <= UPRIGHT else "slanted" if slant >= SLANTED else None


def straightened(frames: Frames) -> Frames:
    """The clip [F, H, W, 3] with its rows moved so far that the shape is upright, and its middle where it was."""
    by = slant(frames)
    if by is None:
        return frames
    rows, columns = np.indices(frames.shape[1:3])
    straight = frames.copy()
    for i, mask in enumerate(_shape(frames)):
        if mask.any():
            source = columns - np.rint(by * (rows - np.nonzero(mask)[0].mean())).astype(int)
            straight[i] = frames[i][rows, source.clip(0, frames.shape[2] - 1)]
    return straight


def _shape(frames: Frames) -> Mask:
    """The pixels [F, H, W] that are more shape than background, which is the colour of the border."""
    pixels = frames.astype(np.float64)
    ring = np.ones(pixels.shape[1:3], bool)
    thick = max(1, round(0.03 * pixels.shape[2]))
    ring[thick:-thick, thick:-thick] = False
    contrast = np.linalg.norm(pixels - np.median(pixels[:, ring].reshape(-1, 3), axis=0), axis=-1)
    rough = contrast > BACKGROUND_TOLERANCE
    return without_specks(rough & (contrast > (np.median(contrast[rough]) if rough.any() else 0.0) / 2))


def _lean(mask: Mask) -> float:
    """Of one frame [H, W]: the line through the middles of its rows."""
    rows, columns = np.nonzero(mask)
    down = rows - rows.mean()
    return -float((down * columns).sum() / (np.square(down).sum() + 1e-6))
