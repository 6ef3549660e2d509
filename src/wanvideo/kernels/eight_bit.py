"""Products of 8-bit numbers, float8 or int8, with one scale for each row of both sides."""

from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from wanvideo.kernels.backend import has_kernel

FP8: Final = torch.float8_e4m3fn
INT8: Final = torch.int8
LARGEST: Final = {FP8: 448.0, INT8: 127.0}
_AT_ONCE: Final = 8192  # rows whose sums exist at a time
_AT_ONCE_PLAIN: Final = 2048  # where float32 copies of them exist as well
_LEAST: Final = 17  # rows that PyTorch multiplies on a GPU


@dataclass(frozen=True, slots=True, eq=False)
class Rounded:
    """Rows [..., K] in 8 bits, and a scale [..., 1] float32 for each; `dtype` is that of what is computed with them."""

    values: Tensor
    scale: Tensor
    dtype: torch.dtype


def round_rows(x: Tensor, kind: torch.dtype, *, dtype: torch.dtype | None = None, gelu: bool = False) -> Rounded:
    """x [..., K] in `kind`, FP8 or INT8, so that each row's largest number becomes the largest that there is.

    dtype: of products, by default that of x.
    gelu: of its GELU (tanh approximation) instead, computed in float32.
    """
    dtype = dtype or x.dtype
    if has_kernel(x):
        from wanvideo.kernels.eight_bit_triton import round_rows_triton

        return Rounded(*round_rows_triton(x, kind, gelu=gelu), dtype)
    if x[..., 0].numel() > _AT_ONCE_PLAIN:
        pieces = x.flatten(0, -2).split(_AT_ONCE_PLAIN)
        parts = [round_rows(piece, kind, dtype=dtype, gelu=gelu) for piece in pieces]
        values, scale = (torch.cat([getattr(part, name) for part in parts]) for name in ("values", "scale"))
        return Rounded(values.unflatten(0, x.shape[:-1]), scale.unflatten(0, x.shape[:-1]), dtype)
    wide = x.float()
    if gelu:
        wide = F.gelu(wide, approximate="tanh")
    scale = wide.abs().amax(-1, keepdim=True).clamp_min(1e-12) / LARGEST[kind]
    wide = wide / scale
    return Rounded((wide if kind.is_floating_point else wide.round()).to(kind), scale, dtype)


def multiply(x: Rounded, weight: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
    """x [..., K] times weight [N, K] transposed, plus bias -> [..., N]; weight is of the same kind, scale [N, 1]."""
    rows, x_scale = x.values.flatten(0, -2), x.scale.flatten(0, -2)
    if not x.values.is_cuda:
        out = F.linear(rows.float(), weight.float()) * x_scale * scale.T
        out = (out if bias is None else out + bias.float()).to(x.dtype)
    elif x.values.dtype == INT8:
        out = int8_product(rows, x_scale, weight, scale, bias, x.dtype)
    else:
        out = torch._scaled_mm(
            rows, weight.T, scale_a=x_scale, scale_b=scale.T, bias=bias, out_dtype=x.dtype, use_fast_accum=True
        )
    return out.unflatten(0, x.values.shape[:-1])  # type: ignore[no-any-return]


def int8_product(
    rows: Tensor, row_scale: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None, dtype: torch.dtype
) -> Tensor:
    """int8 rows [M, K] times weight [N, K] transposed, scales [M, 1] and [N, 1], plus bias [N] -> [M, N].

    The sums are whole numbers of 32 bits, which exist for some rows at a time.
    """
    out = torch.empty((rows.shape[0], weight.shape[0]), dtype=dtype, device=rows.device)
    parts = -(-rows.shape[0] // (_AT_ONCE if has_kernel(row_scale) else _AT_ONCE_PLAIN))
    pieces = zip(rows.tensor_split(parts), row_scale.tensor_split(parts), out.tensor_split(parts), strict=True)
    for piece, piece_scale, target in pieces:
        count = piece.shape[0]
        if count < _LEAST:
            piece = F.pad(piece, (0, 0, 0, _LEAST - count))
        sums = torch._int_mm(piece, weight.T)[:count]
        if has_kernel(sums):
            from wanvideo.kernels.eight_bit_triton import scale_sums_

            scale_sums_(sums, piece_scale, scale, bias, target)
            continue
        product = sums * piece_scale * scale.T
        target.copy_(product if bias is None else product + bias.float())
    return out
