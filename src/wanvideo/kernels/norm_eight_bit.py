"""As `norm`, with what the next layer reads rounded to 8 bits at once: it is never written in 16.

kind: FP8 or INT8. dtype: of the products of what is returned. Where there is a kernel, x is changed in place.
"""

import torch
from torch import Tensor

from wanvideo.kernels import norm
from wanvideo.kernels.backend import has_kernel
from wanvideo.kernels.eight_bit import Rounded, round_rows


def norm_modulate(
    x: Tensor, shift: Tensor, scale: Tensor, first: int, *, eps: float, kind: torch.dtype, dtype: torch.dtype
) -> Rounded:
    """layer_norm(x) (1 + scale) + shift."""
    if has_kernel(x):
        from wanvideo.kernels.norm_triton import residual_norm_rounded

        rows = residual_norm_rounded(x, None, None, scale, shift, first, eps=eps, kind=kind, modulated=True)
        return Rounded(*rows, dtype)
    return round_rows(norm.norm_modulate(x, shift, scale, first, eps=eps, dtype=torch.float32), kind, dtype=dtype)


def residual_norm_modulate(
    x: Tensor,
    update: Tensor,
    shift: Tensor,
    scale: Tensor,
    first: int,
    *,
    eps: float,
    kind: torch.dtype,
    dtype: torch.dtype,
) -> tuple[Tensor, Rounded]:
    """x + update, and its `norm_modulate`."""
    if has_kernel(x):
        from wanvideo.kernels.norm_triton import residual_norm_rounded

        rows = residual_norm_rounded(x, update, None, scale, shift, first, eps=eps, kind=kind, modulated=True)
        return x, Rounded(*rows, dtype)
    x, h = norm.residual_norm_modulate(x, update, shift, scale, first, eps=eps, dtype=torch.float32)
    return x, round_rows(h, kind, dtype=dtype)


def gated_residual_norm(
    x: Tensor,
    update: Tensor,
    gate: Tensor,
    first: int,
    weight: Tensor,
    bias: Tensor,
    *,
    eps: float,
    kind: torch.dtype,
    dtype: torch.dtype,
) -> tuple[Tensor, Rounded]:
    """x + update * gate, and its layer norm with weight and bias [D]."""
    if has_kernel(x):
        from wanvideo.kernels.norm_triton import residual_norm_rounded

        rows = residual_norm_rounded(x, update, gate, weight, bias, first, eps=eps, kind=kind, modulated=False)
        return x, Rounded(*rows, dtype)
    x, h = norm.gated_residual_norm(x, update, gate, first, weight, bias, eps=eps, dtype=torch.float32)
    return x, round_rows(h, kind, dtype=dtype)
