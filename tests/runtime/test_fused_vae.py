"""The autoencoder as a GPU runs it, here on the CPU: the same numbers, and no more memory than it needs."""

import pytest
import torch
from torch import Tensor

from tests.runtime.small_vae import small
from tests.runtime.vae_peak import peak_bytes
from wanvideo.models.config import VAE_2_1, VAE_2_2
from wanvideo.models.vae import WanVAE
from wanvideo.runtime.fused_vae import FusedDecoder, FusedEncoder, decoder, encode, prepare

KINDS = ("2.1", "2.2")


def relative_error(ours: Tensor, plain: Tensor) -> float:
    """Largest difference, by the largest value."""
    return float((ours - plain).abs().max() / plain.abs().max())


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_is_what_the_model_does(kind: str) -> None:
    vae, latents = small(kind), torch.randn(2, 4, 4, 3, 5)
    expected = vae.decode(latents)
    chunks = list(FusedDecoder(vae).stream(latents))
    assert [chunk.shape[2] for chunk in chunks] == [1, 4, 4, 4]
    assert relative_error(torch.cat(chunks, dim=2), expected) < 2e-5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("frames", [1, 5, 13])
def test_encoding_is_what_the_model_does(kind: str, frames: int) -> None:
    vae, video = small(kind, num_res_blocks=2), torch.rand(2, 3, frames, 32, 48) * 2 - 1
    expected = vae.encode(video)
    assert relative_error(FusedEncoder(vae).encode(video), expected) < 2e-5


@pytest.mark.parametrize("kind", KINDS)
def test_laying_out_the_weights_changes_no_number_and_no_name(kind: str) -> None:
    vae, latents = small(kind), torch.randn(1, 4, 2, 2, 2)
    before, expected = {name: value.clone() for name, value in vae.state_dict().items()}, vae.decode(latents)
    prepare(vae)
    assert dict.fromkeys(before, True) == {n: bool(v.equal(before[n])) for n, v in vae.state_dict().items()}
    torch.testing.assert_close(vae.decode(latents), expected)


def test_on_the_cpu_the_model_itself_runs() -> None:
    vae, latents, video = small("2.2"), torch.randn(1, 4, 2, 2, 2), torch.rand(1, 3, 5, 32, 32)
    assert torch.cat(list(decoder(vae, latents.device)(latents)), dim=2).equal(vae.decode(latents))
    assert encode(vae, video).equal(vae.encode(video))


def full_size(kind: str) -> WanVAE:
    with torch.device("meta"):
        vae = WanVAE({"2.1": VAE_2_1, "2.2": VAE_2_2}[kind]).bfloat16().requires_grad_(False)
    prepare(vae)
    return vae


def decoding_bytes(patch: pytest.MonkeyPatch, vae: WanVAE, frames: int, height: int, width: int) -> int:
    latents = torch.empty(1, vae.config.z_dim, frames, height, width, device="meta")

    def run() -> None:
        for chunk in FusedDecoder(vae).stream(latents):
            del chunk

    return peak_bytes(patch, run)


@pytest.mark.parametrize(("kind", "height", "width", "gib"), [("2.1", 90, 160, 5.1), ("2.2", 44, 80, 4.3)])
def test_a_full_size_decode_needs_little_beside_the_weights(
    monkeypatch: pytest.MonkeyPatch, kind: str, height: int, width: int, gib: float
) -> None:
    vae = full_size(kind)
    needed = [decoding_bytes(monkeypatch, vae, frames, height, width) for frames in (3, 5, 9)]
    assert max(needed) < gib * 2**30
    assert max(needed) < 1.02 * min(needed)  # what grows is the latents
