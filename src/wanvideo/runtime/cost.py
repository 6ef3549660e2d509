"""How long each phase takes, from operation counts and the rates of a calibration. No torch.

Operations: facts of the architecture, a multiplication and an addition counting as two; they agree with what torch's
FlopCounterMode counts within 0.8 %.
"""

from dataclasses import dataclass
from typing import Final

from wanvideo.models.config import TransformerConfig, VAEConfig
from wanvideo.request import Tier
from wanvideo.runtime.architecture import Architecture, Work
from wanvideo.runtime.machine import Calibration
from wanvideo.runtime.memory_model import TEXT_TOKENS

# Bytes that one block moves for each token by all that is neither a matrix product nor attention: norms, modulation,
# rotations, residual and, in the tier fast, rounding; for each channel of the model, and of the feed-forward. Counted:
# each pass of a kernel reads and writes its tensors once.
_MOVED: Final = {Tier.EXACT: (52, 0), Tier.FAST: (68, 3)}
# The same by PyTorch's operations one after the other, each of which reads and writes: counted, too.
_MOVED_PLAIN: Final = {Tier.EXACT: (330, 4), Tier.FAST: (722, 81)}
# What a LoRA adds that changes all matrices of a block, counted alike. Exact: its thin products read their inputs, what
# they give is written, and the GELU, else within a product, is a pass of its own. Fast: inputs are read in 8 bits, and
# what is given is added to the results in a pass.
_MOVED_BY_LORA: Final = {Tier.EXACT: (28, 8), Tier.FAST: (35, 5)}
# How fast they do that, by what a copy reaches. On an H100 a forward of A14B at 832x480 spends 0.15 s there, and 0.19 s
# in the tier fast, profiled: 2.3 and 2.7 TB/s, where a copy reaches 2.95.
_SHARE: Final = {Tier.EXACT: 0.79, Tier.FAST: 0.9}
# Operations per pixel and frame, counted: 275.4 TFLOP for 81 x 480 x 832 with autoencoder 2.1, 2011 for 121 x 704 x
# 1280 with 2.2; and those of their encoders. They grow with the square of the width.
_DECODE: Final = {1: (8.54e6, 96), 2: (18.44e6, 256)}  # by pixel_patch: operations, width
_ENCODE: Final = {1: (5.06e6, 96), 2: (3.51e6, 160)}
# Autoencoder 2.2 has 2.7 times the channels of 2.1, and its convolutions run faster by this, as those of diffusers on
# an H100 (322 and 133 TFLOP/s). In float32 both run slower: ours decode in 2.2 s there what takes 1.0 in 16 bits, and
# in 7.6 s what takes 3.4 with autoencoder 2.2 (docs/performance.md).
_WIDE_GAIN: Final = 2.4
_FLOAT32_LOSS: Final = 0.42


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSeconds:
    """Of one transformer block in one forward."""

    compute: float
    copy: float  # from where the streamed blocks are

    @property
    def streamed(self) -> float:
        """Copying goes on behind the computation."""
        return max(self.compute, self.copy)


def block_compute(
    architecture: Architecture, work: Work, tier: Tier, rates: Calibration, team: int = 1, *, fused: bool = True
) -> float:
    """Seconds of one block, all of its weights being there, on `team` GPUs that share its tokens.

    fused: norms, rotation and rounding by our kernels, not by PyTorch's operations one after the other.
    """
    config, tokens = architecture.transformer, work.tokens(architecture)
    dim = config.dim
    linear, attention = rates.bf16_tflops, rates.attention_tflops
    if tier is Tier.FAST:
        linear, attention = rates.fp8_tflops, rates.attention_8bit_tflops
    moved = tokens * moved_bytes(config, tier, fused=fused, lora=work.lora_bytes > 0)
    moved /= _SHARE[tier if fused else Tier.EXACT]
    alone = (
        2 * tokens * (6 * dim**2 + 2 * dim * config.ffn_dim) / (linear * 1e12)
        + 4 * tokens * (tokens + TEXT_TOKENS) * dim / (attention * 1e12)
        + moved / (rates.memory_gbs * 1e9)
    )
    return alone / team + exchange_seconds(tokens, dim, rates, team)


def moved_bytes(config: TransformerConfig, tier: Tier, *, fused: bool = True, lora: bool = False) -> float:
    """Of one token in one block, beside the matrix products of the model and attention."""
    parts = [(_MOVED if fused else _MOVED_PLAIN)[tier], *([_MOVED_BY_LORA[tier]] if lora else [])]
    return sum(per_channel * config.dim + per_hidden * config.ffn_dim for per_channel, per_hidden in parts)


def exchange_seconds(tokens: int, dim: int, rates: Calibration, team: int) -> float:
    """Of q, k, v and the result of one block, in 16 bits: what goes to other GPUs, and a copy of all of it."""
    if team == 1:
        return 0.0
    own = 4 * 2 * dim * tokens / team
    return own * (team - 1) / team / (rates.link_gbs * 1e9) + 2 * own / (rates.memory_gbs * 1e9)


def forward_flops(architecture: Architecture, work: Work) -> float:
    """Operations of one forward, with the keys and values of the text, which later steps need not compute again."""
    config, tokens = architecture.transformer, work.tokens(architecture)
    dim, layers = config.dim, config.num_layers
    attention = 4 * tokens * (tokens + TEXT_TOKENS) * dim
    linear = 2 * tokens * (6 * dim**2 + 2 * dim * config.ffn_dim)
    return float(layers * (attention + linear + 4 * TEXT_TOKENS * dim**2))


def text_seconds(architecture: Architecture, work: Work, tflops: float) -> float:
    """Without moving its weights."""
    config, tokens = architecture.text_encoder, TEXT_TOKENS * work.prompts
    inner = config.num_heads * config.head_dim
    linear = 2 * tokens * (4 * config.dim * inner + 3 * config.dim * config.ffn_dim)
    return config.num_layers * (linear + 4 * tokens * TEXT_TOKENS * inner) / (tflops * 1e12)


def decode_seconds(architecture: Architecture, work: Work, tflops: float, dtype: str, overlap: float) -> float:
    """`overlap`: how many times a pixel is worked on in tiles; 1 without."""
    operations, width = _DECODE[architecture.vae.pixel_patch]
    frames = work.frames * operations * (architecture.vae.decoder_base_dim / width) ** 2
    return overlap * work.area * frames / _vae_rate(architecture.vae, tflops, dtype)


def encode_seconds(architecture: Architecture, work: Work, tflops: float, dtype: str, overlap: float) -> float:
    operations, width = _ENCODE[architecture.vae.pixel_patch]
    frames = work.encoded_frames * operations * (architecture.vae.base_dim / width) ** 2
    return overlap * work.area * frames / _vae_rate(architecture.vae, tflops, dtype)


def _vae_rate(vae: VAEConfig, tflops: float, dtype: str) -> float:
    wide = _WIDE_GAIN if vae.pixel_patch == 2 else 1.0
    return tflops * 1e12 * wide * (_FLOAT32_LOSS if dtype == "float32" else 1.0)
