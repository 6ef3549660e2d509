"""The UMT5 text encoder. Source: arXiv:2304.09151 (UMT5), arXiv:1910.10683 (T5), the official `wan/modules/t5.py`.

Parameters are named as in the official Wan checkpoint. Unlike T5, every layer has its own table of relative positions,
and logits are not divided by the square root of the head's width.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wanvideo.models.config import TextEncoderConfig


def relative_buckets(length: int, num_buckets: int, max_distance: int, device: torch.device | None = None) -> Tensor:
    """Bucket of (key - query) for every pair of positions -> [length, length] int64.

    Half of the buckets for each direction; in each, half for exact distances and half spaced logarithmically.
    """
    position = torch.arange(length, device=device)
    offset = position[None, :] - position[:, None]
    half = num_buckets // 2
    exact = half // 2
    distance = offset.abs()
    ratio = (distance.clamp(min=1).float() / exact).log() / math.log(max_distance / exact)
    far = (exact + (ratio * (half - exact)).long()).clamp(max=half - 1)
    return torch.where(distance < exact, distance, far) + half * (offset > 0)


class T5Norm(nn.Module):
    """Root mean square norm: variance in float32, rounded to the weight's dtype before the weight is applied."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        normal = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return normal.to(self.weight.dtype) * self.weight


class T5Attention(nn.Module):
    """Unscaled multi-head self-attention with an additive bias."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        inner = config.num_heads * config.head_dim
        self.num_heads = config.num_heads
        self.q = nn.Linear(config.dim, inner, bias=False)
        self.k = nn.Linear(config.dim, inner, bias=False)
        self.v = nn.Linear(config.dim, inner, bias=False)
        self.o = nn.Linear(inner, config.dim, bias=False)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x [B, S, D]; bias [B, N, S, S]."""
        q, k, v = (linear(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for linear in (self.q, self.k, self.v))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
        return self.o(out.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class GatedGELU(nn.Module):
    """Feed-forward: fc2(gelu(gate(x)) * fc1(x))."""

    def __init__(self, dim: int, ffn_dim: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(dim, ffn_dim, bias=False), nn.GELU(approximate="tanh"))
        self.fc1 = nn.Linear(dim, ffn_dim, bias=False)
        self.fc2 = nn.Linear(ffn_dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.fc1(x) * self.gate(x))  # type: ignore[no-any-return]


class RelativePosition(nn.Module):
    """One learned bias per head and bucket of distance."""

    def __init__(self, num_buckets: int, num_heads: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_buckets, num_heads)

    def forward(self, buckets: Tensor) -> Tensor:
        """buckets [S, S] -> bias [1, N, S, S]."""
        return self.embedding(buckets).permute(2, 0, 1).unsqueeze(0)  # type: ignore[no-any-return]


class T5Block(nn.Module):
    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.norm1 = T5Norm(config.dim, config.eps)
        self.attn = T5Attention(config)
        self.norm2 = T5Norm(config.dim, config.eps)
        self.ffn = GatedGELU(config.dim, config.ffn_dim)
        self.pos_embedding = RelativePosition(config.num_buckets, config.num_heads)

    def forward(self, x: Tensor, buckets: Tensor, padding: Tensor) -> Tensor:
        """x [B, S, D]; buckets [S, S]; padding [B, 1, 1, S], 0 for tokens and the most negative number elsewhere."""
        x = x + self.attn(self.norm1(x), self.pos_embedding(buckets) + padding)
        return x + self.ffn(self.norm2(x))  # type: ignore[no-any-return]


class UMT5Encoder(nn.Module):
    """Turns token ids into one vector per token."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.dim)
        self.blocks = nn.ModuleList(T5Block(config) for _ in range(config.num_layers))
        self.norm = T5Norm(config.dim, config.eps)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids [B, S] int64, mask [B, S] bool (True: token) -> [B, S, D], with zero vectors where the mask is False.

        The zeros are part of the model: the transformer attends to all S rows, without a mask.
        """
        x = self.token_embedding(ids)
        padding = torch.zeros(mask.shape, dtype=x.dtype, device=x.device)
        padding = padding.masked_fill(~mask, torch.finfo(x.dtype).min)[:, None, None, :]
        buckets = relative_buckets(ids.shape[1], self.config.num_buckets, self.config.max_distance, ids.device)
        for block in self.blocks:
            x = block(x, buckets, padding)
        return self.norm(x) * mask.unsqueeze(-1)  # type: ignore[no-any-return]
