"""What happens to the residual stream between two matrix products, in one pass over it.

The stream x [B, L, D] is float32. Updates of it, and what the next layer reads, are in the dtype of the computation.
Vectors for shift, scale and gate are [B, 1 or 2, D] float32: with two rows, row 0 belongs to the first `first` tokens
(the first latent frame), row 1 to the rest.

Where there is a kernel, x is changed in place: it must not be used again but through what is returned.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from wanvideo.kernels.backend import has_kernel


def norm_modulate(x: Tensor, shift: Tensor, scale: Tensor, first: int, *, eps: float, dtype: torch.dtype) -> Tensor:
    """layer_norm(x) (1 + scale) + shift."""
    if has_kernel(x):
        from wanvideo.kernels.norm_triton import residual_norm

        return residual_norm(x, None, None, scale, shift, first, eps=eps, dtype=dtype, modulated=True)
    return _modulate(_norm(x, None, None, eps), shift, scale, first).to(dtype)


def residual_norm_modulate(
    x: Tensor, update: Tensor, shift: Tensor, scale: Tensor, first: int, *, eps: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """x + update, and its `norm_modulate`."""
    if has_kernel(x):
        from wanvideo.kernels.norm_triton import residual_norm

        return x, residual_norm(x, update, None, scale, shift, first, eps=eps, dtype=dtype, modulated=True)
    x = x + update
    return x, norm_modulate(x, shift, scale, first, eps=eps, dtype=dtype)


def gated_residual_norm(
    x: Tensor, update: Tensor, gate: Tensor, first: int, weight: Tensor, bias: Tensor, *, eps: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """x + update * gate, and its layer norm with weight and bias [D]."""
    if has_kernel(x):
        from wanvideo.kernels.norm_triton import residual_norm

        return x, residual_norm(x, update, gate, weight, bias, first, eps=eps, dtype=dtype, modulated=False)
    x = gated_residual(x, update, gate, first)
    return x, _norm(x, weight, bias, eps).to(dtype)


def gated_residual(x: Tensor, update: Tensor, gate: Tensor, first: int) -> Tensor:
    """x + update * gate."""
    if has_kernel(x):
        from wanvideo.kernels.norm_triton import add_gated

        return add_gated(x, update, gate, first)
    if gate.shape[1] == 1:
        return x + update.float() * gate
    parts = zip(update.tensor_split([first], dim=1), gate.split(1, dim=1), strict=True)
    return x + torch.cat([part.float() * g for part, g in parts], dim=1)


def _norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    return F.layer_norm(
        x.float(),
        x.shape[-1:],
        None if weight is None else weight.float(),
        None if bias is None else bias.float(),
        eps,
    )


def _modulate(x: Tensor, shift: Tensor, scale: Tensor, first: int) -> Tensor:
    if shift.shape[1] == 1:
        return x * (1 + scale) + shift
    parts = zip(x.tensor_split([first], dim=1), scale.split(1, dim=1), shift.split(1, dim=1), strict=True)
    return torch.cat([part * (1 + a) + b for part, a, b in parts], dim=1)
