"""Stored numbers -> weights. Where there is a kernel for the device it is used; what is here is right everywhere.

GGUF packs the numbers of a row in blocks of 32 or 256, each with its own scale and, in some types, minimum. A block of
256 has further scales for 16 or 32 numbers each. Source of the formats: ggml-common.h and ggml-quants.c.
"""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Final

import torch
from torch import Tensor

from wanvideo.weights.gguf import BLOCKS

_CHUNK: Final = 1 << 22  # numbers unpacked at once: the steps in between take some 20 bytes for each


def decode(stored: Tensor, kind: str, scale: Tensor | None, dtype: torch.dtype) -> Tensor:
    """The weights, in `dtype`, rounded once.

    stored: as in the file; for GGUF's blocks, uint8 [..., bytes of a row]. kind: the type of its numbers, such as "I8",
    "F8_E4M3" or "Q4_K". scale: float32, of a shape that fits.
    """
    if kind in BLOCKS:
        weight = dequantize(stored, kind, dtype)
        return weight if scale is None else weight.mul_(scale)
    # All 8-bit numbers are exact in 16 bits, and the product of a 16-bit number and a float32 is rounded to 16 bits.
    return stored.to(dtype) if scale is None else stored.to(dtype, copy=True).mul_(scale)


def dequantize(blocks: Tensor, kind: str, dtype: torch.dtype) -> Tensor:
    """GGUF blocks uint8 [..., bytes of a row] -> numbers [..., columns] in `dtype`."""
    if blocks.is_cuda and find_spec("triton") is not None:
        from wanvideo.weights.gguf_kernels import dequantize_triton

        return dequantize_triton(blocks, kind, dtype)
    return dequantize_torch(blocks, kind, dtype)


