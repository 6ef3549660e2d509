"""Small networks of the reference implementations, and ours with the same weights."""

from typing import Any

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch import Tensor, nn
from transformers import UMT5Config, UMT5EncoderModel

from wanvideo.models.config import TextEncoderConfig, TransformerConfig, VAEConfig
from wanvideo.models.text_encoder import UMT5Encoder
from wanvideo.models.transformer import WanTransformer
from wanvideo.models.vae import WanVAE
from wanvideo.weights.key_map import KeyMap, text_encoder_keys, transformer_keys, vae_keys

CHANNELS = {"t2v": (16, 16), "i2v": (36, 16), "ti2v": (48, 48)}


def copy_weights(ours: nn.Module, theirs: nn.Module, keys: KeyMap) -> None:
    """Strictly, but for names that theirs holds twice."""
    state = {keys.to_official(name): value for name, value in theirs.state_dict().items()}
    state.pop(None, None)
    ours.load_state_dict({name: value for name, value in state.items() if name is not None}, strict=True)


def randomise(module: nn.Module) -> None:
    """Weights that matter everywhere; references start with zeros and ones in places."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)


def transformers(kind: str) -> tuple[WanTransformer, WanTransformer3DModel]:
    torch.manual_seed(0)
    in_channels, out_channels = CHANNELS[kind]
    theirs = WanTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=32,
        in_channels=in_channels,
        out_channels=out_channels,
        ffn_dim=96,
        num_layers=3,
        text_dim=24,
        freq_dim=256,
    ).eval()
    randomise(theirs)
    config = TransformerConfig(
        in_channels=in_channels,
        out_channels=out_channels,
        num_heads=2,
        head_dim=32,
        num_layers=3,
        ffn_dim=96,
        text_dim=24,
    )
    ours = WanTransformer(config).eval()
    copy_weights(ours, theirs, transformer_keys(config))
    return ours, theirs


def vaes(kind: str) -> tuple[WanVAE, AutoencoderKLWan]:
    torch.manual_seed(0)
    z = {"2.1": 16, "2.2": 48}[kind]
    mean, std = torch.randn(z).tolist(), (torch.rand(z) + 0.5).tolist()
    options: dict[str, Any] = {"latents_mean": mean, "latents_std": std, "z_dim": z}
    if kind == "2.2":
        options |= {"is_residual": True, "in_channels": 12, "out_channels": 12, "patch_size": 2}
        options |= {"scale_factor_spatial": 16, "decoder_base_dim": 12}
    theirs = AutoencoderKLWan(base_dim=8, **options).eval()
    randomise(theirs)
    config = VAEConfig(
        z_dim=z,
        base_dim=8,
        decoder_base_dim=12 if kind == "2.2" else 8,
        latent_mean=tuple(mean),
        latent_std=tuple(std),
        pixel_patch=2 if kind == "2.2" else 1,
        shortcuts=kind == "2.2",
    )
    ours = WanVAE(config).eval()
    copy_weights(ours, theirs, vae_keys(config))
    return ours, theirs


def text_encoders() -> tuple[UMT5Encoder, UMT5EncoderModel]:
    torch.manual_seed(0)
    theirs = UMT5EncoderModel(
        UMT5Config(vocab_size=96, d_model=32, d_kv=8, d_ff=48, num_layers=3, num_heads=4, dropout_rate=0.0)
    ).eval()
    randomise(theirs)
    config = TextEncoderConfig(dim=32, num_layers=3, num_heads=4, head_dim=8, ffn_dim=48, vocab_size=96)
    ours = UMT5Encoder(config).eval()
    copy_weights(ours, theirs, text_encoder_keys(config))
    return ours, theirs


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference, by the largest value of the reference."""
    return float((ours - theirs).abs().max() / theirs.abs().max())
