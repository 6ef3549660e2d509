"""What a model weighs and what one video asks of it, in numbers alone. No torch, no files."""

import math
from dataclasses import dataclass
from typing import Final

from wanvideo.models.config import TextEncoderConfig, TransformerConfig, VAEConfig
from wanvideo.request import Tier

# Parameters of the two published autoencoders, counted with the official code.
VAE_PARAMETERS: Final = {16: 126_892_531, 48: 704_688_668}  # by z_dim


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The numbers of a network, or of a part of one, by how they are kept in memory."""

    quantised: int = 0  # bytes, scales included, of what is stored in fewer than 16 bits and stays so
    matrices: int = 0  # weights of linear layers stored in 16 or 32 bits
    text_matrices: int = 0  # the same of those that give the keys and values of the text: the tier fast leaves them
    others: int = 0  # biases, embeddings, convolutions: in the dtype of the computation
    fp32: int = 0  # what is kept in float32 whatever that dtype is

    def nbytes(self, width: int, tier: Tier = Tier.EXACT) -> int:
        """In memory; `width`: bytes of a number in the dtype of the computation.

        The fast tier keeps most matrices in 8 bits, with a float32 scale for each row: one for each bias.
        """
        if tier is Tier.FAST and width <= 2:
            scales = 4 * self.others if self.matrices else 0
            return self.quantised + self.matrices + width * (self.text_matrices + self.others) + scales + 4 * self.fp32
        return self.quantised + width * (self.matrices + self.text_matrices + self.others) + 4 * self.fp32

    @property
    def nbytes_in_8_bits(self) -> int:
        """On disk, with all matrices in 8 bits."""
        return self.nbytes(2, Tier.FAST) - self.text_matrices

    def __add__(self, other: "Weights") -> "Weights":
        return Weights(
            quantised=self.quantised + other.quantised,
            matrices=self.matrices + other.matrices,
            text_matrices=self.text_matrices + other.text_matrices,
            others=self.others + other.others,
            fp32=self.fp32 + other.fp32,
        )

    def times(self, count: int) -> "Weights":
        return Weights(
            quantised=self.quantised * count,
            matrices=self.matrices * count,
            text_matrices=self.text_matrices * count,
            others=self.others * count,
            fp32=self.fp32 * count,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """One model: the shapes of its networks and the weight of their parts."""

    name: str
    precision: str  # how the transformers are stored: "bf16", "fp8", "q4_k_m", ...
    experts: int  # transformers, all of the same shape
    transformer: TransformerConfig
    block: Weights  # the largest block of a transformer, without what stays resident: one slab of the arena
    rest: Weights  # of one transformer: the embeddings, the head, and the float32 parameters of all blocks
    largest_matrix: int = 0  # numbers of the largest quantised weight, which is decoded beside the slabs; 0: none is
    text_encoder: TextEncoderConfig
    text_block: Weights
    text_rest: Weights  # the token embedding and the last norm
    vae: VAEConfig
    vae_parameters: int
    stored_block: int  # bytes of one transformer block in its file
    stored_bytes: int  # of all files

    @property
    def blocks(self) -> int:
        return self.transformer.num_layers

    @property
    def text_blocks(self) -> int:
        return self.text_encoder.num_layers

    def slab(self, tier: Tier, width: int = 2) -> int:
        """Bytes of one transformer block in the arena."""
        return self.block.nbytes(width, tier)

    def text_encoder_bytes(self, width: int = 2) -> int:
        return (self.text_rest + self.text_block.times(self.text_blocks)).nbytes(width)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one video asks for. Values are legal for the model."""

    width: int  # pixels
    height: int
    frames: int  # 4 n + 1
    steps: int
    guided: bool = True  # two forwards a step, one for each prompt
    encoded_frames: int = 0  # frames that the autoencoder encodes: none without an image
    lora_bytes: int = 0  # in memory, of the LoRAs of one transformer
    step_cache: float | None = None  # its threshold
    computed: float = 1.0  # share of the steps that it is expected to leave to be computed

    @property
    def area(self) -> int:
        return self.width * self.height

    @property
    def prompts(self) -> int:
        return 2 if self.guided else 1

    @property
    def forwards(self) -> int:
        return max(1, round(self.steps * self.computed)) * self.prompts

    def latent_cells(self, vae: VAEConfig) -> int:
        """Latent cells of the clip, each of z_dim numbers."""
        return vae.latent_frames(self.frames) * (self.area // vae.spatial_stride**2)

    def tokens(self, architecture: Architecture) -> int:
        """Video tokens L."""
        return self.latent_cells(architecture.vae) // math.prod(architecture.transformer.patch)


# --- weights from shapes alone ---------------------------------------------------------------------------------------


def block_weights(config: TransformerConfig, bits: float = 16) -> Weights:
    """The linear layers of one transformer block, whose weights are stored in `bits` each."""
    dim, ffn = config.dim, config.ffn_dim
    matrices, text_matrices, biases = 6 * dim * dim + 2 * dim * ffn, 2 * dim * dim, 9 * dim + ffn
    if bits >= 16:
        return Weights(matrices=matrices, text_matrices=text_matrices, others=biases)
    return Weights(quantised=int((matrices + text_matrices) * bits / 8), others=biases)


def rest_weights(config: TransformerConfig) -> Weights:
    """All else of one transformer. Time embedding, head, norms and modulation are float32, as in the official code."""
    dim, patch = config.dim, math.prod(config.patch)
    embeddings = dim * (config.in_channels * patch + 1) + dim * (config.text_dim + 1) + dim * (dim + 1)
    time = dim * (config.freq_dim + 1) + dim * (dim + 1) + 6 * dim * (dim + 1)
    values = patch * config.out_channels
    head = values * (dim + 1) + 2 * dim
    small = 12 * dim * config.num_layers  # four RMS norms, norm3 with its bias, six rows of modulation
    return Weights(others=embeddings, fp32=time + head + small)


def text_block_weights(config: TextEncoderConfig, bits: float = 16) -> Weights:
    """One block of the text encoder, its table of relative positions included."""
    inner = config.num_heads * config.head_dim
    matrices = 4 * config.dim * inner + 3 * config.dim * config.ffn_dim
    others = 2 * config.dim + config.num_buckets * config.num_heads
    if bits >= 16:
        return Weights(matrices=matrices, others=others)
    return Weights(quantised=int(matrices * bits / 8), others=others)


def text_rest_weights(config: TextEncoderConfig) -> Weights:
    return Weights(others=config.vocab_size * config.dim + config.dim)
