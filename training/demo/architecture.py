"""The miniature networks of the demo models. Together, in bf16, they take less than 32 MiB."""

from typing import Final

from wanvideo.models.config import TextEncoderConfig, TransformerConfig, VAEConfig

TEXT_TOKENS: Final = 64
TEXT_DIM: Final = 128


def transformer(in_channels: int, out_channels: int) -> TransformerConfig:
    return TransformerConfig(
        in_channels=in_channels,
        out_channels=out_channels,
        num_heads=4,
        head_dim=32,
        num_layers=8,
        ffn_dim=512,
        text_dim=TEXT_DIM,
    )


TRANSFORMERS: Final = {"t2v": transformer(16, 16), "i2v": transformer(36, 16), "ti2v": transformer(48, 48)}


def text_encoder(vocab_size: int) -> TextEncoderConfig:
    return TextEncoderConfig(dim=TEXT_DIM, num_layers=2, num_heads=4, head_dim=32, ffn_dim=256, vocab_size=vocab_size)


def vae(kind: str, mean: tuple[float, ...] | None = None, std: tuple[float, ...] | None = None) -> VAEConfig:
    """The VAE of `kind` "2.1" or "2.2", with the statistics of its latents once they are known."""
    z = {"2.1": 16, "2.2": 48}[kind]
    mean, std = mean or (0.0,) * z, std or (1.0,) * z
    if kind == "2.1":
        return VAEConfig(
            z_dim=z,
            base_dim=16,
            decoder_base_dim=16,
            dim_mult=(1, 2, 3, 3),
            num_res_blocks=1,
            latent_mean=mean,
            latent_std=std,
        )
    return VAEConfig(
        z_dim=z,
        base_dim=12,
        decoder_base_dim=16,
        num_res_blocks=1,
        pixel_patch=2,
        shortcuts=True,
        latent_mean=mean,
        latent_std=std,
    )