def dequantize_torch(blocks: Tensor, kind: str, dtype: torch.dtype) -> Tensor:
    """The same with PyTorch alone: computed in float32, bit for bit as the `gguf` package does."""
    numbers, nbytes = BLOCKS[kind]
    flat = blocks.reshape(-1, nbytes)
    out = torch.empty((flat.shape[0], numbers), dtype=dtype, device=blocks.device)
    for piece, target in zip(flat.split(_CHUNK // numbers), out.split(_CHUNK // numbers), strict=True):
        target.copy_(_UNPACK[kind](piece).reshape(target.shape))
    return out.reshape(*blocks.shape[:-1], -1)


def _half(blocks: Tensor, start: int) -> Tensor:
    """The float16 at one place of each block, as float32 [n, 1]."""
    return blocks[:, start : start + 2].contiguous().view(torch.float16).float()


def _bits(packed: Tensor, width: int) -> Tensor:
    """[n, groups, bytes] -> [n, groups, 8 / width, bytes]: first the lowest bits of all bytes, then the next, ..."""
    shifts = torch.arange(0, 8, width, dtype=torch.uint8, device=packed.device)
    return (packed.unsqueeze(2) >> shifts[:, None]) & ((1 << width) - 1)


def _high_bit(packed: Tensor) -> Tensor:
    """The fifth bits [n, 32] of a block of 32: one after the other in four bytes [n, 4]."""
    shifts = torch.arange(8, dtype=torch.uint8, device=packed.device)
    return ((packed.unsqueeze(2) >> shifts) & 1).flatten(1)


def _nibbles(packed: Tensor) -> Tensor:
    """[n, bytes] -> [n, 2 bytes]: all low halves, then all high ones."""
    return _bits(packed.unsqueeze(1), 4).flatten(1)


def _q8_0(b: Tensor) -> Tensor:
    return _half(b, 0) * b[:, 2:].view(torch.int8).float()


def _q4_0(b: Tensor) -> Tensor:
    return _half(b, 0) * (_nibbles(b[:, 2:]).float() - 8)


def _q4_1(b: Tensor) -> Tensor:
    return _half(b, 0) * _nibbles(b[:, 4:]).float() + _half(b, 2)


def _q5_0(b: Tensor) -> Tensor:
    q = _nibbles(b[:, 6:]) | (_high_bit(b[:, 2:6]) << 4)
    return _half(b, 0) * (q.float() - 16)


def _q5_1(b: Tensor) -> Tensor:
    q = _nibbles(b[:, 8:]) | (_high_bit(b[:, 4:8]) << 4)
    return _half(b, 0) * q.float() + _half(b, 2)


def _scales_and_minima(packed: Tensor) -> tuple[Tensor, Tensor]:
    """Eight scales and eight minima of 6 bits from the 12 bytes [n, 12] of Q4_K and Q5_K -> two [n, 8, 1] float32.

    Four of each lie in the low bits of bytes 0 to 3 and 4 to 7. Of the other four, bytes 8 to 11 have the low halves,
    and the top two bits of bytes 0 to 7 the rest.
    """
    a, b, c = packed.split(4, dim=1)
    scales = torch.cat([a & 63, (c & 15) | ((a >> 6) << 4)], dim=1)
    minima = torch.cat([b & 63, (c >> 4) | ((b >> 6) << 4)], dim=1)
    return scales.float().unsqueeze(2), minima.float().unsqueeze(2)


def _with_minima(b: Tensor, q: Tensor) -> Tensor:
    """Of Q4_K and Q5_K, which begin alike: q [n, 8, 32]."""
    scales, minima = _scales_and_minima(b[:, 4:16])
    return (_half(b, 0).unsqueeze(2) * scales) * q.float() - _half(b, 2).unsqueeze(2) * minima


def _q4_k(b: Tensor) -> Tensor:
    return _with_minima(b, _bits(b[:, 16:].unflatten(1, (4, 32)), 4).flatten(1, 2))


def _q5_k(b: Tensor) -> Tensor:
    high = _bits(b[:, 16:48].unsqueeze(1), 1).flatten(1, 2)
    low = _bits(b[:, 48:].unflatten(1, (4, 32)), 4).flatten(1, 2)
    return _with_minima(b, low | (high << 4))


def _q6_k(b: Tensor) -> Tensor:
    low = _bits(b[:, :128].unflatten(1, (2, 64)), 4).reshape(-1, 16, 16)
    high = _bits(b[:, 128:192].unflatten(1, (2, 32)), 2).reshape(-1, 16, 16)
    scales = b[:, 192:208].view(torch.int8).float().unsqueeze(2)
    return (_half(b, 208).unsqueeze(2) * scales) * ((low | (high << 4)).float() - 32)


def _q3_k(b: Tensor) -> Tensor:
    low = _bits(b[:, 32:96].unflatten(1, (2, 32)), 2).reshape(-1, 16, 16)
    high = _bits(b[:, :32].unsqueeze(1), 1).reshape(-1, 16, 16)
    scales = _nibbles(b[:, 96:104]) | (_bits(b[:, 104:108].unsqueeze(1), 2).flatten(1) << 4)
    # The high bit is stored inverted: set, it means that nothing is taken off.
    return (_half(b, 108) * (scales.float() - 32)).unsqueeze(2) * (low.float() + 4 * high.float() - 4)


def _q2_k(b: Tensor) -> Tensor:
    q = _bits(b[:, 16:80].unflatten(1, (2, 32)), 2).reshape(-1, 16, 16)
    scales, minima = (b[:, :16] & 15).float(), (b[:, :16] >> 4).float()
    return (_half(b, 80) * scales).unsqueeze(2) * q.float() - (_half(b, 82) * minima).unsqueeze(2)


_UNPACK: Final[Mapping[str, Callable[[Tensor], Tensor]]] = {
    "Q8_0": _q8_0, "Q4_0": _q4_0, "Q4_1": _q4_1, "Q5_0": _q5_0, "Q5_1": _q5_1,
    "Q6_K": _q6_k, "Q5_K": _q5_k, "Q4_K": _q4_k, "Q3_K": _q3_k, "Q2_K": _q2_k,
}  # fmt: skip
