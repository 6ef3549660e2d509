"""The least time that a forward can take on this machine: its arithmetic at the rates measured in the same run."""

from benchmarks.speed.ceilings import Ceilings
from benchmarks.speed.shapes import Shape, attention_flop, products
from wanvideo.request import Tier


def forward_seconds(shape: Shape, tier: Tier, ceilings: Ceilings) -> float:
    """Matrix products at the rate of their own size, attention at the best rate measured alone here, nothing else.

    The fast tier's products are float8 with a scale for each row, and its attention is held against the best 8-bit
    kernel of this machine, its rounding included; where there is none, as the engine itself does, against 16 bits.
    Exact is held against 16 bits. Ours are among the kernels, so that this line says what is lost between them rather
    than by them: for that see the table of ceilings. Raises SkipPart if a rate cannot be measured here.
    """
    kind = "native" if tier is Tier.EXACT else "fp8"
    linear = sum(p.flop / ceilings.product(kind, p.m, p.k, p.n) for p in products(shape))
    config = shape.config
    attention = ceilings.best_attention(tier, config.num_heads, config.head_dim, shape.tokens)
    return linear + attention_flop(shape) / attention
