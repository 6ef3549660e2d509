"""The kernel of `fp8`: one program per row, all of it in registers. Needs Triton."""

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _quantize_rows(x_ptr, out_ptr, scale_ptr, dim, gelu: tl.constexpr, block: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    channel = tl.arange(0, block)
    inside = channel < dim
    x = tl.load(x_ptr + row * dim + channel, mask=inside, other=0.0).to(tl.float32)
    if gelu:  # 0.5 (1 + tanh(y)) is sigmoid(2 y)
        x = x * tl.sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x))
    scale = tl.maximum(tl.max(tl.abs(x), 0), 1e-12) / 448.0
    tl.store(scale_ptr + row, scale)
    tl.store(out_ptr + row * dim + channel, (x / scale).to(out_ptr.dtype.element_ty), mask=inside)


def quantize_rows_triton(x: Tensor, *, gelu: bool) -> tuple[Tensor, Tensor]:
    """As `quantize_rows`."""
    x = x.contiguous()
    rows, dim = x.shape
    out = torch.empty((rows, dim), dtype=torch.float8_e4m3fn, device=x.device)
    scale = torch.empty((rows, 1), dtype=torch.float32, device=x.device)
    block = triton.next_power_of_2(dim)
    _quantize_rows[(rows,)](x, out, scale, dim, gelu=gelu, block=block, num_warps=16 if block > 8192 else 8)
    return out, scale
