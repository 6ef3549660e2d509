"""Tiles: the same clip in less memory, nearly the same numbers."""

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from wanvideo.models.config import VAEConfig
from wanvideo.models.vae import FrameAttention, WanVAE
from wanvideo.runtime.tiles import Tiling, tile_starts
from wanvideo.runtime.tiling import blend, blend_weights, decode_tiled, encode_tiled, places


@pytest.fixture(scope="module", params=["2.1", "2.2"])
def vae(request: pytest.FixtureRequest) -> WanVAE:
    torch.manual_seed(0)
    z, patch = {"2.1": (16, 1), "2.2": (48, 2)}[request.param]
    config = VAEConfig(
        z_dim=z,
        base_dim=8,
        decoder_base_dim=8,
        dim_mult=(1, 1, 1, 1),
        num_res_blocks=1,
        latent_mean=(0.1,) * z,
        latent_std=(1.3,) * z,
        pixel_patch=patch,
        shortcuts=patch == 2,
    )
    return WanVAE(config).requires_grad_(False)


def smooth(*shape: int) -> Tensor:
    """A gentle gradient over the last two axes, other in every channel."""
    y, x = torch.linspace(-1, 1, shape[-2])[:, None], torch.linspace(-1, 1, shape[-1])
    channel = torch.arange(shape[1]).reshape(-1, 1, 1, 1) / shape[1]
    return (0.5 * (x * channel + y * (1 - channel))).expand(shape).contiguous()


def cut(vae: WanVAE, height: int, width: int, overlap: int) -> Tiling:
    """Tiles of so many cells."""
    cell = vae.config.spatial_stride
    return Tiling(height=height * cell, width=width * cell, overlap=overlap * cell, cell=cell)


def finished(steps: Iterable[Tensor | None]) -> list[Tensor]:
    return [chunk for chunk in steps if chunk is not None]


def test_one_tile_that_covers_all_is_exact(vae: WanVAE) -> None:
    z, cell = vae.config.z_dim, vae.config.spatial_stride
    latents = torch.randn(1, z, 2, 2, 6, generator=torch.Generator().manual_seed(1))
    for side in (6, 9):
        chunks = finished(decode_tiled(vae, latents, cut(vae, side, side, 3)))
        assert [chunk.shape[2] for chunk in chunks] == [1, 4]
        assert torch.equal(torch.cat(chunks, dim=2), vae.decode(latents))
    video = torch.rand(1, 3, 5, 2 * cell, 6 * cell, generator=torch.Generator().manual_seed(2)) * 2 - 1
    (encoded,) = finished(encode_tiled(vae, video, cut(vae, 6, 6, 3)))
    assert torch.equal(encoded, vae.encode(video))


def test_tiles_may_be_wider_than_they_are_high(vae: WanVAE) -> None:
    latents = torch.randn(1, vae.config.z_dim, 3, 4, 9, generator=torch.Generator().manual_seed(3))
    chunks = finished(decode_tiled(vae, latents, cut(vae, 4, 6, 3)))
    assert [chunk.shape[2] for chunk in chunks] == [1, 4, 4]
    cell = vae.config.spatial_stride
    halves = [vae.decode(latents[..., left : left + 6]) for left in (0, 3)]
    blended = blend(halves, places([0], [0, 3 * cell], 4 * cell, 6 * cell, latents.device))
    # What waits is rounded to 16 bits.
    torch.testing.assert_close(torch.cat(chunks, dim=2), blended, atol=2 / 2**16, rtol=0)


def test_every_chunk_of_every_tile_is_a_step_and_the_last_ones_bring_the_frames(vae: WanVAE) -> None:
    tiles, latents = cut(vae, 4, 4, 2), torch.randn(2, vae.config.z_dim, 3, 6, 8)
    steps = list(decode_tiled(vae, latents, tiles))
    assert [step is None for step in steps] == [True] * 5 * 3 + [False] * 3
    assert tiles.count(6 * tiles.cell, 8 * tiles.cell) == 6


