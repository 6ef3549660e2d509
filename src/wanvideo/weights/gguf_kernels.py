"""GGUF blocks -> weights on a GPU, in one pass: every stored byte is read once and every number written once.

Each program decodes a run of neighbouring numbers; where the bytes of a number lie follows from its place in its block.
The formats are those of `dequantize`, whose functions are the twins of these and test them. Needs Triton.
"""

from collections.abc import Mapping
from typing import Any, Final

import torch
import triton
import triton.language as tl
from torch import Tensor

from wanvideo.weights.gguf import BLOCKS

_SIZE: Final = 1024  # numbers per program


@triton.jit
def _byte(data, where, inside):
    return tl.load(data + where, mask=inside, other=0).to(tl.int32)


@triton.jit
def _half(halves, where, inside):
    """The float16 at the `where`-th pair of bytes."""
    return tl.load(halves + where, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _q8_0(data, halves, out, count, size: tl.constexpr):
    e = tl.program_id(0).to(tl.int64) * size + tl.arange(0, size)
    inside, block, i = e < count, e // 32, e % 32
    q = (_byte(data, block * 34 + 2 + i, inside) ^ 128) - 128  # two's complement
    value = _half(halves, block * 17, inside) * q.to(tl.float32)
    tl.store(out + e, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _q4_0(data, halves, out, count, size: tl.constexpr):
    e = tl.program_id(0).to(tl.int64) * size + tl.arange(0, size)
    inside, block, i = e < count, e // 32, (e % 32).to(tl.int32)
    q = (_byte(data, block * 18 + 2 + i % 16, inside) >> (i // 16 * 4)) & 15
    value = _half(halves, block * 9, inside) * (q - 8).to(tl.float32)
    tl.store(out + e, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _q4_1(data, halves, out, count, size: tl.constexpr):
    e = tl.program_id(0).to(tl.int64) * size + tl.arange(0, size)
    inside, block, i = e < count, e // 32, (e % 32).to(tl.int32)
    q = (_byte(data, block * 20 + 4 + i % 16, inside) >> (i // 16 * 4)) & 15
    value = _half(halves, block * 10, inside) * q.to(tl.float32) + _half(halves, block * 10 + 1, inside)
    tl.store(out + e, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _q5_0(data, halves, out, count, size: tl.constexpr):
    e = tl.program_id(0).to(tl.int64) * size + tl.arange(0, size)
    inside, block, i = e < count, e // 32, (e % 32).to(tl.int32)
    low = (_byte(data, block * 22 + 6 + i % 16, inside) >> (i // 16 * 4)) & 15
    high = (_byte(data, block * 22 + 2 + i // 8, inside) >> (i % 8)) & 1
    value = _half(halves, block * 11, inside) * ((low | (high << 4)) - 16).to(tl.float32)
    tl.store(out + e, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _q5_1(data, halves, out, count, size: tl.constexpr):
    e = tl.program_id(0).to(tl.int64) * size + tl.arange(0, size)
    inside, block, i = e < count, e // 32, (e % 32).to(tl.int32)
    low = (_byte(data, block * 24 + 8 + i % 16, inside) >> (i // 16 * 4)) & 15
    high = (_byte(data, block * 24 + 4 + i // 8, inside) >> (i % 8)) & 1
    d, minimum = _half(halves, block * 12, inside), _half(halves, block * 12 + 1, inside)
    value = d * (low | (high << 4)).to(tl.float32) + minimum
    tl.store(out + e, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _scale_and_minimum(data, start, j, inside):
    """The `j`-th of eight scales and of eight minima of 6 bits, packed in 12 bytes from `start`."""
    k = j % 4
    a = _byte(data, start + k, inside)
    b = _byte(data, start + 4 + k, inside)
    c = _byte(data, start + 8 + k, inside)
    scale = tl.where(j < 4, a & 63, (c & 15) | ((a >> 6) << 4))
    minimum = tl.where(j < 4, b & 63, (c >> 4) | ((b >> 6) << 4))
    return scale.to(tl.float32), minimum.to(tl.float32)


@triton.jit
def _q4_k(data, halves, out, count, size: tl.constexpr):
    e = tl.program_id(0).to(tl.int64) * size + tl.arange(0, size)
    inside, block, i = e < count, e // 256, (e % 256).to(tl.int32)
    j = i // 32
    scale, minimum = _scale_and_minimum(data, block * 144 + 4, j, inside)
    q = (_byte(data, block * 144 + 16 + j // 2 * 32 + i % 32, inside) >> (j % 2 * 4)) & 15
    d, dmin = _half(halves, block * 72, inside), _half(halves, block * 72 + 1, inside)
    value = (d * scale) * q.to(tl.float32) - dmin * minimum
    tl.store(out + e, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _q5_k(data, halves, out, count, size: tl.constexpr):
    e = tl.program_id(0).to(tl.int64) * size + tl.arange(0, size)
    inside, block, i = e < count, e // 256, (e % 256).to(tl.int32)
    j = i // 32
    scale, minimum = _scale_and_minimum(data, block * 176 + 4, j, inside)
    high = (_byte(data, block * 176 + 16 + i % 32, inside) >> j) & 1
    low = (_byte(data, block * 176 + 48 + j // 2 * 32 + i % 32, inside) >> (j % 2 * 4)) & 15
    d, dmin = _half(halves, block * 88, inside), _half(halves, block * 88 + 1, inside)
    value = (d * scale) * (low | (high << 4)).to(tl.float32) - dmin * minimum
    tl.store(out + e, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _q6_k(data, halves, out, count, size: tl.constexpr):
    e = tl.program_id(0).to(tl.int64) * size + tl.arange(0, size)
    inside, block, i = e < count, e // 256, (e % 256).to(tl.int32)
    n, j = i // 128, i % 128 // 32  # which half of the block, and which quarter of the half
    low = (_byte(data, block * 210 + n * 64 + j % 2 * 32 + i % 32, inside) >> (j // 2 * 4)) & 15
    high = (_byte(data, block * 210 + 128 + n * 32 + i % 32, inside) >> (j * 2)) & 3
    scale = (_byte(data, block * 210 + 192 + i // 16, inside) ^ 128) - 128
    value = (_half(halves, block * 105 + 104, inside) * scale.to(tl.float32)) * ((low | (high << 4)) - 32).to(
        tl.float32
    )
    tl.store(out + e, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _q3_k(data, halves, out, count, size: tl.constexpr):
    e = tl.program_id(0).to(tl.int64) * size + tl.arange(0, size)
    inside, block, i = e < count, e // 256, (e % 256).to(tl.int32)
    n, j, g = i // 128, i % 128 // 32, i // 16  # half, quarter of the half, and group of 16
    low = (_byte(data, block * 110 + 32 + n * 32 + i % 32, inside) >> (j * 2)) & 3
    high = (_byte(data, block * 110 + i % 32, inside) >> (i // 32)) & 1
    scale = (_byte(data, block * 110 + 96 + g % 8, inside) >> (g // 8 * 4)) & 15
    scale |= ((_byte(data, block * 110 + 104 + g % 4, inside) >> (g // 4 * 2)) & 3) << 4
    d = _half(halves, block * 55 + 54, inside) * (scale - 32).to(tl.float32)
    value = d * (low + 4 * high - 4).to(tl.float32)
    tl.store(out + e, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _q2_k(data, halves, out, count, size: tl.constexpr):
    e = tl.program_id(0).to(tl.int64) * size + tl.arange(0, size)
    inside, block, i = e < count, e // 256, (e % 256).to(tl.int32)
    n, j = i // 128, i % 128 // 32
    q = (_byte(data, block * 84 + 16 + n * 32 + i % 32, inside) >> (j * 2)) & 3
    packed = _byte(data, block * 84 + i // 16, inside)
    d, dmin = _half(halves, block * 42 + 40, inside), _half(halves, block * 42 + 41, inside)
    value = (d * (packed & 15).to(tl.float32)) * q.to(tl.float32) - dmin * (packed >> 4).to(tl.float32)
    tl.store(out + e, value.to(out.dtype.element_ty), mask=inside)


KERNELS: Final[Mapping[str, Any]] = {
    "Q8_0": _q8_0, "Q4_0": _q4_0, "Q4_1": _q4_1, "Q5_0": _q5_0, "Q5_1": _q5_1,
    "Q6_K": _q6_k, "Q5_K": _q5_k, "Q4_K": _q4_k, "Q3_K": _q3_k, "Q2_K": _q2_k,
}  # fmt: skip


def dequantize_triton(blocks: Tensor, kind: str, dtype: torch.dtype) -> Tensor:
    """Blocks uint8 [..., bytes of a row] on a GPU -> numbers [..., columns] in `dtype`."""
    numbers, nbytes = BLOCKS[kind]
    flat = blocks.contiguous().view(-1)
    out = torch.empty(*blocks.shape[:-1], blocks.shape[-1] // nbytes * numbers, dtype=dtype, device=blocks.device)
    count = out.numel()
    if count:
        with torch.cuda.device(blocks.device):
            KERNELS[kind][(triton.cdiv(count, _SIZE),)](flat, flat.view(torch.float16), out, count, size=_SIZE)
    return out
