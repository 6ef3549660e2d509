"""Triton kernels of `vae`, whose functions describe and test them. Every number is read once and written once.

Activations are seen as matrices of pixels x channels. A program takes some pixels with all or some of their channels,
so that neighbouring threads read neighbouring channels. Pixels are counted in 32 bits, which divide faster, and places
in memory in 64.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

_TILE = 4096  # numbers per program: 32 for each thread of four warps


@triton.jit
def _norm_silu(
    x, gamma, bias, out, kept, rows, first_kept,
    channels: tl.constexpr, root: tl.constexpr, has_bias: tl.constexpr, has_kept: tl.constexpr, silu: tl.constexpr,
    tile_rows: tl.constexpr, tile_channels: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * tile_rows + tl.arange(0, tile_rows)[:, None]
    channel = tl.arange(0, tile_channels)[None, :]
    inside = (row < rows) & (channel < channels)
    value = tl.load(x + row.to(tl.int64) * channels + channel, mask=inside, other=0.0).to(tl.float32)
    if has_bias:
        value += tl.load(bias + channel, mask=channel < channels, other=0.0).to(tl.float32)
    square = tl.sum(value * value, axis=1)[:, None]
    value *= root / tl.sqrt(tl.maximum(square, 1e-24))
    value *= tl.load(gamma + channel, mask=channel < channels, other=0.0).to(tl.float32)
    if silu:
        value *= tl.sigmoid(value)
    rounded = value.to(out.dtype.element_ty)
    tl.store(out + row.to(tl.int64) * channels + channel, rounded, mask=inside)
    if has_kept:
        last = (row - first_kept).to(tl.int64)
        tl.store(kept + last * channels + channel, rounded, mask=inside & (row >= first_kept))


def norm_silu_triton(
    x: Tensor, gamma: Tensor, bias: Tensor | None, out: Tensor, kept: Tensor | None, silu: bool
) -> None:
    _require_packed(x, out, kept)
    channels = x.shape[-1]
    rows = x.numel() // channels
    tile_channels = triton.next_power_of_2(channels)
    tile_rows = max(1, _TILE // tile_channels)
    first_kept = rows - (0 if kept is None else kept.numel() // channels)
    with _device(x):
        _norm_silu[(triton.cdiv(rows, tile_rows),)](
            x, gamma, gamma if bias is None else bias, out, out if kept is None else kept, rows, first_kept,
            channels=channels, root=channels**0.5, has_bias=bias is not None, has_kept=kept is not None, silu=silu,
            tile_rows=tile_rows, tile_channels=tile_channels,
        )  # fmt: skip


@triton.jit
def _add(h, x, bias, count, channels: tl.constexpr, has_bias: tl.constexpr, size: tl.constexpr):
    e = tl.program_id(0).to(tl.int64) * size + tl.arange(0, size)
    inside = e < count
    value = tl.load(h + e, mask=inside, other=0.0).to(tl.float32) + tl.load(x + e, mask=inside, other=0.0).to(
        tl.float32
    )
    if has_bias:
        value += tl.load(bias + e % channels, mask=inside, other=0.0).to(tl.float32)
    tl.store(h + e, value.to(h.dtype.element_ty), mask=inside)


def add_triton_(h: Tensor, x: Tensor, bias: Tensor | None) -> None:
    _require_packed(h, x)
    count = h.numel()
    with _device(h):
        _add[(triton.cdiv(count, _TILE),)](
            h, x, h if bias is None else bias, count, channels=h.shape[-1], has_bias=bias is not None, size=_TILE
        )


@triton.jit
def _add_averaged(
    h, x, rows, height, width, missing,
    channels: tl.constexpr, in_channels: tl.constexpr, time: tl.constexpr, space: tl.constexpr, group: tl.constexpr,
    tile_rows: tl.constexpr, tile_channels: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * tile_rows + tl.arange(0, tile_rows)[:, None]
    channel = tl.program_id(1) * tile_channels + tl.arange(0, tile_channels)[None, :]
    inside = (row < rows) & (channel < channels)
    frame, i, j = row // (height * width), row // width % height, row % width
    total = tl.zeros((tile_rows, tile_channels), dtype=tl.float32)
    for k in tl.static_range(group):
        folded = channel * group + k  # place among (in_channels, time, space, space)
        source_channel, t = folded // (time * space * space), folded // (space * space) % time
        a, b = folded // space % space, folded % space
        source_frame = frame * time + t - missing
        source = ((source_frame * height * space + i * space + a) * width * space + j * space + b).to(tl.int64)
        total += tl.load(x + source * in_channels + source_channel, mask=inside & (source_frame >= 0), other=0.0).to(
            tl.float32
        )
    place = h + row.to(tl.int64) * channels + channel
    value = tl.load(place, mask=inside, other=0.0).to(tl.float32) + total / group
    tl.store(place, value.to(h.dtype.element_ty), mask=inside)


def add_averaged_triton_(h: Tensor, x: Tensor, time: int, space: int) -> None:
    _require_packed(h, x)
    frames, height, width, channels = h.shape
    rows = frames * height * width
    tile_channels = min(256, triton.next_power_of_2(channels))
    tile_rows = max(1, _TILE // 2 // tile_channels)
    with _device(h):
        _add_averaged[(triton.cdiv(rows, tile_rows), triton.cdiv(channels, tile_channels))](
            h, x, rows, height, width, -x.shape[0] % time,
            channels=channels, in_channels=x.shape[-1], time=time, space=space,
            group=x.shape[-1] * time * space**2 // channels, tile_rows=tile_rows, tile_channels=tile_channels,
        )  # fmt: skip


@triton.jit
def _join_phases(
    phases, bias, out, shortcut, rows, height, width, first,
    channels: tl.constexpr, has_shortcut: tl.constexpr, in_channels: tl.constexpr, time: tl.constexpr,
    repeats: tl.constexpr, tile_rows: tl.constexpr, tile_channels: tl.constexpr,
):  # fmt: skip
    """`height` and `width` of the result; a row is one of its pixels."""
    row = tl.program_id(0) * tile_rows + tl.arange(0, tile_rows)[:, None]
    channel = tl.program_id(1) * tile_channels + tl.arange(0, tile_channels)[None, :]
    inside = (row < rows) & (channel < channels)
    frame, y, x = row // (height * width), row // width % height, row % width
    i, a, j, b = y // 2, y % 2, x // 2, x % 2
    corner = (frame * (height // 2 + 1) + i + a) * (width // 2 + 1) + j + b
    phase = (corner * 4 + 2 * a + b).to(tl.int64)
    value = tl.load(phases + phase * channels + channel, mask=inside, other=0.0).to(tl.float32)
    value += tl.load(bias + channel, mask=channel < channels, other=0.0).to(tl.float32)
    if has_shortcut:
        unfolded = first + frame
        source = ((unfolded // time * (height // 2) + i) * (width // 2) + j).to(tl.int64)
        source_channel = (((channel * time + unfolded % time) * 2 + a) * 2 + b) // repeats
        value += tl.load(shortcut + source * in_channels + source_channel, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row.to(tl.int64) * channels + channel, value.to(out.dtype.element_ty), mask=inside)


def join_phases_triton(
    phases: Tensor, bias: Tensor, out: Tensor, shortcut: Tensor | None, time: int, first: int
) -> None:
    _require_packed(phases, out, shortcut)
    frames, height, width, channels = out.shape
    rows = frames * height * width
    tile_channels = min(512, triton.next_power_of_2(channels))
    tile_rows = max(1, _TILE // tile_channels)
    in_channels = 0 if shortcut is None else shortcut.shape[-1]
    with _device(out):
        _join_phases[(triton.cdiv(rows, tile_rows), triton.cdiv(channels, tile_channels))](
            phases, bias, out, out if shortcut is None else shortcut, rows, height, width, first,
            channels=channels, has_shortcut=shortcut is not None, in_channels=in_channels, time=time,
            repeats=1 if shortcut is None else channels * time * 4 // in_channels,
            tile_rows=tile_rows, tile_channels=tile_channels,
        )  # fmt: skip


def _require_packed(*tensors: Tensor | None) -> None:
    for tensor in tensors:
        assert tensor is None or tensor.is_contiguous(), (tensor.shape, tensor.stride())


def _device(x: Tensor) -> "torch.cuda.device":
    """Kernels start on the current device; -1, for the interpreter's tensors, leaves it."""
    return torch.cuda.device(x.device.index if x.is_cuda else -1)
