"""Architectures as frozen values. Nothing here depends on the machine or the request, and nothing imports torch.

Source of the numbers: the official `wan/configs` and the config.json files of the released Diffusers repositories.
"""

from dataclasses import dataclass

# Latent statistics, per channel: normalised z = (mu - mean) / std.
VAE21_MEAN = (
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
    0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
)  # fmt: skip
VAE21_STD = (
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
    3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160,
)  # fmt: skip
VAE22_MEAN = (
    -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557,
    -0.1382, 0.0542, 0.2813, 0.0891, 0.1570, -0.0098, 0.0375, -0.1825,
    -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502,
    -0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230,
    -0.0313, -0.1649, 0.0117, 0.0723, -0.2839, -0.2083, -0.0520, 0.3748,
    0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667,
)  # fmt: skip
VAE22_STD = (
    0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013,
    0.8158, 1.0344, 0.5894, 1.0901, 0.6885, 0.6165, 0.8454, 0.4978,
    0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659,
    0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093,
    0.5709, 0.6065, 0.6415, 0.4944, 0.5726, 1.2042, 0.5458, 1.6887,
    0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerConfig:
    """Architecture of one Wan transformer."""

    in_channels: int  # latent channels, plus mask and condition latents for image-to-video
    out_channels: int  # latent channels
    num_heads: int
    num_layers: int
    ffn_dim: int
    head_dim: int = 128
    text_dim: int = 4096  # width of the text encoder
    freq_dim: int = 256  # width of the sinusoid of the timestep
    patch: tuple[int, int, int] = (1, 2, 2)  # (T, H, W), in latent cells
    eps: float = 1e-6

    @property
    def dim(self) -> int:
        """Width D of the model."""
        return self.num_heads * self.head_dim


@dataclass(frozen=True, slots=True, kw_only=True)
class VAEConfig:
    """Architecture of a Wan video autoencoder. Time is compressed 4-fold, the first frame stays alone."""

    z_dim: int
    base_dim: int  # width of the encoder's first stage
    decoder_base_dim: int
    latent_mean: tuple[float, ...]
    latent_std: tuple[float, ...]
    dim_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2  # of an encoder stage; a decoder stage has one more
    temporal_downsample: tuple[bool, ...] = (False, True, True)  # of each encoder stage but the last
    pixel_patch: int = 1  # side of the pixel patches folded into channels (2.2: 2)
    shortcuts: bool = False  # stages carry averaged / duplicated shortcuts (2.2)

    @property
    def spatial_stride(self) -> int:
        """Pixels per latent cell along H and W."""
        return self.pixel_patch << len(self.temporal_downsample)

    @property
    def temporal_stride(self) -> int:
        """Frames per latent frame, after the first."""
        return 1 << sum(self.temporal_downsample)

    def latent_frames(self, frames: int) -> int:
        """Latent frames T of a clip of `frames` = 4 n + 1."""
        return (frames - 1) // self.temporal_stride + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEncoderConfig:
    """Architecture of a UMT5 encoder."""

    dim: int
    num_layers: int
    num_heads: int
    head_dim: int
    ffn_dim: int
    vocab_size: int
    num_buckets: int = 32  # of the relative positions
    max_distance: int = 128
    eps: float = 1e-6


T2V_A14B = TransformerConfig(in_channels=16, out_channels=16, num_heads=40, num_layers=40, ffn_dim=13824)
I2V_A14B = TransformerConfig(in_channels=36, out_channels=16, num_heads=40, num_layers=40, ffn_dim=13824)
TI2V_5B = TransformerConfig(in_channels=48, out_channels=48, num_heads=24, num_layers=30, ffn_dim=14336)
T2V_1_3B = TransformerConfig(in_channels=16, out_channels=16, num_heads=12, num_layers=30, ffn_dim=8960)  # Wan 2.1
T2V_14B = T2V_A14B  # Wan 2.1: the same network as one expert of 2.2

VAE_2_1 = VAEConfig(z_dim=16, base_dim=96, decoder_base_dim=96, latent_mean=VAE21_MEAN, latent_std=VAE21_STD)
VAE_2_2 = VAEConfig(
    z_dim=48,
    base_dim=160,
    decoder_base_dim=256,
    latent_mean=VAE22_MEAN,
    latent_std=VAE22_STD,
    pixel_patch=2,
    shortcuts=True,
)

UMT5_XXL = TextEncoderConfig(dim=4096, num_layers=24, num_heads=64, head_dim=64, ffn_dim=10240, vocab_size=256384)
