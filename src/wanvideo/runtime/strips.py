"""How a decoder looks to the sides of a strip of the picture, and what working in strips costs. No torch."""

from itertools import pairwise
from typing import Final

from wanvideo.models.config import VAEConfig

SLOTS: Final = 2  # chunks of whole frames that ranks have room for where they put their strips together


def slots_bytes(config: VAEConfig, height: int, width: int) -> int:
    """Of host memory, for all ranks, in which they put strips of a picture of that size together."""
    return SLOTS * config.temporal_stride * height * width * 3


def margins(config: VAEConfig) -> tuple[int, ...]:
    """How far the rest of the decoder looks to a side, in cells: from the middle (level 0) and from each doubling on.

    Level i has 2^i times as many cells along a side as the latents. A residual block has two convolutions, which look
    one cell further each; so does that of a doubling, on the doubled picture, and that of the head.
    """
    blocks = config.num_res_blocks + 1
    found = [2 * blocks + 1]
    for _ in config.temporal_downsample:
        found.insert(0, 2 * blocks + -(-(found[0] + 1) // 2))
    return tuple(found)


def kept(start: int, stop: int, cells: int, level: int, margin: int) -> tuple[int, int]:
    """Of a side of `cells` latent cells, what a strip of them keeps at a level, in the cells of that level."""
    return max(0, (start << level) - margin), min(cells << level, (stop << level) + margin)


def strip_work(config: VAEConfig, cells: int, parts: int) -> float:
    """Of the operations that decode the whole picture, how many the busiest of `parts` strips takes.

    Only convolutions are counted: their taps, the square of the width, and the pixels and frames of each level.
    """
    if parts == 1:
        return 1.0
    size, middle = -(-cells // parts), parts // 2
    start = min(middle * size, cells - size)
    widths = [config.decoder_base_dim * m for m in (config.dim_mult[-1], *reversed(config.dim_mult))]
    whole = split = float(4 * widths[0] ** 2)  # the middle, which every strip computes whole
    frames = 1
    times = (*(2 if temporal else 1 for temporal in reversed(config.temporal_downsample)), 1)
    for level, ((_, width), margin) in enumerate(zip(pairwise(widths), margins(config), strict=True)):
        at_level = float(2 * (config.num_res_blocks + 1) * width**2 * frames * 4**level)
        first, last = kept(start, start + size, cells, level, margin)
        whole += at_level
        split += at_level * (last - first) / (cells << level)
        frames *= times[level]
    return split / whole
