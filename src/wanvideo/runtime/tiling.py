"""The video autoencoder in spatial tiles: less memory at a time, more work, and nearly the same picture.

Every tile is a clip of its own, with its own causal cache; tiles overlap and are blended, chunk by chunk. The
autoencoder's attention sees one tile at a time, which is why the result is not exact.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, product
from typing import Final

import torch
from torch import Tensor

from wanvideo.models.vae import WanVAE
from wanvideo.runtime.fused_vae import decoder, encode
from wanvideo.runtime.pinned import pin, unpin
from wanvideo.runtime.tiles import Tiling

_ONE: Final = 32767  # stands for 1.0 in pixels that wait: 16 bits, 128 times as fine as those of a finished frame


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where a tile lies, and how much each of its values counts, [h, w] float32: over all tiles the sum is 1."""

    top: int
    left: int
    weight: Tensor

    def of(self, picture: Tensor) -> Tensor:
        """What the tile sees of a picture [..., H, W]."""
        height, width = self.weight.shape
        return picture[..., self.top : self.top + height, self.left : self.left + width]


def places(rows: Sequence[int], columns: Sequence[int], height: int, width: int, device: torch.device) -> list[Place]:
    """Of tiles of height x width, row by row, that begin at `rows` and `columns`."""
    across = blend_weights(columns, width)
    return [
        Place(top, left, torch.outer(down[top : top + height], right[left : left + width]).float().to(device))
        for top, down in zip(rows, blend_weights(rows, height), strict=True)
        for left, right in zip(columns, across, strict=True)
    ]


def blend_weights(starts: Sequence[int], length: int) -> Tensor:
    """Weight of every tile of that length at every place of an axis, [tiles, places]; they sum to 1 everywhere.

    Across the overlap of two tiles one falls while the other rises, gently at both ends.
    """
    place = torch.arange(starts[-1] + length, dtype=torch.float64) + 0.5
    weights = torch.stack([((place > start) & (place < start + length)).double() for start in starts])
    for i, start in enumerate(starts[1:], start=1):
        if (overlap := starts[i - 1] + length - start) > 0:
            rise = ((place - start) / overlap).clamp(0, 1)
            rise = rise**2 * (3 - 2 * rise)
            weights[i - 1] *= 1 - rise
            weights[i] *= rise
    return weights / weights.sum(0)


def blend(tiles: Iterable[Tensor], at: Sequence[Place]) -> Tensor:
    """Join tiles [..., h, w] into one picture [..., H, W]."""
    joined: Tensor | None = None
    for tile, place in zip(tiles, at, strict=True):
        if joined is None:
            (height, width), last = place.weight.shape, at[-1]
            joined = tile.new_zeros(*tile.shape[:-2], last.top + height, last.left + width)
        place.of(joined).addcmul_(tile, place.weight)
    assert joined is not None
    return joined


# --- the autoencoder -------------------------------------------------------------------------------------------------


def decode_tiled(vae: WanVAE, latents: Tensor, tiling: Tiling) -> Iterator[Tensor | None]:
    """Like `vae.decode_stream`: latents [B, z, T, h, w] -> chunks [B, 3, 1 or 4, H, W] in [-1, 1].

    One tile after the other is decoded to its end, so that only one has its cache on the device; the others wait on the
    host, with 16 bits a number. Of the `tiles * T` steps, the last T give the chunks, and those before give None.
    """
    cell, device, decode = vae.config.spatial_stride, latents.device, decoder(vae, latents.device)
    height, width = (min(side, of) for side, of in zip(_cells(tiling), latents.shape[-2:], strict=True))
    rows, columns = tiling.rows(latents.shape[-2]), tiling.columns(latents.shape[-1])
    at = places([y * cell for y in rows], [x * cell for x in columns], height * cell, width * cell, device)
    *earlier, last = pieces(latents, tiling)
    with _waiting(len(earlier), vae, last) as rooms:
        for tile, room in zip(earlier, rooms, strict=True):
            for chunk, kept in zip(decode(tile), room, strict=True):
                kept.copy_((chunk * _ONE).round_().to(torch.int16), non_blocking=True)
                del chunk
                yield None
        for chunk, *others in zip(decode(last), *rooms, strict=True):
            arrived = (kept.to(device, non_blocking=True).float().div_(_ONE) for kept in others)
            yield blend(chain(arrived, [chunk]), at)


def pieces(latents: Tensor, tiling: Tiling) -> Iterator[Tensor]:
    """What the tiles see of latents [..., h, w], row by row."""
    height, width = _cells(tiling)
    for y, x in product(tiling.rows(latents.shape[-2]), tiling.columns(latents.shape[-1])):
        yield latents[..., y : y + height, x : x + width]


@contextmanager
def _waiting(tiles: int, vae: WanVAE, latents: Tensor) -> Iterator[list[list[Tensor]]]:
    """Room on the host for the chunks of so many tiles like `latents` [B, z, T, h, w], each [B, 3, 1 or 4, H, W] int16.

    Its pages are locked, so that copies to and from a GPU go on while the GPU and the host work.
    """
    cell, frames = vae.config.spatial_stride, vae.config.temporal_stride
    count, _, steps, height, width = latents.shape
    sizes = [1, *[frames] * (steps - 1)]
    frame = count * 3 * height * cell * width * cell
    room = torch.empty(tiles, frame * sum(sizes), dtype=torch.int16)
    locked = pin(room, latents.device)
    try:
        yield [
            [
                part.view(count, 3, size, height * cell, width * cell)
                for part, size in zip(tile.split([frame * size for size in sizes]), sizes, strict=True)
            ]
            for tile in room
        ]
    finally:
        if locked:
            torch.cuda.current_stream(latents.device).synchronize()
            unpin([room])


def encode_tiled(vae: WanVAE, video: Tensor, tiling: Tiling) -> Iterator[Tensor | None]:
    """Like `fused_vae.encode`: video [B, 3, F, H, W] in [-1, 1] -> normalised latents [B, z, T, h, w].

    Each tile is a step; the last one gives the latents, and those before give None.
    """
    cell = vae.config.spatial_stride
    height, width = (min(side, of // cell) for side, of in zip(_cells(tiling), video.shape[-2:], strict=True))
    rows, columns = tiling.rows(video.shape[-2] // cell), tiling.columns(video.shape[-1] // cell)
    at = places(rows, columns, height, width, vae.conv1.weight.device)
    tiles: list[Tensor] = []
    for y, x in product(rows, columns):
        tiles.append(encode(vae, video[..., y * cell : (y + height) * cell, x * cell : (x + width) * cell]))
        yield None if len(tiles) < len(at) else blend(tiles, at)


def _cells(tiling: Tiling) -> tuple[int, int]:
    return tiling.height // tiling.cell, tiling.width // tiling.cell
