"""How far a decoder looks beside a strip, and what that costs. That it is enough, and no more than that."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from wanvideo.models.config import VAE_2_1, VAE_2_2, VAEConfig
from wanvideo.models.vae import WanVAE
from wanvideo.parallel.picture import Strip
from wanvideo.runtime.fused_vae import FusedDecoder
from wanvideo.runtime.mesh import shares
from wanvideo.runtime.strips import margins, slots_bytes, strip_work

HEIGHT, WIDTH = 3, 38


def small(config: VAEConfig) -> WanVAE:
    torch.manual_seed(0)
    return WanVAE(replace(config, base_dim=8, decoder_base_dim=8, num_res_blocks=1)).eval()


def in_strips(vae: WanVAE, latents: Tensor, beside: tuple[int, ...]) -> Tensor:
    """By the fused decoder, one strip after the other; `beside` in place of the margins."""

    def parts() -> Iterator[Tensor]:
        start = 0
        for length in shares(WIDTH, 3):
            strip = Strip(start, start + length, WIDTH, beside, axis=-1)
            start += length
            fused = FusedDecoder(vae, crop=partial(strip.crop, dim=2))
            yield torch.cat([strip.own(chunk, len(beside) - 1) for chunk in fused.stream(latents)], dim=2)

    return torch.cat(list(parts()), dim=-1)


@pytest.mark.parametrize("config", [VAE_2_1, VAE_2_2], ids=["2.1", "2.2"])
def test_strips_give_the_whole_picture_and_need_all_of_their_margins(config: VAEConfig) -> None:
    vae = small(config)
    latents = torch.randn(1, config.z_dim, 2, HEIGHT, WIDTH)
    whole = torch.cat(list(FusedDecoder(vae).stream(latents)), dim=2)
    enough = margins(vae.config)
    torch.testing.assert_close(in_strips(vae, latents, enough), whole, atol=1e-5, rtol=0)
    too_little = tuple(margin - 1 for margin in enough)
    assert float((in_strips(vae, latents, too_little) - whole).abs().max()) > 1e-4


def test_margins_are_those_of_the_published_decoders() -> None:
    assert margins(VAE_2_1) == margins(VAE_2_2) == (13, 12, 10, 7)


def test_more_strips_take_less_work_each_and_never_less_than_their_share() -> None:
    shares_of_work = [strip_work(VAE_2_1, 160, parts) for parts in (1, 2, 3, 4, 8)]
    assert shares_of_work[0] == 1
    assert shares_of_work == sorted(shares_of_work, reverse=True)
    assert all(work > 1 / parts for work, parts in zip(shares_of_work[1:], (2, 3, 4, 8), strict=True))
    assert shares_of_work[1] < 1 / 1.8


def test_room_for_strips_is_two_chunks_of_frames() -> None:
    assert slots_bytes(VAE_2_2, 704, 1280) == 2 * 4 * 704 * 1280 * 3
