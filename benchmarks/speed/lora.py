"""A LoRA of random numbers, as large as those that people use."""

from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file

from wanvideo.models.config import TransformerConfig

RANK: Final = 32


def write_lora(path: Path, config: TransformerConfig) -> Path:
    """Small matrices for the attention and the feed-forward of every block."""
    shapes = {
        "self_attn.q": (config.dim, config.dim),
        "cross_attn.o": (config.dim, config.dim),
        "ffn.0": (config.dim, config.ffn_dim),
        "ffn.2": (config.ffn_dim, config.dim),
    }
    tensors = {}
    for i in range(config.num_layers):
        for name, (inputs, outputs) in shapes.items():
            stem = f"diffusion_model.blocks.{i}.{name}"
            tensors[f"{stem}.lora_A.weight"] = 0.01 * torch.randn(RANK, inputs)
            tensors[f"{stem}.lora_B.weight"] = 0.01 * torch.randn(outputs, RANK)
    save_file(tensors, path)
    return path
