"""Pictures to latents and back, with whatever memory there is: whole, in smaller and smaller tiles, then on the CPU."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from wanvideo.models.vae import WanVAE
from wanvideo.parallel.picture import decode_strip, strip_of
from wanvideo.parallel.ranks import Ranks
from wanvideo.pipelines.arrival import RGB, arriving, one_ahead
from wanvideo.pipelines.parts import Parts
from wanvideo.request import Adjustment
from wanvideo.runtime.fused_vae import decoder, encode
from wanvideo.runtime.tiles import Tiling, smaller
from wanvideo.runtime.tiling import decode_tiled, encode_tiled

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Way:
    """How the autoencoder works on a picture."""

    tiles: Tiling | None  # None: on the whole of it
    on_cpu: bool = False  # because there was no memory on the device

    def __str__(self) -> str:
        pieces = "whole" if self.tiles is None else f"in tiles of {self.tiles}"
        return f"{pieces}, on the CPU" if self.on_cpu else pieces


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """`step` of `steps` of an encode are done. latents: normalised [1, z, T, h, w], of the last one."""

    step: int
    steps: int
    latents: Tensor | None


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """`step` of `steps` of a decode are done. frames: what that has finished, uint8 RGB [n, H, W, 3].

    Of several ranks, the first one has whole frames, the others have their strips.
    """

    step: int
    steps: int
    frames: RGB | None


class Autoencoder:
    """The autoencoder of a pipeline, for one video.

    If memory runs out, the other networks leave the device; then come smaller and smaller tiles, and then the CPU. What
    was made is kept, and each change of way is told. Raises torch.OutOfMemoryError if nothing helps.
    """

    def __init__(self, parts: Parts, tiles: Tiling | None, ranks: Ranks) -> None:
        """tiles: what the user wants it to work in; None: what the plan says.

        ranks: several decode the whole picture together, and none can change its way alone.
        """
        self._parts, self._ranks = parts, ranks
        planned = None if parts.plan is None else parts.plan.vae
        self._encode_tiles = tiles if tiles or planned is None else planned.encode_tiles
        self._decode_tiles = tiles if tiles or planned is None else planned.tiles

    def encode_steps(self, height: int, width: int) -> int:
        """Steps that an encode is planned to take."""
        return 1 if self._encode_tiles is None else self._encode_tiles.count(height, width)

    def encode(self, video: Tensor) -> Iterator[Encoded | Adjustment]:
        """[1, 3, F, H, W] in [-1, 1] -> every step, the last one with latents on the device of the parts."""
        height, width = video.shape[-2:]
        ways = self._ways(self._encode_tiles, height, width)
        way = next(ways)
        while True:
            try:
                yield from self._encoded(video, way)
                return
            except torch.OutOfMemoryError as error:
                before, way, reason = way, _following(ways, error), _reason(error)
            self._parts.empty_cache()  # only now is nothing left of the attempt
            if way != before:
                yield _change("encode", before, way, reason)

    def decode(self, latents: Tensor) -> Iterator[Decoded | Adjustment]:
        """Normalised latents [1, z, T, h, w] -> every step, with frames in their order, each once.

        Raises NonFiniteLatents.
        """
        ways = self._ways(self._decode_tiles, *self._pixels(latents))
        way = next(ways)
        given = 0  # chunks of frames
        while True:
            try:
                chunk = 0
                for step in self._decoded(latents, way):
                    chunk += step.frames is not None
                    yield step if chunk > given else replace(step, frames=None)
                    given = max(given, chunk)
                return
            except torch.OutOfMemoryError as error:
                before, way, reason = way, _following(ways, error), _reason(error)
            self._parts.empty_cache()
            if way != before:
                yield _change("decode", before, way, reason)

    # --- one attempt -------------------------------------------------------------------------------------------------

    def _encoded(self, video: Tensor, way: Way) -> Iterator[Encoded]:
        vae = self._parts.vae(on_cpu=way.on_cpu)
        made: Iterable[Tensor | None]
        if way.tiles is None:
            made, steps = (encode(vae, whole) for whole in (video,)), 1
        else:
            made, steps = encode_tiled(vae, video, way.tiles), way.tiles.count(*video.shape[-2:])
        for step, latents in enumerate(one_ahead(made, vae.conv1.weight.device), start=1):
            yield Encoded(step, steps, None if latents is None else latents.to(self._parts.device))

    def _decoded(self, latents: Tensor, way: Way) -> Iterator[Decoded]:
        vae = self._parts.vae(on_cpu=way.on_cpu)
        where = vae.conv2.weight.device
        latents = latents.to(where)
        made: Iterator[RGB | None]
        if way.tiles is not None:
            made = arriving(decode_tiled(vae, latents, way.tiles), where)
        elif self._ranks.size > 1:
            made = decoded_together(vae, where, latents, self._ranks)
        else:
            made = arriving(decoder(vae, where)(latents), where)
        steps = latents.shape[2] * (1 if way.tiles is None else way.tiles.count(*self._pixels(latents)))
        yield Decoded(0, steps, None)
        for step, frames in enumerate(made, start=1):
            yield Decoded(step, steps, frames)

    # --- what there is to try ----------------------------------------------------------------------------------------

    def _ways(self, tiles: Tiling | None, height: int, width: int) -> Iterator[Way]:
        """From what is planned to what takes least."""
        yield Way(tiles)
        if self._ranks.size > 1:
            return
        if self._parts.make_room():
            yield Way(tiles)
        for fewer in smaller(height, width, self._cell, tiles):
            yield Way(fewer)
        yield Way(tiles, on_cpu=True)

    def _pixels(self, latents: Tensor) -> tuple[int, int]:
        return latents.shape[-2] * self._cell, latents.shape[-1] * self._cell

    @property
    def _cell(self) -> int:
        return self._parts.folder.vae.config.spatial_stride


def decoded_together(vae: WanVAE, device: torch.device, latents: Tensor, ranks: Ranks) -> Iterator[RGB | None]:
    """Chunks of whole frames, uint8 RGB [n, H, W, 3], by all ranks: the first one has them, each other its strip."""
    assert ranks.board is not None
    config, (height, width) = vae.config, latents.shape[-2:]
    strip, stride = strip_of(config, height, width, ranks.work(guided=False).team), config.spatial_stride
    lay = ranks.board.join((config.temporal_stride, stride * height, stride * width, 3), strip.area(stride))
    return arriving(decode_strip(vae, device, latents, strip), device, lambda frames: lay(frames.numpy()))


def _following(ways: Iterator[Way], error: torch.OutOfMemoryError) -> Way:
    """What to try next; raises `error` if there is nothing."""
    log.warning("memory ran out in the autoencoder: %s", error)
    way = next(ways, None)
    if way is None:
        raise error
    return way


def _reason(error: torch.OutOfMemoryError) -> str:
    """The first sentences of PyTorch's message: what it is, and how much was asked for."""
    return f"memory ran out on the device ({'. '.join(str(error).split('. ')[:2])})"


def _change(field: str, before: Way, after: Way, reason: str) -> Adjustment:
    return Adjustment(field=field, asked=str(before), used=str(after), reason=reason)
