"""Tiles: the same clip in less memory, nearly the same numbers."""

from copy import deepcopy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from wanvideo.models.config import VAEConfig
from wanvideo.models.vae import FrameAttention, WanVAE
from wanvideo.runtime.tiling import blend, blend_weights, decode_tiled, encode_tiled, tile_starts


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


def test_one_tile_that_covers_all_is_exact(vae: WanVAE) -> None:
    z, stride = vae.config.z_dim, vae.config.spatial_stride
    latents = torch.randn(1, z, 2, 2, 6, generator=torch.Generator().manual_seed(1))
    for tile in (6, 9):
        chunks = list(decode_tiled(vae, latents, tile=tile, stride=3))
        assert [chunk.shape[2] for chunk in chunks] == [1, 4]
        assert torch.equal(torch.cat(chunks, dim=2), vae.decode(latents))
    video = torch.rand(1, 3, 5, 2 * stride, 6 * stride, generator=torch.Generator().manual_seed(2)) * 2 - 1
    assert torch.equal(encode_tiled(vae, video, tile=6, stride=3), vae.encode(video))


def test_tiles_may_be_wider_than_they_are_high(vae: WanVAE) -> None:
    latents = torch.randn(1, vae.config.z_dim, 3, 4, 9, generator=torch.Generator().manual_seed(3))
    chunks = list(decode_tiled(vae, latents, tile=(4, 6), stride=(4, 3)))
    halves = [vae.decode(latents[..., left : left + 6]) for left in (0, 3)]
    assert [chunk.shape[2] for chunk in chunks] == [1, 4, 4]
    columns = [0, 3 * vae.config.spatial_stride]
    torch.testing.assert_close(torch.cat(chunks, dim=2), blend([halves], [0], columns))


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
    whole, (tiled,) = local.decode(latents), decode_tiled(local, latents, tile=48, stride=30)
    seam = slice(30 * stride, 48 * stride)
    difference = (tiled - whole).abs()
    assert difference[..., : seam.start].max() < 1e-5
    assert difference[..., seam.stop :].max() < 1e-5
    assert difference[..., seam].mean() < 0.1 * whole.std()


def test_a_wider_overlap_comes_closer(vae: WanVAE) -> None:
    video = smooth(1, 3, 1, 2 * vae.config.spatial_stride, 24 * vae.config.spatial_stride)
    whole = vae.encode(video)
    errors = [(encode_tiled(vae, video, tile=16, stride=stride) - whole).abs().mean() for stride in (16, 8, 4)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.3 * whole.std()


@given(st.integers(1, 60), st.integers(1, 20), st.data())
def test_tiles_cover_an_axis_and_their_weights_sum_to_one(length: int, tile: int, data: st.DataObject) -> None:
    starts = tile_starts(length, tile, data.draw(st.integers(1, tile)))
    lengths = [min(tile, length - start) for start in starts]
    assert starts[0] == 0
    assert starts[-1] + lengths[-1] == length
    assert starts == sorted(set(starts))
    weights = blend_weights(starts, lengths)
    assert weights.shape == (len(starts), length)
    torch.testing.assert_close(weights.sum(0), torch.ones(length, dtype=torch.float64))
    for weight, start, size in zip(weights, starts, lengths, strict=True):
        assert weight[start : start + size].gt(0).all()
        assert not weight[:start].any()
        assert not weight[start + size :].any()


def test_the_overlap_is_blended_linearly() -> None:
    weights = blend_weights([0, 4], [8, 8])
    torch.testing.assert_close(weights[1, 4:8], torch.tensor([0.125, 0.375, 0.625, 0.875], dtype=torch.float64))


@given(st.integers(1, 12), st.integers(1, 12), st.integers(2, 5), st.integers(1, 2))
def test_tiles_of_one_picture_join_into_it(height: int, width: int, tile: int, stride: int) -> None:
    picture = torch.arange(2.0 * height * width).reshape(2, height, width)
    rows, columns = tile_starts(height, tile, stride), tile_starts(width, tile, stride)
    tiles = [[picture[:, y : y + tile, x : x + tile] for x in columns] for y in rows]
    torch.testing.assert_close(blend(tiles, rows, columns), picture)


@pytest.mark.parametrize(("tile", "stride"), [(8, 9), (8, 0), (0, 0)])
def test_tiles_that_leave_gaps_are_refused(tile: int, stride: int) -> None:
    with pytest.raises(ValueError, match="do not cover"):
        tile_starts(20, tile, stride)
