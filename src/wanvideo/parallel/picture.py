"""The autoencoder's decoder with the picture cut into strips, one for each rank: the same frames, in less time.

The first convolution and the middle, whose attention sees all of a frame, are computed whole on every rank; they are
two per cent of the work. From there on, a rank keeps its strip and as much beside it as the rest of the decoder looks
at, which is cut off bit by bit on the way: 13 latent cells at first, 7 cells of the last stage at the end. What is cut
off is what the border has touched, so nothing needs to be exchanged or blended; finished pixels are put together on
the host (`board`).
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import torch
from torch import Tensor

from wanvideo.models.config import VAEConfig
from wanvideo.models.vae import Decoder, Upsample, UpStage, WanVAE
from wanvideo.parallel.team import Team
from wanvideo.runtime.fused_vae import FusedDecoder
from wanvideo.runtime.mesh import shares
from wanvideo.runtime.strips import kept, margins

_HEIGHT: Final = -2  # axes
_WIDTH: Final = -1


def strip_of(config: VAEConfig, height: int, width: int, team: Team) -> "Strip":
    """What this member of `team` decodes of latents of that height and width: a part of the longer side."""
    axis = _WIDTH if width >= height else _HEIGHT
    cells = max(height, width)
    lengths = shares(cells, team.size)
    start = sum(lengths[: team.place])
    return Strip(start, start + lengths[team.place], cells, margins(config), axis)


@dataclass(frozen=True, slots=True)
class Strip:
    """The latent cells from `start` to `stop` of a side of `cells`, and what is kept beside them at each level.

    Level i has 2^i times as many cells. margins: cells of each level, which the stages from there on look at.
    """

    start: int
    stop: int
    cells: int
    margins: tuple[int, ...]
    axis: int  # -1: W, -2: H

    def kept(self, level: int) -> tuple[int, int]:
        """From where to where, in cells of that level."""
        return kept(self.start, self.stop, self.cells, level, self.margins[level])

    def crop(self, level: int, x: Tensor, dim: int) -> Tensor:
        """x, whose axis `dim` has the whole side at level 0, else what was kept before and doubled since."""
        start, stop = self.kept(level)
        before = 0 if level == 0 else 2 * self.kept(level - 1)[0]
        return x.narrow(dim, start - before, stop - start).contiguous()

    def area(self, stride: int) -> tuple[slice, slice]:
        """Which rows and columns of the finished picture are the strip's; `stride` pixels a cell."""
        part = slice(self.start * stride, self.stop * stride)
        return (slice(None), part) if self.axis == _WIDTH else (part, slice(None))

    def own(self, x: Tensor, level: int) -> Tensor:
        """Of the last level's [..., H, W], times the pixels of a cell, what is the strip's."""
        start, stop = self.kept(level)
        pixels = x.shape[self.axis] // (stop - start)
        scale = 1 << level
        return x.narrow(
            self.axis, (self.start * scale - start) * pixels, (self.stop - self.start) * scale * pixels
        ).contiguous()


def decode_strip(vae: WanVAE, device: torch.device, latents: Tensor, strip: Strip) -> Iterator[Tensor]:
    """`vae.decode_stream`, of a strip: its pixels alone, without anything from other ranks."""
    last = len(strip.margins) - 1
    if device.type == "cuda":
        # Its frames are [T, H, W, C].
        fused = FusedDecoder(vae, crop=partial(strip.crop, dim=3 + strip.axis))
        for chunk in fused.stream(latents):
            yield strip.own(chunk, last)
        return
    with _cropped(vae.decoder, strip):
        for chunk in vae.decode_stream(latents):
            yield strip.own(chunk, last)


@contextmanager
def _cropped(decoder: Decoder, strip: Strip) -> Iterator[None]:
    """Crop what the middle and each doubling of the plain decoder give while the block runs."""
    doubling = [s for s in decoder.upsamples if isinstance(s, Upsample) or (isinstance(s, UpStage) and s.up)]
    with ExitStack() as hooks:
        for level, layer in enumerate([decoder.middle[-1], *doubling]):
            handle = layer.register_forward_hook(
                lambda _module, _given, x, level=level: strip.crop(level, x, x.dim() + strip.axis)
            )
            hooks.callback(handle.remove)
        yield
