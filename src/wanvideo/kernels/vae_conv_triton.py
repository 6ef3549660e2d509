"""A convolution as one matrix product in Triton, for GPUs that copy tiles on their own (NVIDIA, capability 9 and more).

The activations carry a border of zeros, `[T, H + 2, W + 1, C]`: a row of them above and below, and one column behind
every row, which stands before the next row, too. Seen as a list of pixels, what a tap of the kernel sees of a run of
pixels is again a run, shifted by a constant. So each step of the product fetches two plain tiles, one of pixels and one
of weights, which lie in memory in just this order when they are channels-last.

The results at the columns of zeros are computed and dropped: one in W + 1.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor


class Tiles(NamedTuple):
    """Sides of the tiles of pixels, of results and of channels; warps that share one; steps fetched ahead."""

    pixels: int
    outs: int
    channels: int
    warps: int
    stages: int


# Tiles of pixels whose products with all weights are made one after the other, so that both stay in the cache.
_PANEL = 8


@triton.jit
def _convolve(
    pixels, weight, out, bias, added, frames, height, width, tiles, area, stride, lead,
    channels: tl.constexpr, outs: tl.constexpr, kernel_t: tl.constexpr, kernel_h: tl.constexpr, kernel_w: tl.constexpr,
    has_bias: tl.constexpr, has_added: tl.constexpr,
    tile_pixels: tl.constexpr, tile_outs: tl.constexpr, tile_channels: tl.constexpr, panel: tl.constexpr,
):  # fmt: skip
    """`frames`, `height` and `width` of the result, `tiles` of pixels in each of its frames.

    Of the list of pixels: `area` and `stride` are the lengths of a frame and of a row, `lead` is where the first tap of
    a frame's first pixel lies.
    """
    tiles_outs: tl.constexpr = (outs + tile_outs - 1) // tile_outs
    steps: tl.constexpr = channels // tile_channels
    program = tl.program_id(0)
    all_tiles = frames * tiles
    start = program // (panel * tiles_outs) * panel
    wide = min(all_tiles - start, panel)
    inside = program % (panel * tiles_outs)
    tile, n = start + inside % wide, inside // wide * tile_outs
    frame, first = tile // tiles, tile % tiles * tile_pixels
    origin = frame * area + first + lead

    total = tl.zeros((tile_pixels, tile_outs), dtype=tl.float32)
    for k in range(kernel_t * kernel_h * kernel_w * steps):
        tap = k // steps
        shift = tap // (kernel_h * kernel_w) * area + tap // kernel_w % kernel_h * stride + tap % kernel_w
        a = pixels.load([origin + shift, k % steps * tile_channels])
        b = weight.load([n, k * tile_channels])
        total = tl.dot(a, b.T, total)

    place = first + tl.arange(0, tile_pixels)
    y, x = place // stride, place % stride
    channel = n + tl.arange(0, tile_outs)
    row = (frame * height + y).to(tl.int64) * width + x
    kept = ((y < height) & (x < width))[:, None] & (channel < outs)[None, :]
    where = row[:, None] * outs + channel[None, :]
    if has_bias:
        total += tl.load(bias + channel, mask=channel < outs, other=0.0).to(tl.float32)[None, :]
    if has_added:
        total += tl.load(added + where, mask=kept, other=0.0).to(tl.float32)
    tl.store(out + where, total.to(out.dtype.element_ty), mask=kept)


def convolve_triton(
    pixels: Tensor,
    weight: Tensor,
    *,
    bias: Tensor | None = None,
    added: Tensor | None = None,
    tiles: Tiles | None = None,
) -> Tensor:
    """pixels [T, H + 2, W + 1, C] with their border, weight [O, C, kt, k, k] channels-last -> [t, H, W, O].

    k = 3: the usual padded convolution. k = 2: the result is [t, H + 1, W + 1, O], one for every corner of a pixel.
    k = 1: the pixels [T, H, W, C] have no border.
    bias [O] and added, of the shape of the result, are summed in float32.
    """
    outs, channels, kernel_t, kernel_h, kernel_w = weight.shape
    frames, height, width = pixels.shape[0] - kernel_t + 1, pixels.shape[1], pixels.shape[2]
    area, stride, lead = height * width, width, 0
    if kernel_h > 1:
        height, width, lead = height + 1 - kernel_h, width + 2 - kernel_w, -1
    out = pixels.new_empty(frames, height, width, outs)
    flat = weight.permute(0, 2, 3, 4, 1).reshape(outs, -1)
    assert pixels.is_contiguous()
    assert added is None or (added.shape == out.shape and added.is_contiguous())
    tiles = tiles or choose_tiles(channels, outs)
    per_frame = triton.cdiv(height * stride, tiles.pixels)
    with torch.cuda.device(pixels.device.index if pixels.is_cuda else -1):
        _convolve[(frames * per_frame * triton.cdiv(outs, tiles.outs),)](
            TensorDescriptor.from_tensor(pixels.view(-1, channels), [tiles.pixels, tiles.channels]),
            TensorDescriptor.from_tensor(flat, [tiles.outs, tiles.channels]),
            out, out if bias is None else bias, out if added is None else added,
            frames, height, width, per_frame, area, stride, lead,
            channels=channels, outs=outs, kernel_t=kernel_t, kernel_h=kernel_h, kernel_w=kernel_w,
            has_bias=bias is not None, has_added=added is not None,
            tile_pixels=tiles.pixels, tile_outs=tiles.outs, tile_channels=tiles.channels, panel=_PANEL,
            num_warps=tiles.warps, num_stages=tiles.stages,
        )  # fmt: skip
    return out


def choose_tiles(channels: int, outs: int) -> Tiles:
    depth = next(side for side in (64, 32, 16, 8) if channels % side == 0)
    if outs % 256 == 0:
        return Tiles(128, 256, depth, warps=8, stages=4)
    if outs % 128 == 0 or 64 < outs < 128:
        return Tiles(128, 128, depth, warps=8, stages=4)
    return Tiles(128, 64, depth, warps=4, stages=4)
