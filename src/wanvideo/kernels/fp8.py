"""Products of float8 numbers, with one scale for each row of both sides."""

import torch
import torch.nn.functional as F
from torch import Tensor

from wanvideo.kernels.backend import has_kernel

FP8 = torch.float8_e4m3fn
LARGEST = 448.0


def quantize_rows(x: Tensor, *, gelu: bool = False) -> tuple[Tensor, Tensor]:
    """x [M, K] -> float8 [M, K] and scales [M, 1] float32, so that each row's largest becomes 448.

    gelu: of its GELU (tanh approximation) instead, computed in float32.
    """
    if has_kernel(x):
        from wanvideo.kernels.fp8_triton import quantize_rows_triton

        return quantize_rows_triton(x, gelu=gelu)
    wide = x.float()
    if gelu:
        wide = F.gelu(wide, approximate="tanh")
    scale = wide.abs().amax(1, keepdim=True).clamp_min(1e-12) / LARGEST
    return (wide / scale).to(FP8), scale


def multiply(
    x: Tensor, x_scale: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None, dtype: torch.dtype
) -> Tensor:
    """x [M, K] times weight [N, K] transposed, plus bias -> [M, N]; scales [M, 1] and [N, 1]."""
    if x.is_cuda:
        return torch._scaled_mm(
            x, weight.T, scale_a=x_scale, scale_b=scale.T, bias=bias, out_dtype=dtype, use_fast_accum=True
        )
    out = F.linear(x.to(torch.float32), weight.to(torch.float32)) * x_scale * scale.T
    return (out if bias is None else out + bias.float()).to(dtype)