def test_every_tile_is_a_step_of_an_encode(vae: WanVAE) -> None:
    tiles, cell = cut(vae, 4, 4, 2), vae.config.spatial_stride
    steps = list(encode_tiled(vae, torch.rand(1, 3, 5, 4 * cell, 8 * cell), tiles))
    assert [step is None for step in steps] == [True, True, False]


def test_only_the_tile_at_work_is_computed(vae: WanVAE, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []
    pixels = WanVAE.pixels

    def noted(self: WanVAE, z: Tensor, *rest: Any) -> Tensor:
        seen.append(tuple(z.shape[-2:]))
        return pixels(self, z, *rest)

    monkeypatch.setattr(WanVAE, "pixels", noted)
    steps = decode_tiled(vae, torch.randn(1, vae.config.z_dim, 2, 4, 6), cut(vae, 4, 4, 2))
    for count in range(1, 5):
        next(steps)
        assert seen == [(4, 4)] * count


def without_attention(vae: WanVAE) -> WanVAE:
    """A copy in which every pixel depends on a neighbourhood only."""
    local = deepcopy(vae)
    for coder in (local.encoder, local.decoder):
        attention = coder.middle[1]
        assert isinstance(attention, FrameAttention)
        for parameter in attention.proj.parameters():
            parameter.zero_()
    return local


def test_away_from_the_seams_the_numbers_are_the_same(vae: WanVAE) -> None:
    local, stride = without_attention(vae), vae.config.spatial_stride
    latents = smooth(1, vae.config.z_dim, 1, 2, 78)  # tiles 0 to 48 and 30 to 78: 18 cells overlap
    whole, (tiled,) = local.decode(latents), finished(decode_tiled(local, latents, cut(vae, 2, 48, 18)))
    seam = slice(30 * stride, 48 * stride)
    difference = (tiled - whole).abs()
    assert difference[..., : seam.start].max() < 2e-5
    assert difference[..., seam.stop :].max() < 1e-5
    assert difference[..., seam].mean() < 0.1 * whole.std()


def test_a_wider_overlap_comes_closer(vae: WanVAE) -> None:
    video = smooth(1, 3, 1, 2 * vae.config.spatial_stride, 24 * vae.config.spatial_stride)
    whole = vae.encode(video)
    ways = [finished(encode_tiled(vae, video, cut(vae, 2, 12 + more, more))) for more in (0, 4, 8)]
    errors = [(latents - whole).abs().mean() for (latents,) in ways]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.3 * whole.std()


@given(st.integers(1, 60), st.integers(1, 20), st.data())
def test_weights_of_tiles_sum_to_one(length: int, tile: int, data: st.DataObject) -> None:
    tile = min(tile, length)
    starts = tile_starts(length, tile, data.draw(st.integers(0, tile - 1)))
    weights = blend_weights(starts, tile)
    assert weights.shape == (len(starts), length)
    torch.testing.assert_close(weights.sum(0), torch.ones(length, dtype=torch.float64))
    for weight, start in zip(weights, starts, strict=True):
        assert weight[start : start + tile].gt(0).all()
        assert not weight[:start].any()
        assert not weight[start + tile :].any()


def test_one_tile_falls_gently_while_the_other_rises() -> None:
    falling, rising = blend_weights([0, 4], 8)[:, 4:8]
    torch.testing.assert_close(falling, rising.flip(0))
    assert (rising.diff() > 0).all()
    assert rising[0] < 0.05
    assert falling[-1] < 0.05


@given(st.integers(1, 12), st.integers(1, 12), st.integers(2, 5), st.integers(0, 1))
def test_tiles_of_one_picture_join_into_it(height: int, width: int, tile: int, overlap: int) -> None:
    picture = torch.arange(2.0 * height * width).reshape(2, height, width)
    high, wide = min(tile, height), min(tile, width)
    rows, columns = tile_starts(height, tile, overlap), tile_starts(width, tile, overlap)
    at = places(rows, columns, high, wide, picture.device)
    torch.testing.assert_close(blend([place.of(picture) for place in at], at), picture)
