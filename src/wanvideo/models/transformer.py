"""The video diffusion transformer of Wan 2.1 and 2.2.

Parameters are named as in the released official checkpoints. Source: arXiv:2503.20314, section on the video diffusion
transformer, and the official `wan/modules/model.py`.

Precision: the dtype of the Linear biases is the compute dtype, and that of the weights, unless these stay quantised.
Whatever it is, the residual stream, norms, modulation, time embedding, RoPE and the head run in float32, as in the
official code; `keeps_fp32` says which parameters they need.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wanvideo.kernels.attention import attention, padded_length
from wanvideo.kernels.linear import linear_gelu
from wanvideo.kernels.norm import (
    gated_residual,
    gated_residual_norm,
    norm_modulate,
    residual_norm_modulate,
)
from wanvideo.kernels.rope import norm_rope, rms_norm
from wanvideo.models.config import TransformerConfig
from wanvideo.models.rope import rope_table


def keeps_fp32(name: str) -> bool:
    """Whether the official code keeps this parameter in float32."""
    return "norm" in name or "modulation" in name or name.startswith(("time_", "head."))


def sinusoid(position: Tensor, dim: int) -> Tensor:
    """Embed positions [...] as [cos | sin] of dim / 2 frequencies -> [..., dim] float32. Angles are float64."""
    half = dim // 2
    frequencies = 10000.0 ** (-torch.arange(half, dtype=torch.float64, device=position.device) / half)
    angle = position.double().unsqueeze(-1) * frequencies
    return torch.cat([angle.cos(), angle.sin()], dim=-1).float()


class RMSNorm(nn.Module):
    """Divide by the root mean square over all D channels, in float32."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, eps=self.eps)


class LayerNorm(nn.LayerNorm):
    """Layer norm computed and returned in float32."""

    def forward(self, x: Tensor) -> Tensor:
        weight = None if self.weight is None else self.weight.float()
        bias = None if self.bias is None else self.bias.float()
        return F.layer_norm(x.float(), self.normalized_shape, weight, bias, self.eps)


