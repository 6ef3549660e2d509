"""Estimates of memory, beside the bytes that a decode at full size has alive."""

import pytest
import torch
from torch import Tensor

from tests.runtime.vae_peak import peak_bytes
from wanvideo.models.config import VAE_2_1, VAE_2_2, VAEConfig
from wanvideo.models.vae import WanVAE
from wanvideo.runtime.fused_vae import FusedDecoder, FusedEncoder
from wanvideo.runtime.memory_model import MemoryModel, encode_bytes
from wanvideo.runtime.tiles import smaller, tilings
from wanvideo.runtime.vae_memory import activations, decode_bytes, weight_count

GIB = 2**30
SIZES = ((VAE_2_1, 720, 1280), (VAE_2_2, 704, 1280))


def on_meta(config: VAEConfig) -> WanVAE:
    with torch.device("meta"):
        return WanVAE(config).bfloat16().requires_grad_(False)


@pytest.mark.parametrize("config", [VAE_2_1, VAE_2_2])
def test_every_weight_is_counted(config: VAEConfig) -> None:
    vae = on_meta(config)
    weights: list[Tensor] = [*vae.decoder.parameters(), *vae.conv2.parameters()]
    weights += [stage.weight for stage in FusedDecoder(vae).stages if stage.weight is not None]
    assert weight_count(config) == sum(weight.numel() for weight in weights)


@pytest.mark.parametrize("cells", [(30, 40), (44, 80)])
@pytest.mark.parametrize("config", [VAE_2_1, VAE_2_2])
def test_the_estimate_is_what_a_decode_has_alive(
    monkeypatch: pytest.MonkeyPatch, config: VAEConfig, cells: tuple[int, int]
) -> None:
    decoder = FusedDecoder(on_meta(config))
    latents = torch.empty(1, config.z_dim, 4, *cells, device="meta")

    def run() -> None:
        for chunk in decoder.stream(latents):
            del chunk

    assert 2 * activations(config, *cells) == pytest.approx(peak_bytes(monkeypatch, run), rel=0.06)


@pytest.mark.parametrize(("dtype", "name"), [(torch.bfloat16, "bfloat16"), (torch.float32, "float32")])
@pytest.mark.parametrize(("config", "height", "width"), [*SIZES, (VAE_2_1, 480, 832)])
def test_the_estimate_is_what_an_encode_has_alive(
    monkeypatch: pytest.MonkeyPatch, config: VAEConfig, height: int, width: int, dtype: torch.dtype, name: str
) -> None:
    encoder = FusedEncoder(on_meta(config).to(dtype))
    video = torch.empty(1, 3, 9, height, width, device="meta")
    alive = peak_bytes(monkeypatch, lambda: encoder.encode(video))
    assert alive < encode_bytes(config, height, width, name, None) < 1.2 * alive


@pytest.mark.parametrize(("config", "height", "width"), SIZES)
def test_without_kernels_a_coder_takes_more_by_what_the_model_says(
    monkeypatch: pytest.MonkeyPatch, config: VAEConfig, height: int, width: int
) -> None:
    vae, model = on_meta(config).float(), MemoryModel()
    decoder, cells = FusedDecoder(vae), (height // config.spatial_stride, width // config.spatial_stride)
    latents = torch.empty(1, config.z_dim, 4, *cells, device="meta")

    def decode() -> None:
        for chunk in decoder.stream(latents):
            del chunk

    decoding = peak_bytes(monkeypatch, decode, fused=False)
    assert 0.97 < decoding / (4 * activations(config, *cells) * model.plain_decode) < 1.001
    video = torch.empty(1, 3, 9, height, width, device="meta")
    encoding = peak_bytes(monkeypatch, lambda: FusedEncoder(vae).encode(video), fused=False)
    assert 0.85 < encoding / (encode_bytes(config, height, width, "float32", None) * model.plain_encode) < 1.001


@pytest.mark.parametrize(("config", "height", "width"), SIZES)
def test_smaller_tiles_take_less_memory(config: VAEConfig, height: int, width: int) -> None:
    ways = [None, *smaller(height, width, config.spatial_stride, None)]
    needed = [decode_bytes(config, height, width, 2, tiles) for tiles in ways]
    assert needed == sorted(needed, reverse=True)


@pytest.mark.parametrize(("config", "height", "width"), SIZES)
def test_three_gib_are_enough_for_720p_at_little_more_work(config: VAEConfig, height: int, width: int) -> None:
    ways = tilings(height, width, config.spatial_stride)
    fitting = [tiles for tiles in ways if decode_bytes(config, height, width, 2, tiles) <= 3 * GIB]
    assert fitting[0].work(height, width) < 1.2
