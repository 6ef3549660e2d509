"""The kernels of `eight_bit`: one program per row, all of it in registers. Needs Triton."""

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def to_8bit(x, out: tl.constexpr):
    """Rounded to nearest; casts to whole numbers cut."""
    if out == tl.int8:
        return tl.where(x >= 0, x + 0.5, x - 0.5).to(tl.int8)
    return x.to(out)


@triton.jit
def row_scale(x, out: tl.constexpr):
    """Of a row in registers, so that its largest number becomes the largest of the 8-bit type `out`."""
    return tl.maximum(tl.max(tl.abs(x), 0), 1e-12) / (127.0 if out == tl.int8 else 448.0)


@triton.jit
def _round_rows(x_ptr, out_ptr, scale_ptr, dim, gelu: tl.constexpr, block: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    channel = tl.arange(0, block)
    inside = channel < dim
    x = tl.load(x_ptr + row * dim + channel, mask=inside, other=0.0).to(tl.float32)
    if gelu:  # 0.5 (1 + tanh(y)) is sigmoid(2 y)
        x = x * tl.sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x))
    scale = row_scale(x, out_ptr.dtype.element_ty)
    tl.store(scale_ptr + row, scale)
    tl.store(out_ptr + row * dim + channel, to_8bit(x / scale, out_ptr.dtype.element_ty), mask=inside)


@triton.jit
def _scale_sums(
    sums_ptr, row_scale_ptr, scale_ptr, bias_ptr, out_ptr, dim, has_bias: tl.constexpr, block: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * block + tl.arange(0, block)
    inside = column < dim
    sums = tl.load(sums_ptr + row * dim + column, mask=inside, other=0).to(tl.float32)
    out = sums * tl.load(row_scale_ptr + row) * tl.load(scale_ptr + column, mask=inside, other=0.0)
    if has_bias:
        out += tl.load(bias_ptr + column, mask=inside, other=0.0).to(tl.float32)
    tl.store(out_ptr + row * dim + column, out.to(out_ptr.dtype.element_ty), mask=inside)


def round_rows_triton(x: Tensor, kind: torch.dtype, *, gelu: bool) -> tuple[Tensor, Tensor]:
    """As `round_rows`."""
    x = x.contiguous()
    out, scale = empty_rows(x, kind)
    block = triton.next_power_of_2(x.shape[-1])
    _round_rows[(scale.numel(),)](
        x, out, scale, x.shape[-1], gelu=gelu, block=block, num_warps=16 if block > 8192 else 8
    )
    return out, scale


def scale_sums_(sums: Tensor, row_scale: Tensor, scale: Tensor, bias: Tensor | None, out: Tensor) -> None:
    """Writes sums int32 [M, N] times row_scale [M, 1] and scale [N, 1], plus bias [N], to out [M, N]."""
    rows, dim = sums.shape
    _scale_sums[rows, triton.cdiv(dim, 2048)](
        sums, row_scale, scale, scale if bias is None else bias, out, dim, has_bias=bias is not None, block=2048
    )


def empty_rows(x: Tensor, kind: torch.dtype) -> tuple[Tensor, Tensor]:
    """For the 8-bit values of x [..., K], and their scales [..., 1]."""
    return torch.empty(x.shape, dtype=kind, device=x.device), torch.empty(*x.shape[:-1], 1, device=x.device)
