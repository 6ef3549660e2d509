"""The kernel of `rope`: one program per token, its whole row in registers. Needs Triton."""

import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _norm_rope(
    x_ptr, weight_ptr, rope_ptr, length, dim, eps, batch_stride, token_stride,
    turns: tl.constexpr, head_half: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    start = x_ptr + tl.program_id(1).to(tl.int64) * batch_stride + token * token_stride
    channel = tl.arange(0, block)
    inside = channel < dim
    x = tl.load(start + channel, mask=inside, other=0.0).to(tl.float32)
    x = x * tl.rsqrt(tl.sum(x * x, 0) / dim + eps)
    x = x * tl.load(weight_ptr + channel, mask=inside, other=0.0).to(tl.float32)
    if turns:
        real, imag = tl.split(tl.reshape(x, (block // 2, 2)))
        pair = tl.arange(0, block // 2)
        angle = rope_ptr + token * head_half + pair % head_half
        there = pair < dim // 2
        cos = tl.load(angle, mask=there, other=0.0)
        sin = tl.load(angle + length * head_half, mask=there, other=0.0)
        x = tl.interleave(real * cos - imag * sin, real * sin + imag * cos)
    tl.store(start + channel, x.to(x_ptr.dtype.element_ty), mask=inside)


def norm_rope_(x: Tensor, weight: Tensor, rope: Tensor | None, *, heads: int, eps: float) -> Tensor:
    """x [B, L, D], its last axis dense, changed in place; rope [2, L, head_dim / 2] float32, dense."""
    batch, length, dim = x.shape
    assert x.stride(2) == 1
    _norm_rope[length, batch](
        x, weight, x if rope is None else rope, length, dim, eps, x.stride(0), x.stride(1),
        turns=rope is not None, head_half=dim // heads // 2, block=triton.next_power_of_2(dim), num_warps=8,
    )  # fmt: skip
    return x
