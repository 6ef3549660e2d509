"""Attention with 8-bit products: float8 or int8 for the logits, float8 for the weighted sum. Needs Triton.

Queries have a scale per token and head, keys one per block of tokens, values one per channel. The mean of all keys is
taken off first: it moves all logits of a query alike, which softmax does not see, and leaves smaller numbers to round
(the idea of arXiv:2410.02367). The mean of all values is taken off, too, and added to the result, with what rounding
does to it. Softmax itself is float32, of which the weights are rounded to float8 below 448.

Tensor cores sum up float8 products with some 14 bits: what one product adds to the sum of thousands is cut off. So the
products of a few keys are summed up there, and their sums in float32. On an H100 with 75,600 tokens, half of which a
query attends to evenly, 35 % of the result are lost otherwise, and 65 % where it attends to all of them.
"""

from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from wanvideo.kernels.eight_bit_triton import to_8bit

BLOCK: Final = 128  # tokens
HEAD: Final = 128  # channels of a head
_SHARE: Final = 2048  # tokens that one program sums up
_LARGEST: Final = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0}


@triton.jit
def _quantize_tokens(
    x_ptr, mean_ptr, out_ptr, scale_ptr, length, padded, heads, x_b, x_l, x_n,
    largest: tl.constexpr, per_token: tl.constexpr, centred: tl.constexpr, block: tl.constexpr, head: tl.constexpr,
):  # fmt: skip
    """One block of tokens of one head -> [B N, padded, head]; scales per token or per block."""
    tile, bn = tl.program_id(0), tl.program_id(1).to(tl.int64)
    token = tile * block + tl.arange(0, block)
    channel = tl.arange(0, head)
    start = x_ptr + bn // heads * x_b + bn % heads * x_n
    inside = token[:, None] < length
    x = tl.load(start + token[:, None].to(tl.int64) * x_l + channel[None, :], mask=inside, other=0.0).to(tl.float32)
    if centred:
        x = tl.where(inside, x - tl.load(mean_ptr + bn * head + channel)[None, :], 0.0)
    most = tl.max(tl.abs(x), 1)
    if per_token:
        scale = tl.maximum(most, 1e-12) / largest
        tl.store(scale_ptr + bn * padded + token, scale)
        x = x / scale[:, None]
    else:
        scale = tl.maximum(tl.max(most, 0), 1e-12) / largest
        tl.store(scale_ptr + bn * (padded // block) + tile, scale)
        x = x / scale
    target = out_ptr + (bn * padded + token[:, None]) * head + channel[None, :]
    tl.store(target, to_8bit(x, out_ptr.dtype.element_ty))


@triton.jit
def _sum_up(
    x_ptr, sum_ptr, most_ptr, length, heads, x_b, x_l, x_n, parts,
    share: tl.constexpr, block: tl.constexpr, head: tl.constexpr,
):  # fmt: skip
    """Of each channel over `share` tokens of one head: the sum, and the largest magnitude."""
    part, bn = tl.program_id(0), tl.program_id(1).to(tl.int64)
    channel = tl.arange(0, head)
    start = x_ptr + bn // heads * x_b + bn % heads * x_n + channel[None, :]
    total = tl.zeros([block, head], tl.float32)
    most = tl.zeros([block, head], tl.float32)
    for first in range(0, share, block):
        token = part * share + first + tl.arange(0, block)[:, None]
        x = tl.load(start + token.to(tl.int64) * x_l, mask=token < length, other=0.0).to(tl.float32)
        total += x
        most = tl.maximum(most, tl.abs(x))
    target = (bn * parts + part) * head + channel
    tl.store(sum_ptr + target, tl.sum(total, 0))
    tl.store(most_ptr + target, tl.max(most, 0))


@triton.jit
def _quantize_values(
    x_ptr, mean_ptr, scale_ptr, out_ptr, sum_ptr, length, padded, heads, x_b, x_l, x_n,
    in_key_order: tl.constexpr, block: tl.constexpr, head: tl.constexpr,
):  # fmt: skip
    """One block of tokens of one head -> [B N, head, padded]: the product wants them side by side. And their sums."""
    tile, bn = tl.program_id(0), tl.program_id(1).to(tl.int64)
    token = tile * block + tl.arange(0, block)
    channel = tl.arange(0, head)
    start = x_ptr + bn // heads * x_b + bn % heads * x_n
    inside = token[:, None] < length
    x = tl.load(start + token[:, None].to(tl.int64) * x_l + channel[None, :], mask=inside, other=0.0).to(tl.float32)
    x = x - tl.load(mean_ptr + bn * head + channel)[None, :]
    x = tl.where(inside, x * (1.0 / tl.load(scale_ptr + bn * head + channel))[None, :], 0.0)
    x = x.to(out_ptr.dtype.element_ty)
    tl.store(sum_ptr + (bn * (padded // block) + tile) * head + channel, tl.sum(x.to(tl.float32), 0))
    x = tl.trans(x)
    if in_key_order:  # of the bits of a token, b4 b3 b2 b1 b0: to place b4 b2 b1 b3 b0
        x = tl.permute(tl.reshape(x, (head, block // 32, 2, 2, 4, 2)), (0, 1, 2, 4, 3, 5))
        x = tl.reshape(x, (head, block))
    tl.store(out_ptr + (bn * head + channel[:, None]) * padded + token[None, :], x)


@triton.jit
def _attend(
    q_desc, k_desc, v_desc, q_scale_ptr, k_scale_ptr, v_scale_ptr, v_offset_ptr, out_ptr,
    length, keys, q_padded, k_padded, heads, softmax_scale, out_b, out_l, out_n,
    block_m: tl.constexpr, block_n: tl.constexpr, head: tl.constexpr,
):  # fmt: skip
    tile, bn = tl.program_id(0), tl.program_id(1)
    q = q_desc.load([bn * q_padded + tile * block_m, 0])
    token = tile * block_m + tl.arange(0, block_m)
    q_scale = tl.load(q_scale_ptr + bn.to(tl.int64) * q_padded + token) * softmax_scale
    k_scales = k_scale_ptr + bn * (k_padded // block_n)
    top = tl.full([block_m], -float("inf"), tl.float32)
    total = tl.zeros([block_m], tl.float32)
    acc = tl.zeros([block_m, head], tl.float32)
    for start in tl.range(0, k_padded, block_n):
        k = k_desc.load([bn * k_padded + start, 0])
        logits = tl.dot(q, k.T).to(tl.float32)
        if start + block_n > keys:
            logits = tl.where((start + tl.arange(0, block_n) < keys)[None, :], logits, -float("inf"))
        scale = q_scale * tl.load(k_scales + start // block_n)
        new_top = tl.maximum(top, tl.max(logits, 1) * scale)
        # 448 = 2^8.807 is the largest float8: the weights use its whole range, and `total` is as many times too large.
        weights = tl.exp2(logits * scale[:, None] - (new_top - 8.807)[:, None])
        fading = tl.exp2(top - new_top)
        total = total * fading + tl.sum(weights, 1)
        v = v_desc.load([bn * head, start])
        # Each tile has a sum of its own, which Triton would merge with `acc` but for the option.
        acc = acc * fading[:, None] + tl.dot(weights.to(v.dtype), v.T, max_num_imprecise_acc=block_n)
        top = new_top
    channel = tl.arange(0, head)
    acc = acc / total[:, None] * tl.load(v_scale_ptr + bn * head + channel)[None, :]
    acc = acc + tl.load(v_offset_ptr + bn * head + channel)[None, :]
    target = out_ptr + (bn // heads).to(tl.int64) * out_b + (bn % heads) * out_n
    target = target + token[:, None].to(tl.int64) * out_l + channel[None, :]
    tl.store(target, acc.to(out_ptr.dtype.element_ty), mask=token[:, None] < length)


def attention_8bit(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    logits: torch.dtype = torch.float8_e4m3fn,
    block_m: int = 64,
    warps: int = 4,
    stages: int = 3,
) -> Tensor:
    """q [B, L, N, 128], k and v [B, S, N, 128] -> [B, L, N, 128] in the dtype of q.

    logits: of queries and keys: float8_e4m3fn, or int8, which is more exact. On an H100 with 32,760 tokens, 40 heads
    and inputs from a normal distribution, rounding them included: 719 TFLOP/s and a relative error of 0.051 in float8.
    """
    batch, length, heads, head = q.shape
    keys = k.shape[1]
    assert head == HEAD
    q8, q_scale = quantize_tokens(q, logits, per_token=True)
    k8, k_scale = quantize_tokens(k, logits, per_token=False, mean=k.mean(1, dtype=torch.float32))
    v8, v_scale, v_offset = quantize_values(v)
    out = torch.empty((batch, length, heads, head), dtype=q.dtype, device=q.device)
    _attend[triton.cdiv(length, block_m), batch * heads](
        TensorDescriptor.from_tensor(q8.flatten(0, 1), [block_m, head]),
        TensorDescriptor.from_tensor(k8.flatten(0, 1), [BLOCK, head]),
        TensorDescriptor.from_tensor(v8.flatten(0, 1), [head, BLOCK]),
        q_scale, k_scale, v_scale, v_offset, out,
        length, keys, q8.shape[1], k8.shape[1], heads, head**-0.5 * 1.4426950408889634,
        out.stride(0), out.stride(1), out.stride(2),
        block_m=block_m, block_n=BLOCK, head=head,
        num_warps=warps, num_stages=stages,
    )  # fmt: skip
    return out


def quantize_tokens(
    x: Tensor, dtype: torch.dtype, *, per_token: bool, mean: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """x [B, L, N, head] -> 8-bit [B N, L padded to blocks, head], and scales [B N, tokens or blocks] float32.

    mean [B, N, head] is taken off first.
    """
    batch, length, heads, head = x.shape
    assert x.stride(3) == 1
    blocks = triton.cdiv(length, BLOCK)
    out = torch.empty((batch * heads, blocks * BLOCK, head), dtype=dtype, device=x.device)
    scale = torch.empty((batch * heads, blocks * BLOCK if per_token else blocks), device=x.device)
    _quantize_tokens[blocks, batch * heads](
        x, scale if mean is None else mean.contiguous(), out, scale, length, blocks * BLOCK, heads,
        x.stride(0), x.stride(1), x.stride(2),
        largest=_LARGEST[dtype], per_token=per_token, centred=mean is not None, block=BLOCK, head=head, num_warps=4,
    )  # fmt: skip
    return out, scale


def quantize_values(x: Tensor, *, in_key_order: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """x [B, S, N, head] -> float8 [B N, head, S padded to blocks], and scales and offsets [B N, head] float32.

    Values are what is returned times the scale plus the offset, and their mean is exact. in_key_order: of every 32
    keys, in the order in which a warp of Hopper's has the weights after the first product.
    """
    batch, length, heads, head = x.shape
    assert x.stride(3) == 1
    mean, most = means_and_magnitudes(x)
    scale = (most + mean.abs()).clamp_min(1e-12) / 448  # of a floating point type, a bound will do
    blocks = triton.cdiv(length, BLOCK)
    out = torch.empty((batch * heads, head, blocks * BLOCK), dtype=torch.float8_e4m3fn, device=x.device)
    sums = torch.empty((batch * heads, blocks, head), device=x.device)
    _quantize_values[blocks, batch * heads](
        x, mean, scale, out, sums, length, blocks * BLOCK, heads, x.stride(0), x.stride(1), x.stride(2),
        in_key_order=in_key_order, block=BLOCK, head=head, num_warps=8,
    )  # fmt: skip
    return out, scale, mean - sums.sum(1) * scale / length


def means_and_magnitudes(x: Tensor) -> tuple[Tensor, Tensor]:
    """Of x [B, L, N, head] over tokens: the mean, and the largest magnitude; [B N, head] float32 each."""
    batch, length, heads, head = x.shape
    parts = triton.cdiv(length, _SHARE)
    sums, most = torch.empty((2, batch * heads, parts, head), device=x.device)
    _sum_up[parts, batch * heads](
        x, sums, most, length, heads, x.stride(0), x.stride(1), x.stride(2), parts,
        share=_SHARE, block=32, head=head, num_warps=4,
    )  # fmt: skip
    return sums.sum(1) / length, most.amax(1)
