import gc
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.models.reference import relative_error, vaes
from wanvideo.models.config import VAEConfig
from wanvideo.models.vae import (
    CausalCache,
    WanVAE,
    averaged_shortcut,
    duplicated_shortcut,
    fold_pixels,
    unfold_pixels,
)

KINDS = ("2.1", "2.2")
TOLERANCE = 1e-5  # norms are float32, whatever the weights


def tiny(kind: str) -> WanVAE:
    torch.manual_seed(0)
    config = VAEConfig(
        z_dim=4,
        base_dim=4,
        decoder_base_dim=4,
        latent_mean=(0.1,) * 4,
        latent_std=(1.5,) * 4,
        num_res_blocks=1,
        pixel_patch=2 if kind == "2.2" else 1,
        shortcuts=kind == "2.2",
    )
    return WanVAE(config).double().eval()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("frames", [1, 5, 9, 17])
@torch.no_grad()
def test_both_directions_compute_what_diffusers_computes(kind: str, frames: int) -> None:
    ours, theirs = vaes(kind)
    mean, std = (torch.tensor(v).reshape(-1, 1, 1, 1) for v in (theirs.config.latents_mean, theirs.config.latents_std))
    video = torch.rand(1, 3, frames, 32, 48) * 2 - 1
    expected = (theirs.encode(video).latent_dist.mode() - mean) / std
    assert relative_error(ours.encode(video), expected) <= 1e-5
    assert relative_error(ours.decode(expected), theirs.decode(expected * std + mean).sample) <= 1e-5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunks", [(1, 4, 4, 4), (5, 8), (9, 4), (1, 12)])
@torch.no_grad()
def test_encoding_in_any_chunks_is_encoding_the_whole_clip(kind: str, chunks: tuple[int, ...]) -> None:
    vae, video = tiny(kind), torch.rand(1, 3, 13, 16, 16).double() * 2 - 1
    whole, _ = vae.moments(video)
    cache = CausalCache()
    parts = [vae.moments(chunk, cache)[0] for chunk in video.split(chunks, dim=2)]
    torch.testing.assert_close(torch.cat(parts, dim=2), whole, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunks", [(1, 1, 1, 1), (2, 2), (1, 3), (3, 1)])
@torch.no_grad()
def test_decoding_in_any_chunks_is_decoding_the_whole_clip(kind: str, chunks: tuple[int, ...]) -> None:
    vae, latents = tiny(kind), torch.randn(1, 4, 4, 2, 2).double()
    cache = CausalCache()
    parts = [vae.pixels(chunk, cache) for chunk in latents.split(chunks, dim=2)]
    torch.testing.assert_close(torch.cat(parts, dim=2), vae.pixels(latents), atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_the_stream_is_the_decoded_clip_one_frame_and_then_four_at_a_time(kind: str) -> None:
    vae, latents = tiny(kind), torch.randn(1, 4, 4, 2, 2)
    chunks = list(vae.decode_stream(latents))
    assert [chunk.shape[2] for chunk in chunks] == [1, 4, 4, 4]
    assert torch.equal(torch.cat(chunks, dim=2), vae.decode(latents))
    assert max(float(chunk.abs().max()) for chunk in chunks) <= 1


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_latent_frame_never_depends_on_later_frames(kind: str) -> None:
    vae, video = tiny(kind), torch.rand(1, 3, 9, 16, 16)
    changed = video.clone()
    changed[:, :, 5:] = 0
    assert torch.equal(vae.encode(video)[:, :, :2], vae.encode(changed)[:, :, :2])


def tensor_bytes() -> int:
    """Bytes of all tensors alive."""
    gc.collect()
    storages = {
        t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()
        for t in gc.get_objects()
        if type(t) is torch.Tensor
    }
    return sum(storages.values())


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_decoding_takes_no_more_memory_for_more_frames(kind: str) -> None:
    vae, latents = tiny(kind), torch.randn(1, 4, 12, 2, 2)
    alive = []
    for chunk in vae.decode_stream(latents):
        del chunk
        alive.append(tensor_bytes())
    assert len(set(alive[3:])) == 1, alive  # from the fourth chunk on, every cache is full
    assert all(a <= b for a, b in pairwise(alive))


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_cache_holds_at_most_two_frames_of_every_layer(kind: str) -> None:
    vae, cache = tiny(kind), CausalCache()
    for latent in torch.randn(1, 4, 5, 2, 2).double().split(1, dim=2):
        vae.pixels(latent, cache)
    assert {frames.shape[2] for frames in cache.frames.values()} == {2}
    assert cache.nbytes == sum(frames.nbytes for frames in cache.frames.values())


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2))
def test_folding_pixels_and_back_changes_nothing(channels: int, h: int, w: int, side: int) -> None:
    x = torch.arange(channels * 2 * h * w * side**2).reshape(1, channels, 2, h * side, w * side)
    assert torch.equal(unfold_pixels(fold_pixels(x, side), side), x)


def test_folded_pixels_lie_column_by_column() -> None:
    picture = torch.tensor([[0, 1], [2, 3]]).reshape(1, 1, 1, 2, 2)
    assert fold_pixels(picture, 2).flatten().tolist() == [0, 2, 1, 3]


def test_a_lone_first_frame_is_averaged_with_a_zero_frame() -> None:
    x = torch.ones(1, 2, 1, 2, 2)
    assert averaged_shortcut(x, 2, 2, 2).flatten().tolist() == [0.5, 0.5]


def test_duplicating_and_averaging_again_changes_nothing() -> None:
    x = torch.randn(1, 8, 3, 2, 2)
    doubled = duplicated_shortcut(x, 4, 2, 2, start=False)
    assert doubled.shape == (1, 4, 6, 4, 4)
    torch.testing.assert_close(averaged_shortcut(doubled, 8, 2, 2), x)
    assert duplicated_shortcut(x, 4, 2, 2, start=True).shape[2] == 5
