"""The video diffusion transformer of Wan 2.1 and 2.2.

Parameters are named as in the released official checkpoints. Source: arXiv:2503.20314, section on the video diffusion
transformer, and the official `wan/modules/model.py`.

Precision: the dtype of the Linear biases is the compute dtype, and that of the weights, unless these stay quantised.
Whatever it is, the residual stream, norms, modulation, time embedding, RoPE and the head run in float32, as in the
official code; `keeps_fp32` says which parameters they need.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wanvideo.models.config import TransformerConfig
from wanvideo.models.rope import apply_rope, rope_table


def keeps_fp32(name: str) -> bool:
    """Whether the official code keeps this parameter in float32."""
    return "norm" in name or "modulation" in name or name.startswith(("time_", "head."))


def sinusoid(position: Tensor, dim: int) -> Tensor:
    """Embed positions [...] as [cos | sin] of dim / 2 frequencies -> [..., dim] float32. Angles are float64."""
    half = dim // 2
    frequencies = 10000.0 ** (-torch.arange(half, dtype=torch.float64, device=position.device) / half)
    angle = position.double().unsqueeze(-1) * frequencies
    return torch.cat([angle.cos(), angle.sin()], dim=-1).float()


def modulate(x: Tensor, shift: Tensor, scale: Tensor, first: int) -> Tensor:
    """x (1 + scale) + shift, for x [B, L, D] and shift, scale [B, 1 or 2, D] float32.

    With two rows, row 0 belongs to the first `first` tokens (the first latent frame), row 1 to the rest.
    """
    if shift.shape[1] == 1:
        return x * (1 + scale) + shift
    parts = zip(x.tensor_split([first], dim=1), scale.split(1, dim=1), shift.split(1, dim=1), strict=True)
    return torch.cat([part * (1 + a) + b for part, a, b in parts], dim=1)


def gated(x: Tensor, update: Tensor, gate: Tensor, first: int) -> Tensor:
    """x + update * gate in float32; rows of gate [B, 1 or 2, D] as in `modulate`."""
    if gate.shape[1] == 1:
        return x + update.float() * gate
    parts = zip(update.tensor_split([first], dim=1), gate.split(1, dim=1), strict=True)
    return x + torch.cat([part.float() * g for part, g in parts], dim=1)


class RMSNorm(nn.Module):
    """Divide by the root mean square over all D channels, in float32."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight.float()


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

    def forward(self, x: Tensor, context: Tensor, rope: Tensor | None = None) -> Tensor:
        """x [B, L, D] asks context [B, S, D]; rope [2, L, head_dim / 2] turns both (self-attention only)."""
        dtype = self.q.bias.dtype  # of the computation, however the weight is stored
        x, context = x.to(dtype), context.to(dtype)
        heads = (self.num_heads, -1)
        q = self.norm_q(self.q(x)).unflatten(-1, heads)
        k = self.norm_k(self.k(context)).unflatten(-1, heads)
        v = self.v(context).unflatten(-1, heads)
        if rope is not None:
            q, k = apply_rope(q, rope), apply_rope(k, rope)
        q, k = q.to(v.dtype), k.to(v.dtype)
        out = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        return self.o(out.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


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
        self.ffn = nn.Sequential(
            nn.Linear(dim, config.ffn_dim), nn.GELU(approximate="tanh"), nn.Linear(config.ffn_dim, dim)
        )
        self.modulation = nn.Parameter(nn.init.normal_(torch.empty(1, 6, dim), std=dim**-0.5))

    def forward(self, x: Tensor, text: Tensor, time: Tensor, rope: Tensor, first: int) -> Tensor:
        """x [B, L, D] float32; text [B, S, D]; time [B, 1 or 2, 6, D] float32 (2: `first` tokens and the rest)."""
        shift1, scale1, gate1, shift2, scale2, gate2 = (self.modulation.float() + time).unbind(2)
        h = modulate(self.norm1(x), shift1, scale1, first)
        x = gated(x, self.self_attn(h, h, rope), gate1, first)
        x = x + self.cross_attn(self.norm3(x), text)
        h = modulate(self.norm2(x), shift2, scale2, first)
        return gated(x, self.ffn(h.to(text.dtype)), gate2, first)


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
        x = modulate(self.norm(x), shift, scale, first)
        return F.linear(x, self.head.weight.float(), self.head.bias.float())


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
        tokens = self.patch_embedding(x.to(self.patch_embedding.weight.dtype))
        grid = (tokens.shape[2], tokens.shape[3], tokens.shape[4])
        first = grid[1] * grid[2]
        rope = rope_table(grid, self.config.head_dim, x.device)

        rows = timestep.reshape(x.shape[0], -1)
        time = self.time_embedding(sinusoid(rows, self.config.freq_dim))
        modulation = self.time_projection(time)
        modulation = modulation.unflatten(-1, (6, -1))

        context = self.text_embedding(text.to(tokens.dtype))
        h = tokens.flatten(2).transpose(1, 2).float()
        for block in self.blocks:
            h = block(h, context, modulation, rope, first)
        return self.unpatchify(self.head(h, time, first), grid)

    def unpatchify(self, patches: Tensor, grid: tuple[int, int, int]) -> Tensor:
        """[B, L, values of a patch, channel fastest] -> [B, out_channels, T, H, W]."""
        (t, h, w), (pt, ph, pw) = grid, self.config.patch
        patches = patches.reshape(-1, t, h, w, pt, ph, pw, self.config.out_channels)
        video = patches.permute(0, 7, 1, 4, 2, 5, 3, 6)
        return video.reshape(-1, self.config.out_channels, t * pt, h * ph, w * pw)
