"""Autoencoders with the real ones' structure and few channels."""

import torch

from wanvideo.models.config import VAEConfig
from wanvideo.models.vae import WanVAE


@torch.no_grad()
def small(kind: str, num_res_blocks: int = 1, base_dim: int = 4) -> WanVAE:
    """Of kind "2.1" or "2.2", with weights that matter everywhere."""
    torch.manual_seed(0)
    config = VAEConfig(
        z_dim=4,
        base_dim=base_dim,
        decoder_base_dim=base_dim,
        latent_mean=(0.1,) * 4,
        latent_std=(1.5,) * 4,
        num_res_blocks=num_res_blocks,
        pixel_patch=2 if kind == "2.2" else 1,
        shortcuts=kind == "2.2",
    )
    vae = WanVAE(config).eval().requires_grad_(False)
    for parameter in vae.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.05)
    return vae
