"""What is measured: the sizes that people make, their inputs, and how much arithmetic one forward is."""

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor

from wanvideo.models.config import T2V_A14B, TI2V_5B, TransformerConfig

TEXT_TOKENS: Final = 512  # zero rows beyond the prompt are attended to as well
PROMPT_TOKENS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One forward of a transformer, without guidance."""

    name: str
    model: str  # of the catalogue
    config: TransformerConfig
    latent: tuple[int, int, int]  # (T, H, W), in latent cells
    rows: int = 1  # of the timestep: 2 where the first latent frame has its own
    text_tokens: int = TEXT_TOKENS

    @property
    def grid(self) -> tuple[int, int, int]:
        """(T, H, W), in tokens."""
        (t, h, w), (pt, ph, pw) = self.latent, self.config.patch
        return t // pt, h // ph, w // pw

    @property
    def tokens(self) -> int:
        """L."""
        return math.prod(self.grid)


A14B_480P: Final = Shape(name="a14b-480p", model="t2v-A14B", config=T2V_A14B, latent=(21, 60, 104))  # 81 frames
A14B_720P: Final = Shape(name="a14b-720p", model="t2v-A14B", config=T2V_A14B, latent=(21, 90, 160))
TI2V_704P: Final = Shape(name="5b-704p", model="ti2v-5B", config=TI2V_5B, latent=(31, 44, 80), rows=2)  # 121 frames
SHAPES: Final = {shape.name: shape for shape in (TI2V_704P, A14B_480P, A14B_720P)}


def shrunk(shape: Shape) -> Shape:
    """The same forward on so few numbers that it only shows that the code runs."""
    config = replace(shape.config, num_heads=2, head_dim=32, num_layers=2, ffn_dim=96, text_dim=32)
    return replace(shape, config=config, latent=(2, 4, 4), text_tokens=16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Of one forward."""

    latents: Tensor  # [1, C, T, H, W] float32
    timestep: Tensor  # [1] or [1, 2]
    text: Tensor  # [1, S, D]


def inputs(shape: Shape, device: torch.device, dtype: torch.dtype) -> Inputs:
    generator = torch.Generator(device).manual_seed(1)
    latents = torch.randn(1, shape.config.in_channels, *shape.latent, generator=generator, device=device)
    text = torch.randn(1, shape.text_tokens, shape.config.text_dim, generator=generator, device=device)
    text[:, min(PROMPT_TOKENS, shape.text_tokens // 2) :] = 0
    levels = [700.0] if shape.rows == 1 else [0.0, 700.0]
    timestep = torch.tensor(levels, device=device)
    return Inputs(latents=latents, timestep=timestep.reshape(1, -1), text=text.to(dtype))


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """`count` matrix products [m, k] x [k, n]."""

    m: int
    k: int
    n: int
    count: int = 1

    @property
    def flop(self) -> float:
        return 2.0 * self.m * self.k * self.n * self.count


def products(shape: Shape) -> tuple[Product, ...]:
    """The Linears of all blocks; those outside of blocks are left out, less than a per cent together."""
    config, L = shape.config, shape.tokens
    D, ffn, layers = config.dim, config.ffn_dim, config.num_layers
    return (
        Product(m=L, k=D, n=D, count=6 * layers),  # q, k, v, o of self-attention; q, o of cross-attention
        Product(m=L, k=D, n=ffn, count=layers),
        Product(m=L, k=ffn, n=D, count=layers),
        Product(m=shape.text_tokens, k=D, n=D, count=2 * layers),  # k, v of cross-attention
    )


def attention_flop(shape: Shape) -> float:
    """Of self- and cross-attention in all blocks."""
    keys = shape.tokens + shape.text_tokens
    return 4.0 * shape.tokens * keys * shape.config.dim * shape.config.num_layers


def forward_flop(shape: Shape) -> float:
    return sum(product.flop for product in products(shape)) + attention_flop(shape)


def diffusers_options(config: TransformerConfig) -> dict[str, Any]:
    """The same architecture in the words of diffusers' config.json."""
    return {
        "patch_size": config.patch,
        "num_attention_heads": config.num_heads,
        "attention_head_dim": config.head_dim,
        "in_channels": config.in_channels,
        "out_channels": config.out_channels,
        "text_dim": config.text_dim,
        "freq_dim": config.freq_dim,
        "ffn_dim": config.ffn_dim,
        "num_layers": config.num_layers,
        "eps": config.eps,
    }
