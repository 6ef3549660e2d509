"""The kernels of `norm`: one program per token, its whole row in registers. Needs Triton."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from wanvideo.kernels.eight_bit_triton import empty_rows, row_scale, to_8bit


@triton.jit
def _residual_norm(
    x_ptr, update_ptr, gate_ptr, scale_ptr, shift_ptr, out_ptr, row_scale_ptr,
    length, dim, first, eps,
    gate_b, gate_r, scale_b, scale_r, shift_b, shift_r,
    has_update: tl.constexpr, has_gate: tl.constexpr, modulated: tl.constexpr, rounded: tl.constexpr,
    rows: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    batch = tl.program_id(1).to(tl.int64)
    row = 0
    if rows == 2:
        row = tl.where(token < first, 0, 1)
    channel = tl.arange(0, block)
    inside = channel < dim
    start = (batch * length + token) * dim
    x = tl.load(x_ptr + start + channel, mask=inside, other=0.0)
    if has_update:
        update = tl.load(update_ptr + start + channel, mask=inside, other=0.0).to(tl.float32)
        if has_gate:
            update = update * tl.load(gate_ptr + batch * gate_b + row * gate_r + channel, mask=inside, other=0.0)
        x += update
        tl.store(x_ptr + start + channel, x, mask=inside)
    mean = tl.sum(x, 0) / dim
    centred = tl.where(inside, x - mean, 0.0)
    normal = centred * tl.rsqrt(tl.sum(centred * centred, 0) / dim + eps)
    scale = tl.load(scale_ptr + batch * scale_b + row * scale_r + channel, mask=inside, other=0.0).to(tl.float32)
    shift = tl.load(shift_ptr + batch * shift_b + row * shift_r + channel, mask=inside, other=0.0).to(tl.float32)
    if modulated:
        scale += 1.0
    out = normal * scale + shift
    if rounded:
        most = row_scale(out, out_ptr.dtype.element_ty)
        tl.store(row_scale_ptr + batch * length + token, most)
        out = to_8bit(out / most, out_ptr.dtype.element_ty)
    tl.store(out_ptr + start + channel, out.to(out_ptr.dtype.element_ty), mask=inside)


@triton.jit
def _add_gated(
    x_ptr, update_ptr, gate_ptr, length, dim, first, gate_b, gate_r, rows: tl.constexpr, block: tl.constexpr
):
    token = tl.program_id(0).to(tl.int64)
    batch = tl.program_id(1).to(tl.int64)
    row = 0
    if rows == 2:
        row = tl.where(token < first, 0, 1)
    channel = tl.arange(0, block)
    inside = channel < dim
    start = (batch * length + token) * dim
    x = tl.load(x_ptr + start + channel, mask=inside, other=0.0)
    update = tl.load(update_ptr + start + channel, mask=inside, other=0.0).to(tl.float32)
    gate = tl.load(gate_ptr + batch * gate_b + row * gate_r + channel, mask=inside, other=0.0)
    tl.store(x_ptr + start + channel, x + update * gate, mask=inside)


def residual_norm(
    x: Tensor,
    update: Tensor | None,
    gate: Tensor | None,
    scale: Tensor,
    shift: Tensor,
    first: int,
    *,
    eps: float,
    dtype: torch.dtype,
    modulated: bool,
) -> Tensor:
    """Adds update * gate to x [B, L, D] in place, and returns its layer norm times (1 +) scale, plus shift."""
    out = torch.empty(x.shape, dtype=dtype, device=x.device)
    _launch(x, update, gate, scale, shift, first, out, None, eps=eps, modulated=modulated)
    return out


def residual_norm_rounded(
    x: Tensor,
    update: Tensor | None,
    gate: Tensor | None,
    scale: Tensor,
    shift: Tensor,
    first: int,
    *,
    eps: float,
    kind: torch.dtype,
    modulated: bool,
) -> tuple[Tensor, Tensor]:
    """As `residual_norm`, rounded to the 8-bit `kind`: values [B, L, D] and scales [B, L, 1]."""
    out, scales = empty_rows(x, kind)
    _launch(x, update, gate, scale, shift, first, out, scales, eps=eps, modulated=modulated)
    return out, scales


def _launch(
    x: Tensor,
    update: Tensor | None,
    gate: Tensor | None,
    scale: Tensor,
    shift: Tensor,
    first: int,
    out: Tensor,
    row_scales: Tensor | None,
    *,
    eps: float,
    modulated: bool,
) -> None:
    batch, length, dim = x.shape
    x = x.contiguous() if update is None else x
    assert x.is_contiguous()
    update = None if update is None else update.contiguous()
    _residual_norm[length, batch](
        x, x if update is None else update, x if gate is None else gate, scale, shift,
        out, out if row_scales is None else row_scales,
        length, dim, first, eps,
        *_strides(gate), *_strides(scale), *_strides(shift),
        has_update=update is not None, has_gate=gate is not None, modulated=modulated, rounded=row_scales is not None,
        rows=_rows(gate, scale), block=triton.next_power_of_2(dim), num_warps=8,
    )  # fmt: skip


def add_gated(x: Tensor, update: Tensor, gate: Tensor, first: int) -> Tensor:
    batch, length, dim = x.shape
    assert x.is_contiguous()
    _add_gated[length, batch](
        x, update.contiguous(), gate, length, dim, first, *_strides(gate),
        rows=_rows(gate), block=triton.next_power_of_2(dim), num_warps=8,
    )  # fmt: skip
    return x


def _rows(*vectors: Tensor | None) -> int:
    return max(v.shape[1] for v in vectors if v is not None and v.dim() == 3)


def _strides(vector: Tensor | None) -> tuple[int, int]:
    """Of the batch and of the row; 0 where one serves all."""
    if vector is None or vector.dim() == 1:
        return 0, 0
    assert vector.stride(2) == 1
    return vector.stride(0) if vector.shape[0] > 1 else 0, vector.stride(1) if vector.shape[1] > 1 else 0
