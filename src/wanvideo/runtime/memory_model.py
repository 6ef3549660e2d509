"""How much memory each phase takes, from sizes alone: every constant of the plan, with its source. No torch."""

from dataclasses import dataclass
from typing import Final

from wanvideo.models.config import VAEConfig
from wanvideo.request import Tier
from wanvideo.runtime import vae_memory
from wanvideo.runtime.architecture import Architecture, Work
from wanvideo.runtime.tiles import Tiling

GIB: Final = 2**30
TEXT_TOKENS: Final = 512  # that the transformer attends to, whatever the length of the prompt
WIDTH_OF: Final = {"bfloat16": 2, "float16": 2, "float32": 4}  # bytes of a number
# Tensors as large as one frame of the encoder's widest, by pixel_patch, that an encode of many frames has alive at its
# peak: counted for 832x480, 1280x720 and 1280x704 by the test that counts living bytes.
_ENCODE_TENSORS: Final = {1: 30, 2: 35.5}


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryModel:
    """The coefficients of the prediction. The defaults follow from the engine's code; measurements may replace them.

    Per video token, D being the width of the model and M that of its feed-forward: during attention the residual in
    float32 (4 D), its normed copy, q, k, v and the result in 16 bits (2 D each); in the feed-forward the residual,
    the normed copy and the result (8 D together) and the middle (2 M). In the tier fast the normed copy has 8 bits,
    and q, k, v and what goes into a product are there in 8 bits as well. LoRAs take nothing that
    counts, but for those of the tier fast that hold whole differences of Linears: 0.9 D, which the margin covers.

    Where there are no fused kernels, PyTorch's operations one after the other hold more while norms are computed. All
    of it is counted on tensors without content; and without kernels an H100 took 3 D more than that, with attention
    as older cards have it.
    """

    attention_per_dim: float = 14
    ffn_per_dim: float = 8
    ffn_per_hidden: float = 2
    exchange_per_dim: float = 10  # on several GPUs: q, k and v once more as received, what was sent, less the result
    embedding_per_dim: float = 10  # there, of all tokens before they are shared: thrice in 16 bits, once in float32
    fast_per_dim: float = 2.1  # q, k and v in 8 bits, with their scales, less half of the normed copy
    fast_per_hidden: float = 1
    plain_per_dim: float = 31  # without fused kernels, while norms are computed
    plain_decode: float = 1.11  # of what the autoencoder takes with kernels, counted as well
    plain_encode: float = 1.37
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

    def denoising(
        self, architecture: Architecture, work: Work, tier: Tier, team: int = 1, *, fused: bool = True
    ) -> int:
        """One forward at a time, and the keys and values of both prompts for all blocks.

        team: GPUs that share the tokens of a forward. fused: by our kernels, not PyTorch's operations alone.
        """
        config, vae = architecture.transformer, architecture.vae
        tokens, dim = work.tokens(architecture), config.dim
        latents = work.latent_cells(vae) * vae.z_dim * 4 * self.latent_tensors
        text = TEXT_TOKENS * 2 * 2 * dim * config.num_layers * work.prompts
        per_token = self.per_token(dim, config.ffn_dim, tier, team, fused=fused)
        at_peak = int(tokens * (per_token + self.rope_per_token))
        return at_peak + latents + text + 2 * architecture.largest_matrix + self.workspace

    def per_token(self, dim: int, ffn_dim: int, tier: Tier, team: int = 1, *, fused: bool = True) -> float:
        """Bytes per video token at the peak of one block, on one of `team` GPUs."""
        fast = tier is Tier.FAST
        attention = dim * (self.attention_per_dim + (self.fast_per_dim if fast else 0))
        hidden = self.ffn_per_hidden + (self.fast_per_hidden if fast else 0)
        feed_forward = dim * self.ffn_per_dim + ffn_dim * hidden
        if not fused:
            attention = dim * self.plain_per_dim
        if team == 1:
            return max(attention, feed_forward)
        return max((attention + dim * self.exchange_per_dim) / team, feed_forward / team, dim * self.embedding_per_dim)


def decode_bytes(config: VAEConfig, height: int, width: int, dtype: str, tiles: Tiling | None) -> int:
    """Of a decode, beside the weights of the autoencoder; the number of frames does not count."""
    itemsize = WIDTH_OF[dtype]
    return vae_memory.decode_bytes(config, height, width, itemsize, tiles) - vae_memory.weight_count(config) * itemsize


def encode_bytes(config: VAEConfig, height: int, width: int, dtype: str, tiles: Tiling | None) -> int:
    """Of an encode, beside the weights. The video waits on the host, so its length does not count."""
    pixels = height * width if tiles is None else min(height, tiles.height) * min(width, tiles.width)
    numbers = pixels * _ENCODE_TENSORS[config.pixel_patch] * config.base_dim / config.pixel_patch**2
    return int(numbers * WIDTH_OF[dtype]) + vae_memory.scratch(config.base_dim)
