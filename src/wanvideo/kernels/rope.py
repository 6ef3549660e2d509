"""Root mean square norm of queries and keys over all heads, and the rotation by their place, in one pass."""

import torch
from torch import Tensor

from wanvideo.kernels.backend import has_kernel


def rms_norm(x: Tensor, weight: Tensor, *, eps: float) -> Tensor:
    """x / rms(x) times weight [D], in float32."""
    x = x.float()
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight.float()


def apply_rope(x: Tensor, rope: Tensor) -> Tensor:
    """Rotate neighbouring channel pairs of x [B, L, N, head_dim] float32 by rope [2, L, head_dim / 2]."""
    cos, sin = rope.unsqueeze(-2).unbind(0)
    real, imag = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([real * cos - imag * sin, real * sin + imag * cos], dim=-1).flatten(-2)


def norm_rope(x: Tensor, weight: Tensor, rope: Tensor | None, *, heads: int, eps: float) -> Tensor:
    """`rms_norm` of x [B, L, D], then `apply_rope` if there is one -> [B, L, N, head_dim] in the dtype of x.

    Computed in float32 and rounded once. Where there is a kernel, x is changed in place.
    """
    if has_kernel(x) and x.dtype.itemsize == 2:
        from wanvideo.kernels.rope_triton import norm_rope_

        return norm_rope_(x, weight, rope, heads=heads, eps=eps).unflatten(-1, (heads, -1))  # type: ignore[no-any-return]
    normal = rms_norm(x, weight, eps=eps).unflatten(-1, (heads, -1))
    return (normal if rope is None else apply_rope(normal, rope)).to(x.dtype)
