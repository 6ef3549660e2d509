"""How much memory the video autoencoder needs. Sizes alone, no torch.

Counted are the tensors that `fused_vae` has alive at its fullest moment, which does not depend on the number of frames:
the two frames that every causal convolution remembers, and what one block works with. Of numbers of 16 bits, VAE 2.2
at 1280x704 needs 4.8 GiB beside its weights and VAE 2.1 at 1280x720 5.6 GiB, in groups of two frames.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from wanvideo.models.config import VAEConfig
from wanvideo.runtime.tiles import Tiling

GROUP: Final = 2  # frames that a decoder stage takes at a time; 1 takes less memory, 4 copies less
SCRATCH: Final = 128 << 20  # bytes that convolutions and attention may want for themselves


def decode_bytes(
    config: VAEConfig, height: int, width: int, itemsize: int, tiling: Tiling | None = None, *, group: int = GROUP
) -> int:
    """Bytes at the fullest moment of a decode, with the decoder's weights; height and width in pixels."""
    cell = config.spatial_stride
    sides = (height, width) if tiling is None else (min(tiling.height, height), min(tiling.width, width))
    cells = sides[0] // cell, sides[1] // cell
    # Chunks of float32 pixels: the one that is handed on, and those that it is made of, or blended from.
    pixels = 3 * 4 * config.temporal_stride * height * width
    copies = 2 if tiling is None else 4
    return (weight_count(config) + activations(config, *cells, group)) * itemsize + copies * pixels + SCRATCH


@dataclass(frozen=True, slots=True)
class _Stage:
    """One stage of the decoder. A frame of one channel has `area` numbers, in parts of a latent frame's."""

    widths: tuple[int, ...]  # before, between and behind the residual blocks
    area: int
    doubled: int  # width behind the doubling of the picture; 0: none
    time: int  # frames made of one
    frames: int  # taken at once
    shortcut: bool


def _stages(config: VAEConfig, group: int) -> Iterator[_Stage]:
    mult = config.dim_mult
    widths = [config.decoder_base_dim * m for m in (mult[-1], *reversed(mult))]
    temporal = (*reversed(config.temporal_downsample), False)
    frames = 1
    for i, (before, width) in enumerate(pairwise(widths)):
        last = i == len(temporal) - 1
        start = before if config.shortcuts or i == 0 else before // 2
        doubled = 0 if last else (width if config.shortcuts else width // 2)
        time = 2 if temporal[i] else 1
        blocks = (width,) * (config.num_res_blocks + 1)
        yield _Stage((start, *blocks), 4**i, doubled, time, frames, config.shortcuts and not last)
        frames = min(group, frames * time)


def activations(config: VAEConfig, height: int, width: int, group: int = GROUP) -> int:
    """Numbers in the activations at the fullest moment of decoding latents of height x width cells."""
    cells, stages = height * width, list(_stages(config, group))
    first = stages[0].widths[0]
    remembered = 2 * (config.z_dim + 4 * first)  # of the first convolution and the middle, for one cell
    held = 0  # by the stages before, while this one works
    fullest = 0
    for stage, following in zip(stages, [*stages[1:], None], strict=True):
        t, area = stage.frames, stage.area
        for before, after in pairwise(stage.widths):
            remembered += 2 * area * (before + after)
            origin = t * stage.widths[0] if stage.shortcut and before != stage.widths[0] else 0
            block = max(
                t * before + (2 + t) * before + t * after,  # the first convolution
                t * before + t * after + (2 + t) * after,  # the second norm or convolution
            )
            fullest = max(fullest, held + area * (origin + block))
        behind = stage.widths[-1]
        if following is None:
            remembered += 2 * area * behind
            break
        origin = t * stage.widths[0] if stage.shortcut else 0
        source = t * behind
        if stage.time == 2:
            remembered += 2 * area * behind
            fullest = max(fullest, held + area * (origin + (2 * t + 2 + 2 * t) * behind))
            source = 2 * t * behind
        phases = 4 * stage.doubled * (1 + following.frames)
        fullest = max(fullest, held + area * (origin + source + phases))
        if following.frames < t * stage.time:
            held += area * (origin + source)
    return cells * (remembered + fullest)


def weight_count(config: VAEConfig) -> int:
    """Numbers in the decoder's weights, and in the phases of those behind a doubling."""
    stages = list(_stages(config, 1))
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
