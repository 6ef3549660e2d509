"""What a forward is held against: products and attention at the rates of the same run."""

import pytest
import torch

from benchmarks.speed.ceilings import Ceilings
from benchmarks.speed.record import SkipPart
from benchmarks.speed.roofline import forward_seconds
from benchmarks.speed.shapes import A14B_480P, attention_flop, products
from wanvideo.kernels.attention import Backend
from wanvideo.request import Tier

RATES = {"flash": 500e12, "cuDNN": 600e12, Backend.HOPPER: 650e12, Backend.HOPPER_8BIT: 900e12, Backend.SAGE: 700e12}


def measured(rates: dict[str, float]) -> Ceilings:
    """A GPU where those kernels alone run, and products take no time."""
    ceilings = Ceilings(torch.device("cuda", 0), repeats=1)
    config = A14B_480P.config
    for backend in ceilings.backends:
        rate = rates.get(backend, "does not run here")
        ceilings._rates[backend, config.num_heads, config.head_dim, A14B_480P.tokens] = rate
    for product in products(A14B_480P):
        for kind in ("native", "fp8"):
            ceilings._rates[kind, product.m, product.k, product.n] = float("inf")
    return ceilings


def rate(tier: Tier, rates: dict[str, float]) -> float:
    return attention_flop(A14B_480P) / forward_seconds(A14B_480P, tier, measured(rates))


def test_fast_is_held_against_the_best_8_bit_attention_and_exact_against_the_best_in_16_bits() -> None:
    assert rate(Tier.FAST, RATES) == pytest.approx(900e12)
    assert rate(Tier.EXACT, RATES) == pytest.approx(650e12)


def test_without_an_8_bit_attention_fast_is_held_against_what_it_uses_instead() -> None:
    assert rate(Tier.FAST, {"flash": 500e12, "cuDNN": 600e12}) == pytest.approx(600e12)
    with pytest.raises(SkipPart, match="no attention"):
        rate(Tier.FAST, {})
