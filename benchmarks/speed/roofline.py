"""The least time that a forward can take on this machine: its arithmetic at the rates measured in the same run."""

from benchmarks.speed.ceilings import Ceilings
from benchmarks.speed.shapes import Shape, attention_flop, products
from wanvideo.request import Tier


def forward_seconds(shape: Shape, tier: Tier, ceilings: Ceilings) -> float:
    """Matrix products at the rate of their own size, attention at the best rate of PyTorch's backends, nothing else.

    The fast tier's products are float8 with a scale for each row. Its attention is still held against 16 bits, so that
    a good 8-bit kernel can come out ahead of this line. Raises SkipPart if a rate cannot be measured here.
    """
    kind = "native" if tier is Tier.EXACT else "fp8"
    linear = sum(p.flop / ceilings.product(kind, p.m, p.k, p.n) for p in products(shape))
    config = shape.config
    attention = ceilings.best_attention(config.num_heads, config.head_dim, shape.tokens)
    return linear + attention_flop(shape) / attention
