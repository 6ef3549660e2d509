"""How much memory each phase takes, from sizes alone: every constant of the plan, with its source. No torch."""

from dataclasses import dataclass
from typing import Final

from wanvideo.models.config import VAEConfig
from wanvideo.request import Tier
from wanvideo.runtime import vae_memory
from wanvideo.runtime.architecture import Architecture, Work

GIB: Final = 2**30
TEXT_TOKENS: Final = 512  # that the transformer attends to, whatever the length of the prompt
WIDTH_OF: Final = {"bfloat16": 2, "float16": 2, "float32": 4}  # bytes of a number
# Tensors as large as the widest of a decode, a chunk's activations and caches together, that are held at its peak: from
# about 3.0 GiB at 832x480 and 6.5 GiB at 1280x720 in 16 bits with autoencoder 2.1, 6 GiB at 1280x704 with 2.2.
_DECODE_TENSORS: Final = 44


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryModel:
    """The coefficients of the prediction. The defaults follow from the engine's code; measurements may replace them.

    Per video token, D being the width of the model and M that of its feed-forward: during attention the residual in
    float32 (4 D), its normed copy, q, k, v and the result in 16 bits (2 D each); in the feed-forward the residual,
    the normed copy and the result (8 D together) and the middle (2 M), twice unless GELU is computed in place.
    """

    attention_per_dim: float = 14
    ffn_per_dim: float = 8
    ffn_per_hidden: float = 2
    gelu_per_hidden: float = 0  # 2 where GELU is not fused into the matrix product
    exchange_per_dim: float = 10  # on several GPUs: q, k and v once more as received, what was sent, less the result
    embedding_per_dim: float = 10  # there, of all tokens before they are shared: thrice in 16 bits, once in float32
    fast_per_dim: float = 4.25  # 8-bit copies of q, k and v, and of what goes into a matrix product, with their scales
    fast_per_hidden: float = 1
    latent_tensors: int = 12  # float32 tensors of latents: noise, state, solver history, condition, two velocities
    rope_per_token: int = 1024  # the table of rotations: 64 complex numbers in double precision
    text_per_dim: float = 12  # bytes per text token in the text encoder: the residual and its copies
    text_per_hidden: float = 6
    text_per_score: float = 10  # logits in two precisions, and the softmax
    context: int = int(0.6 * GIB)  # the CUDA context and libraries, outside the allocator
    workspace: int = 64 * 2**20  # cuBLAS and cuDNN
    margin: float = 0.03  # by which the prediction may be wrong
    host_reserve: int = 8 * GIB  # of host memory, for the system and everything else that runs
    host_base: int = 2 * GIB  # Python, torch, its libraries, staging buffers

    # --- phases, each beside the weights -----------------------------------------------------------------------------

    def text(self, architecture: Architecture, work: Work) -> int:
        config, tokens = architecture.text_encoder, TEXT_TOKENS * work.prompts
        wide = tokens * (self.text_per_dim * config.dim + self.text_per_hidden * config.ffn_dim)
        scores = config.num_heads * TEXT_TOKENS * tokens * self.text_per_score
        return int(wide + scores) + self.workspace

    def denoising(self, architecture: Architecture, work: Work, tier: Tier, team: int = 1) -> int:
        """One forward at a time, and the keys and values of both prompts for all blocks.

        team: GPUs that share the tokens of a forward.
        """
        config, vae = architecture.transformer, architecture.vae
        tokens, dim = work.tokens(architecture), config.dim
        latents = work.latent_cells(vae) * vae.z_dim * 4 * self.latent_tensors
        text = TEXT_TOKENS * 2 * 2 * dim * config.num_layers * work.prompts
        at_peak = int(tokens * (self.per_token(dim, config.ffn_dim, tier, team) + self.rope_per_token))
        return at_peak + latents + text + 2 * architecture.largest_matrix + self.workspace

    def per_token(self, dim: int, ffn_dim: int, tier: Tier, team: int = 1) -> float:
        """Bytes per video token at the peak of one block, on one of `team` GPUs."""
        fast = tier is Tier.FAST
        attention = dim * (self.attention_per_dim + (self.fast_per_dim if fast else 0))
        hidden = self.ffn_per_hidden + self.gelu_per_hidden + (self.fast_per_hidden if fast else 0)
        feed_forward = dim * self.ffn_per_dim + ffn_dim * hidden
        if team == 1:
            return max(attention, feed_forward)
        return max((attention + dim * self.exchange_per_dim) / team, feed_forward / team, dim * self.embedding_per_dim)


def decode_bytes(config: VAEConfig, height: int, width: int, dtype: str, tile: int | None) -> int:
    """Of a decode, beside the weights of the autoencoder; the number of frames does not count.

    tile: side of the tiles in pixels, None: the whole picture.
    """
    cells, itemsize = config.spatial_stride, WIDTH_OF[dtype]
    sides = None if tile is None else (min(tile, height) // cells, min(tile, width) // cells)
    whole = vae_memory.decode_bytes(config, height, width, itemsize, sides)
    return whole - vae_memory.weight_count(config) * itemsize


def encode_bytes(config: VAEConfig, height: int, width: int, dtype: str, tile: int | None) -> int:
    """Of an encode, beside the weights: as a decode with the encoder's width."""
    return _vae_bytes(config, config.base_dim, height, width, dtype, tile)


def _vae_bytes(config: VAEConfig, channels: int, height: int, width: int, dtype: str, tile: int | None) -> int:
    per_pixel = _DECODE_TENSORS * WIDTH_OF[dtype] * channels / config.pixel_patch**2
    if tile is None:
        return int(height * width * per_pixel)
    # Beside the tile at work, a chunk of four whole frames is blended: sum and copy in float32.
    return int(min(height, tile) * min(width, tile) * per_pixel) + height * width * 3 * 4 * 4 * 2
