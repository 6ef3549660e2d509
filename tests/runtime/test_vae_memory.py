"""Estimates of memory, beside the bytes that a decode at full size has alive."""

import pytest
import torch
from torch import Tensor

from tests.runtime.vae_peak import peak_bytes
from wanvideo.errors import NotEnoughMemory
from wanvideo.models.config import VAE_2_1, VAE_2_2, VAEConfig
from wanvideo.models.vae import WanVAE
from wanvideo.runtime.fused_vae import FusedDecoder
from wanvideo.runtime.vae_memory import activations, decode_bytes, plan_decode, weight_count

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


@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize("cells", [(30, 40), (44, 80)])
@pytest.mark.parametrize("config", [VAE_2_1, VAE_2_2])
def test_the_estimate_is_what_a_decode_has_alive(
    monkeypatch: pytest.MonkeyPatch, config: VAEConfig, cells: tuple[int, int], group: int
) -> None:
    decoder = FusedDecoder(on_meta(config), group=group)
    latents = torch.empty(1, config.z_dim, 4, *cells, device="meta")

    def run() -> None:
        for chunk in decoder.stream(latents):
            del chunk

    assert 2 * activations(config, *cells, group) == pytest.approx(peak_bytes(monkeypatch, run), rel=0.06)


@pytest.mark.parametrize(("config", "height", "width"), SIZES)
def test_less_memory_costs_more_work(config: VAEConfig, height: int, width: int) -> None:
    plans = [plan_decode(config, height, width, 2, int(gib * GIB)) for gib in (80, 5, 4, 3, 2.2)]
    assert plans[0].tile is None
    works = [plan.work for plan in plans]
    assert works == sorted(works)
    assert works[0] == 1
    for plan, gib in zip(plans, (80, 5, 4, 3, 2.2), strict=True):
        assert plan.nbytes <= gib * GIB
        assert plan.nbytes == decode_bytes(config, height, width, 2, plan.tile)


def test_three_gib_are_enough_for_720p_at_little_more_work() -> None:
    assert plan_decode(VAE_2_2, 704, 1280, 2, 3 * GIB).work < 1.2
    assert plan_decode(VAE_2_1, 720, 1280, 2, 3 * GIB).work < 1.2


def test_what_fits_in_no_tiles_is_refused_with_the_numbers() -> None:
    with pytest.raises(NotEnoughMemory, match=r"at least 1\.\d GiB, in small tiles, and there are 1\.0 GiB"):
        plan_decode(VAE_2_2, 704, 1280, 2, GIB)
