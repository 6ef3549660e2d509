"""How much memory the video autoencoder needs. Sizes alone, no torch.

Counted are the tensors that `fused_vae` has alive at its fullest moment, which does not depend on the number of frames:
the two frames that every causal convolution remembers, and what one block works with.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from wanvideo.models.config import VAEConfig
from wanvideo.runtime.tiles import Tiling

_SCRATCH_LEAST: Final = 128 << 20  # bytes
_SCRATCH_PER_WIDTH: Final = (4 << 20) / 3


def decode_bytes(config: VAEConfig, height: int, width: int, itemsize: int, tiling: Tiling | None = None) -> int:
    """Bytes at the fullest moment of a decode, with the decoder's weights; height and width in pixels."""
    cell = config.spatial_stride
    sides = (height, width) if tiling is None else (min(tiling.height, height), min(tiling.width, width))
    cells = sides[0] // cell, sides[1] // cell
    # Chunks of float32 pixels: the one that is handed on, and those that it is made of, or blended from.
    pixels = 3 * 4 * config.temporal_stride * height * width
    copies = 2 if tiling is None else 4
    numbers = weight_count(config) + activations(config, *cells)
    return numbers * itemsize + copies * pixels + scratch(config.decoder_base_dim)


def scratch(width: int) -> int:
    """Bytes that convolutions and attention may want for themselves in a coder whose narrowest stage has `width`.

    Measured on an H100: 128 MiB with 96 channels and 340 with 256, whatever the size of the picture.
    """
    return max(_SCRATCH_LEAST, int(width * _SCRATCH_PER_WIDTH))


@dataclass(frozen=True, slots=True)
class _Stage:
    """One stage of the decoder. A frame of one channel has `area` numbers, in parts of a latent frame's."""

    widths: tuple[int, ...]  # before, between and behind the residual blocks
    area: int
    doubled: int  # width behind the doubling of the picture; 0: none
    time: int  # frames made of one
    shortcut: bool


def _stages(config: VAEConfig) -> Iterator[_Stage]:
    mult = config.dim_mult
    widths = [config.decoder_base_dim * m for m in (mult[-1], *reversed(mult))]
    temporal = (*reversed(config.temporal_downsample), False)
    for i, (before, width) in enumerate(pairwise(widths)):
        last = i == len(temporal) - 1
        start = before if config.shortcuts or i == 0 else before // 2
        doubled = 0 if last else (width if config.shortcuts else width // 2)
        time = 2 if temporal[i] else 1
        blocks = (width,) * (config.num_res_blocks + 1)
        yield _Stage((start, *blocks), 4**i, doubled, time, config.shortcuts and not last)


def activations(config: VAEConfig, height: int, width: int) -> int:
    """Numbers in the activations at the fullest moment of decoding latents of height x width cells."""
    cells, stages = height * width, list(_stages(config))
    first = stages[0].widths[0]
    remembered = 2 * (config.z_dim + 4 * first)  # of the first convolution and the middle, for one cell
    held = 0  # by the stages before, while this one works
    fullest = 0
    for stage in stages:
        area, behind = stage.area, stage.widths[-1]
        for before, after in pairwise(stage.widths):
            remembered += 2 * area * (before + after)
            origin = stage.widths[0] if stage.shortcut and before != stage.widths[0] else 0
            # The first convolution; the second norm or convolution.
            block = max(4 * before + after, before + 4 * after)
            fullest = max(fullest, held + area * (origin + block))
        if stage is stages[-1]:
            remembered += 2 * area * behind
            break
        origin = stage.widths[0] if stage.shortcut else 0
        if stage.time == 2:
            remembered += 2 * area * behind
            fullest = max(fullest, held + area * (origin + 6 * behind))
        source = stage.time * behind
        phases = 8 * stage.doubled
        fullest = max(fullest, held + area * (origin + source + phases))
        if stage.time == 2:
            held += area * (origin + source)
    return cells * (remembered + fullest)


def weight_count(config: VAEConfig) -> int:
    """Numbers in the decoder's weights, and in the phases of those behind a doubling."""
    stages = list(_stages(config))
    first, last = stages[0].widths[0], stages[-1].widths[-1]
    pixels = 3 * config.pixel_patch**2
    count = _conv(config.z_dim, config.z_dim, 1) + _conv(config.z_dim, first, 27)
    count += 2 * _block(first, first) + first + _conv(first, 3 * first, 1) + _conv(first, first, 1)
    for stage in stages:
        count += sum(_block(before, after) for before, after in pairwise(stage.widths))
        behind = stage.widths[-1]
        if stage.doubled:
            count += _conv(behind, stage.doubled, 9) + 16 * behind * stage.doubled
        if stage.time == 2:
            count += _conv(behind, 2 * behind, 3)
    return count + last + _conv(last, pixels, 27)


def _conv(ins: int, outs: int, taps: int) -> int:
    return outs * (ins * taps + 1)


def _block(ins: int, outs: int) -> int:
    shortcut = _conv(ins, outs, 1) if ins != outs else 0
    return ins + _conv(ins, outs, 27) + outs + _conv(outs, outs, 27) + shortcut
