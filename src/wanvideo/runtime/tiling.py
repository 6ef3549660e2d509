"""The video autoencoder in spatial tiles: less memory at a time, more work, and nearly the same picture.

Every tile is a clip of its own, with its own causal cache; tiles overlap and are blended linearly, chunk by chunk. The
autoencoder's attention sees one tile at a time, which is why the result is not exact.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from wanvideo.models.vae import WanVAE
from wanvideo.runtime.fused_vae import decoder, encode

Sides: TypeAlias = int | tuple[int, int]  # along H and W; one number for both


def decode_tiled(vae: WanVAE, latents: Tensor, *, tile: Sides, stride: Sides) -> Iterator[Tensor]:
    """Like `vae.decode_stream`: latents [B, z, T, h, w] -> chunks [B, 3, 1 or 4, H, W] in [-1, 1].

    tile: sides of a tile, stride: from one tile to the next, both in latent cells; `tile - stride` cells overlap.
    One tile after the other is decoded to its end, so that only one has its cache on the device. The others wait on the
    host until the last one is at work; then the chunks come.
    """
    scale, decode = vae.config.spatial_stride, decoder(vae, latents.device)
    (height, width), (down, across) = _pair(tile), _pair(stride)
    rows, columns = tile_starts(latents.shape[3], height, down), tile_starts(latents.shape[4], width, across)
    *earlier, last = (decode(latents[..., top : top + height, left : left + width]) for top in rows for left in columns)
    # 16-bit weights are no more exact than that.
    waiting = torch.float16 if vae.conv2.weight.dtype.itemsize == 2 else torch.float32
    done = [deque(chunk.to("cpu", waiting) for chunk in stream) for stream in earlier]
    for chunk in last:
        tiles = [*(chunks.popleft().to(chunk) for chunks in done), chunk]
        grid = [tiles[i : i + len(columns)] for i in range(0, len(tiles), len(columns))]
        yield blend(grid, [y * scale for y in rows], [x * scale for x in columns])


def encode_tiled(vae: WanVAE, video: Tensor, *, tile: Sides, stride: Sides) -> Tensor:
    """Like `vae.encode`: video [B, 3, F, H, W] in [-1, 1] -> normalised latents [B, z, T, h, w].

    tile, stride: as in `decode_tiled`, in latent cells.
    """
    scale, (height, width), (down, across) = vae.config.spatial_stride, _pair(tile), _pair(stride)
    rows = tile_starts(video.shape[3] // scale, height, down)
    columns = tile_starts(video.shape[4] // scale, width, across)
    tiles = [
        [
            encode(vae, video[..., y : y + height * scale, x : x + width * scale])
            for x in (left * scale for left in columns)
        ]
        for y in (top * scale for top in rows)
    ]
    return blend(tiles, rows, columns)


def _pair(sides: Sides) -> tuple[int, int]:
    return (sides, sides) if isinstance(sides, int) else sides


def tile_starts(length: int, tile: int, stride: int) -> list[int]:
    """Where tiles begin along an axis, so that they cover it; the last one ends where the axis ends."""
    if not 0 < stride <= tile:
        raise ValueError(f"tiles of {tile} cells every {stride} do not cover the picture: use 0 < stride <= tile")
    last = max(0, length - tile)
    return [*range(0, last, stride), last]


def blend(tiles: Sequence[Sequence[Tensor]], rows: Sequence[int], columns: Sequence[int]) -> Tensor:
    """Join tiles [..., h, w] that begin at `rows` and `columns`, each weighted by how far inside it a value lies."""
    bands = [_join(row, columns, axis=-1) for row in tiles]
    return _join(bands, rows, axis=-2)


def _join(tiles: Sequence[Tensor], starts: Sequence[int], axis: int) -> Tensor:
    """Join tiles along one axis."""
    lengths = [tile.shape[axis] for tile in tiles]
    weights = blend_weights(starts, lengths).to(tiles[0])
    shape = list(tiles[0].shape)
    shape[axis] = weights.shape[1]
    joined = tiles[0].new_zeros(shape)
    for tile, start, length, weight in zip(tiles, starts, lengths, weights, strict=True):
        along = weight[start : start + length]
        joined.narrow(axis, start, length).add_(tile * (along if axis == -1 else along[:, None]))
    return joined


def blend_weights(starts: Sequence[int], lengths: Sequence[int]) -> Tensor:
    """Weight of every tile at every place of an axis, [tiles, length]; they sum to 1 everywhere.

    Across the overlap of two tiles the one falls linearly while the other rises.
    """
    ends = [start + length for start, length in zip(starts, lengths, strict=True)]
    place = torch.arange(max(ends), dtype=torch.float64) + 0.5
    weights = torch.zeros(len(starts), max(ends), dtype=torch.float64)
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        weights[i] = ((place > start) & (place < end)).double()
        if i > 0 and (overlap := ends[i - 1] - start) > 0:
            weights[i] *= ((place - start) / overlap).clamp(0, 1)
        if i + 1 < len(starts) and (overlap := end - starts[i + 1]) > 0:
            weights[i] *= ((end - place) / overlap).clamp(0, 1)
    return weights / weights.sum(0)