class Attention(nn.Module):
    """Multi-head attention with normalised queries and keys; full, without a mask."""

    def __init__(self, dim: int, num_heads: int, eps: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(dim, dim)
        self.v = nn.Linear(dim, dim)
        self.o = nn.Linear(dim, dim)
        self.norm_q = RMSNorm(dim, eps)
        self.norm_k = RMSNorm(dim, eps)

    def forward(self, x: Tensor, context: Tensor, rope: Tensor | None = None, length: int | None = None) -> Tensor:
        """x [B, L, D] asks context [B, S, D]; rope [2, L, head_dim / 2] turns both (self-attention only).

        length: of the context, what is no padding.
        """
        heads, eps = self.num_heads, self.norm_q.eps
        q = norm_rope(self.q(x), self.norm_q.weight, rope, heads=heads, eps=eps)
        k, v = self.keys_and_values(context, rope)
        out = self.attend(q, k, v, length).flatten(2)
        del q, k, v  # the most that a forward holds at a time is here
        return self.o(out)  # type: ignore[no-any-return]

    def attend(self, q: Tensor, k: Tensor, v: Tensor, length: int | None) -> Tensor:
        """As `kernels.attention.attention`."""
        return attention(q, k, v, length=length)

    def keys_and_values(self, context: Tensor, rope: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """[B, S, N, head_dim] each."""
        k = norm_rope(self.k(context), self.norm_k.weight, rope, heads=self.num_heads, eps=self.norm_k.eps)
        return k, self.v(context).unflatten(-1, (self.num_heads, -1))


class FeedForward(nn.Sequential):
    """Two Linears with a GELU between them."""

    def __init__(self, dim: int, ffn_dim: int) -> None:
        super().__init__(nn.Linear(dim, ffn_dim), nn.GELU(approximate="tanh"), nn.Linear(ffn_dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        return self[2](linear_gelu(self[0], x))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Self-attention, text cross-attention and feed-forward, modulated by the timestep."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        dim, eps = config.dim, config.eps
        self.norm1 = LayerNorm(dim, eps, elementwise_affine=False)
        self.self_attn = Attention(dim, config.num_heads, eps)
        self.norm3 = LayerNorm(dim, eps)
        self.cross_attn = Attention(dim, config.num_heads, eps)
        self.norm2 = LayerNorm(dim, eps, elementwise_affine=False)
        self.ffn = FeedForward(dim, config.ffn_dim)
        self.modulation = nn.Parameter(nn.init.normal_(torch.empty(1, 6, dim), std=dim**-0.5))

    def forward(self, x: Tensor, text: Tensor, time: Tensor, rope: Tensor, first: int, length: int) -> Tensor:
        """x [B, L, D] float32; text [B, S, D]; time [B, 1 or 2, 6, D] float32 (2: `first` tokens and the rest).

        Tokens from `length` on are padding.
        """
        shift1, scale1, gate1, shift2, scale2, gate2 = (self.modulation.float() + time).unbind(2)
        eps, dtype, norm3 = self.norm3.eps, text.dtype, self.norm3
        h = norm_modulate(x, shift1, scale1, first, eps=eps, dtype=dtype)
        update = self.self_attn(h, h, rope, length)
        x, h = gated_residual_norm(x, update, gate1, first, norm3.weight, norm3.bias, eps=eps, dtype=dtype)
        update = self.cross_attn(h, text)
        x, h = residual_norm_modulate(x, update, shift2, scale2, first, eps=eps, dtype=dtype)
        del update
        return gated_residual(x, self.ffn(h), gate2, first)


class Head(nn.Module):
    """From the width of the model to the values of one patch, in float32."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.norm = LayerNorm(config.dim, config.eps, elementwise_affine=False)
        self.head = nn.Linear(config.dim, math.prod(config.patch) * config.out_channels)
        self.modulation = nn.Parameter(nn.init.normal_(torch.empty(1, 2, config.dim), std=config.dim**-0.5))

    def forward(self, x: Tensor, time: Tensor, first: int) -> Tensor:
        """x [B, L, D] float32; time [B, 1 or 2, D] float32, before its projection to six rows."""
        shift, scale = (self.modulation.float() + time.unsqueeze(2)).unbind(2)
        x = norm_modulate(x, shift, scale, first, eps=self.norm.eps, dtype=torch.float32)
        return F.linear(x, self.head.weight.float(), self.head.bias.float())


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """What all blocks and the head are given beside the tokens, of which there are L, some of them padding."""

    text: Tensor  # [B, S, D]
    time: Tensor  # [B, 1 or 2, D] float32
    modulation: Tensor  # [B, 1 or 2, 6, D] float32
    rope: Tensor  # [2, L, head_dim / 2]
    first: int  # tokens of the first latent frame
    length: int  # tokens that are no padding
    grid: tuple[int, int, int]  # (T, H, W), in tokens


class WanTransformer(nn.Module):
    """Predicts the velocity (noise - data) of video latents."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.patch_embedding = nn.Conv3d(config.in_channels, dim, kernel_size=config.patch, stride=config.patch)
        self.text_embedding = nn.Sequential(
            nn.Linear(config.text_dim, dim), nn.GELU(approximate="tanh"), nn.Linear(dim, dim)
        )
        self.time_embedding = nn.Sequential(nn.Linear(config.freq_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.head = Head(config)

    def forward(self, x: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        """Velocity [B, out_channels, T, H, W] float32.

        x [B, in_channels, T, H, W], H and W even; timestep [B], or [B, 2] where the first latent frame has its own;
        text [B, S, text_dim], zero rows beyond the prompt.
        """
        h, given = self.embed(x, timestep, text)
        h = self.through_blocks(h, given)
        return self.unpatchify(self.head(h[:, : given.length], given.time, given.first), given.grid)

    def embed(self, x: Tensor, timestep: Tensor, text: Tensor) -> tuple[Tensor, Given]:
        """The tokens [B, L, D] float32, filled up with zeros to the length that attention likes, and what is given."""
        tokens = self.patch_embedding(x.to(self.patch_embedding.weight.dtype))
        grid = (tokens.shape[2], tokens.shape[3], tokens.shape[4])
        rows = timestep.reshape(x.shape[0], -1)
        time = self.time_embedding(sinusoid(rows, self.config.freq_dim))
        modulation = self.time_projection(time).unflatten(-1, (6, -1))

        context = self.text_embedding(text.to(tokens.dtype))
        length = math.prod(grid)
        padding = padded_length(tokens, length) - length
        rope = F.pad(rope_table(grid, self.config.head_dim, x.device), (0, 0, 0, padding))
        h = F.pad(tokens.flatten(2).transpose(1, 2), (0, 0, 0, padding)).float().contiguous()
        return h, Given(context, time, modulation, rope, grid[1] * grid[2], length, grid)

    def through_blocks(self, h: Tensor, given: Given) -> Tensor:
        """[B, L, D] float32, which may be changed in place -> the same shape."""
        for block in self.blocks:
            h = block(h, given.text, given.modulation, given.rope, given.first, given.length)
        return h

    def unpatchify(self, patches: Tensor, grid: tuple[int, int, int]) -> Tensor:
        """[B, L, values of a patch, channel fastest] -> [B, out_channels, T, H, W]."""
        (t, h, w), (pt, ph, pw) = grid, self.config.patch
        patches = patches.reshape(-1, t, h, w, pt, ph, pw, self.config.out_channels)
        video = patches.permute(0, 7, 1, 4, 2, 5, 3, 6)
        return video.reshape(-1, self.config.out_channels, t * pt, h * ph, w * pw)
