"""Attention for GPUs of compute capability 9.0, in Gluon, Triton's language for warps, barriers and registers.

Three groups of warps share a tile of 128 queries. One asks the memory engine for tiles of keys and values and computes
nothing; the two others have 64 queries each. Both products run beside the softmax: while the tensor cores multiply the
weights of one tile of keys with its values, the logits of the next one are already on their way (the schedule of
FlashAttention-3, arXiv:2407.08608). In 8 bits the weights must reach the second product in the registers in which the
first one left them, so values are stored with the keys of every 32 in that order: `key_order`.

In 8 bits the sums of the tensor cores are set aside in shared memory after every 2,048 keys: see `attention_triton`.
"""

from typing import Any, Final

import torch
import triton
from torch import Tensor
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mbarrier,
    tma,
    warpgroup_mma,
    warpgroup_mma_wait,
)
from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

from wanvideo.kernels.attention_triton import quantize_tokens, quantize_values

ROWS: Final = 64  # queries of one group of warps; two groups share a tile
KEYS: Final = 128  # of a tile
HEAD: Final = 128  # channels of a head
FLUSH = gl.constexpr(16)  # tiles of keys whose 8-bit products the tensor cores sum up before the sum is set aside

# Its name until Triton 3.7, and since.
_load_tile = getattr(tma, "async_load", None) or tma.async_copy_global_to_shared


@gluon.jit
def _hide(logits, start, keys, KEYS: gl.constexpr, layout: gl.constexpr):
    """Without the keys of this tile that do not exist."""
    key = start + gl.arange(0, KEYS, layout=gl.SliceLayout(0, layout))
    return gl.where((key < keys)[None, :], logits, -float("inf"))


@gluon.jit
def _operand(weights, ROWS: gl.constexpr, KEYS: gl.constexpr, layout: gl.constexpr, EIGHT: gl.constexpr):
    """Weights as the second product takes them, without leaving their registers."""
    if EIGHT:
        ordered = weights.reshape([ROWS, KEYS // 32, 2, 2, 4, 2]).permute((0, 1, 2, 4, 3, 5)).reshape([ROWS, KEYS])
        # Triton's own conversion makes bytes of pairs and packs them again, for as many instructions as softmax has.
        operand = gl.inline_asm_elementwise(
            "{ .reg .b16 a, b; cvt.rn.satfinite.e4m3x2.f32 a, $2, $1; cvt.rn.satfinite.e4m3x2.f32 b, $4, $3;"
            " mov.b32 $0, {a, b}; }",
            "=r,r,r,r,r", [gl.convert_layout(ordered, layout)], dtype=gl.float8e4nv, is_pure=True, pack=4,
        )  # fmt: skip
    else:
        operand = gl.convert_layout(weights.to(gl.bfloat16), layout)
    return operand


@gluon.jit
def _consume(
    GROUP: gl.constexpr, q_tiles, k_tiles, v_tiles, aside_tiles, q_here, k_here, k_free, v_here, v_free,
    q_scale_ptr, k_scale_ptr, v_scale_ptr, out_ptr, length, keys, q_pitch, heads, ROWS: gl.constexpr,
    KEYS: gl.constexpr, HEAD: gl.constexpr, STAGES: gl.constexpr, EIGHT: gl.constexpr,
):  # fmt: skip
    """64 queries against all keys."""
    depth: gl.constexpr = 32 if EIGHT else 16  # channels, or keys, of one instruction
    logits_at: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, KEYS, depth])
    acc_at: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, HEAD, depth])
    operand_at: gl.constexpr = gl.DotOperandLayout(0, acc_at, 4 if EIGHT else 2)
    row_at: gl.constexpr = gl.SliceLayout(1, logits_at)
    out_at: gl.constexpr = gl.SliceLayout(1, acc_at)
    # 448 = 2^8.807 is the largest float8: the weights use its whole range, and `total` is as many times too large.
    raised: gl.constexpr = 8.807 if EIGHT else 0.0
    softmax_scale: gl.constexpr = 1.4426950408889634 * HEAD**-0.5  # of powers of 2
    tiles = gl.cdiv(keys, KEYS)
    bn = gl.program_id(1)
    row = gl.program_id(0) * (2 * ROWS) + GROUP * ROWS
    if EIGHT:
        own = gl.load(q_scale_ptr + bn.to(gl.int64) * q_pitch + row + gl.arange(0, ROWS, layout=row_at)) * softmax_scale
        scale = own * gl.load(k_scale_ptr + bn * tiles)
    else:
        own = gl.full([ROWS], 1.0, gl.float32, row_at) * softmax_scale
        scale = own
    zeros = gl.zeros([ROWS, KEYS], gl.float32, logits_at)
    q = q_tiles.index(GROUP)
    mbarrier.wait(q_here, 0)
    mbarrier.wait(k_here.index(0), 0)
    coming = warpgroup_mma(q, k_tiles.index(0).permute((1, 0)), zeros, use_acc=False, is_async=True)
    logits = warpgroup_mma_wait(0, deps=[coming])
    mbarrier.arrive(k_free.index(0), count=1)
    if keys < KEYS:
        logits = _hide(logits, 0, keys, KEYS, logits_at)
    top = gl.max(logits, 1) * scale
    weights = gl.exp2(logits * scale[:, None] - (top - raised)[:, None])
    total = gl.sum(weights, 1)
    acc = gl.zeros([ROWS, HEAD], gl.float32, acc_at)
    if EIGHT:
        aside = aside_tiles.index(GROUP)
        aside.store(acc)
    # What goes round the loop is float32 in 8 bits: loops take bytes apart.
    if not EIGHT:
        weights = _operand(weights, ROWS, KEYS, operand_at, EIGHT)
    aside_top = top
    # The groups set their sums aside at different times, so that one multiplies while the other does.
    for begin in range(-GROUP * (FLUSH // 2) if EIGHT else 0, tiles, FLUSH if EIGHT else tiles):
        for tile in range(max(begin, 1), min(begin + FLUSH, tiles) if EIGHT else tiles):
            if EIGHT:
                operand = _operand(weights, ROWS, KEYS, operand_at, EIGHT)
                scale = own * gl.load(k_scale_ptr + bn * tiles + tile)
            else:
                operand = weights
            stage, turn = tile % STAGES, (tile // STAGES) & 1
            last, last_turn = (tile - 1) % STAGES, ((tile - 1) // STAGES) & 1
            mbarrier.wait(k_here.index(stage), turn)
            coming = warpgroup_mma(q, k_tiles.index(stage).permute((1, 0)), zeros, use_acc=False, is_async=True)
            mbarrier.wait(v_here.index(last), last_turn)
            v = v_tiles.index(last)
            if EIGHT:
                v = v.permute((1, 0))
            summing = warpgroup_mma(operand, v, acc, is_async=True)
            logits = warpgroup_mma_wait(1, deps=[coming])
            mbarrier.arrive(k_free.index(stage), count=1)
            if (tile + 1) * KEYS > keys:
                logits = _hide(logits, tile * KEYS, keys, KEYS, logits_at)
            new_top = gl.maximum(top, gl.max(logits, 1) * scale)
            fading = gl.exp2(top - new_top)
            weights = gl.exp2(logits * scale[:, None] - (new_top - raised)[:, None])
            total = total * fading + gl.sum(weights, 1)
            top = new_top
            # This waits for nothing. But ptxas moves the wait for the sums before the exponentials, unless there is
            # another one between them; in 8 bits it had better do so.
            if not EIGHT:
                mbarrier.wait(v_here.index(last), last_turn)
            acc = warpgroup_mma_wait(0, deps=[summing])
            mbarrier.arrive(v_free.index(last), count=1)
            acc = acc * gl.convert_layout(fading, out_at)[:, None]
            if not EIGHT:
                weights = _operand(weights, ROWS, KEYS, operand_at, EIGHT)
        if EIGHT:
            kept = aside.load(acc_at) * gl.convert_layout(gl.exp2(aside_top - top), out_at)[:, None] + acc
            aside.store(kept)
            acc = gl.zeros([ROWS, HEAD], gl.float32, acc_at)
            aside_top = top
    operand = _operand(weights, ROWS, KEYS, operand_at, EIGHT) if EIGHT else weights
    last = (tiles - 1) % STAGES
    mbarrier.wait(v_here.index(last), ((tiles - 1) // STAGES) & 1)
    v = v_tiles.index(last)
    if EIGHT:
        v = v.permute((1, 0))
    summing = warpgroup_mma(operand, v, acc, is_async=True)
    acc = warpgroup_mma_wait(0, deps=[summing])
    if EIGHT:
        acc += aside.load(acc_at) * gl.convert_layout(gl.exp2(aside_top - top), out_at)[:, None]
    acc = acc / gl.convert_layout(total, out_at)[:, None]
    channel = gl.arange(0, HEAD, layout=gl.SliceLayout(0, acc_at))
    if EIGHT:
        scale_at = v_scale_ptr + bn * HEAD + channel
        acc = acc * gl.load(scale_at)[None, :] + gl.load(scale_at + gl.num_programs(1) * HEAD)[None, :]
    token = row + gl.arange(0, ROWS, layout=out_at)
    place = ((bn // heads).to(gl.int64) * length + token) * heads + bn % heads
    target = out_ptr + place[:, None] * HEAD + channel[None, :]
    gl.store(target, acc.to(out_ptr.dtype.element_ty), mask=(token < length)[:, None])


@gluon.jit
def _first(
    given, ROWS: gl.constexpr, KEYS: gl.constexpr, HEAD: gl.constexpr, STAGES: gl.constexpr, EIGHT: gl.constexpr
):
    _consume(0, *given, ROWS, KEYS, HEAD, STAGES, EIGHT)


@gluon.jit
def _second(
    given, ROWS: gl.constexpr, KEYS: gl.constexpr, HEAD: gl.constexpr, STAGES: gl.constexpr, EIGHT: gl.constexpr
):
    _consume(1, *given, ROWS, KEYS, HEAD, STAGES, EIGHT)


@gluon.jit
def _third(
    wanted, ROWS: gl.constexpr, KEYS: gl.constexpr, HEAD: gl.constexpr, STAGES: gl.constexpr, EIGHT: gl.constexpr
):
    _produce(*wanted, ROWS, KEYS, HEAD, STAGES, EIGHT)


@gluon.jit
def _start(bn, heads, pitch, HEAD: gl.constexpr, EIGHT: gl.constexpr):
    """Row and column of the first token of a head: in [B N L, HEAD] in 8 bits, in [B L, N HEAD] in 16."""
    if EIGHT:
        return bn * pitch, 0
    else:  # noqa: RET505 - of branches that are known when this is compiled, one is left
        return (bn // heads) * pitch, (bn % heads) * HEAD


@gluon.jit
def _produce(
    q_desc, k_desc, v_desc, q_tiles, k_tiles, v_tiles, q_here, k_here, k_free, v_here, v_free,
    q_pitch, k_pitch, keys, heads, ROWS: gl.constexpr, KEYS: gl.constexpr, HEAD: gl.constexpr, STAGES: gl.constexpr,
    EIGHT: gl.constexpr,
):  # fmt: skip
    """Fetch the queries, then every tile of keys and values as soon as both groups are done with its place."""
    size: gl.constexpr = 1 if EIGHT else 2  # bytes
    bn = gl.program_id(1)
    row, column = _start(bn, heads, q_pitch, HEAD, EIGHT)
    row += gl.program_id(0) * 2 * ROWS
    mbarrier.expect(q_here, 2 * ROWS * HEAD * size)
    _load_tile(q_desc, [row, column], q_here, q_tiles.index(0))
    _load_tile(q_desc, [row + ROWS, column], q_here, q_tiles.index(1))
    row, column = _start(bn, heads, k_pitch, HEAD, EIGHT)
    for tile in range(gl.cdiv(keys, KEYS)):
        stage, turn = tile % STAGES, ((tile // STAGES) & 1) ^ 1
        mbarrier.wait(k_free.index(stage), turn)
        mbarrier.expect(k_here.index(stage), KEYS * HEAD * size)
        _load_tile(k_desc, [row + tile * KEYS, column], k_here.index(stage), k_tiles.index(stage))
        mbarrier.wait(v_free.index(stage), turn)
        mbarrier.expect(v_here.index(stage), KEYS * HEAD * size)
        if EIGHT:
            _load_tile(v_desc, [bn * HEAD, tile * KEYS], v_here.index(stage), v_tiles.index(stage))
        else:
            _load_tile(v_desc, [row + tile * KEYS, column], v_here.index(stage), v_tiles.index(stage))


@gluon.jit
def _attend(
    q_desc, k_desc, v_desc, q_scale_ptr, k_scale_ptr, v_scale_ptr, out_ptr, length, keys, q_pitch, k_pitch,
    heads, ROWS: gl.constexpr, KEYS: gl.constexpr, HEAD: gl.constexpr, STAGES: gl.constexpr, EIGHT: gl.constexpr,
):  # fmt: skip
    q_tiles = gl.allocate_shared_memory(q_desc.dtype, [2, ROWS, HEAD], q_desc.layout)
    k_tiles = gl.allocate_shared_memory(k_desc.dtype, [STAGES, KEYS, HEAD], k_desc.layout)
    v_tiles = gl.allocate_shared_memory(
        v_desc.dtype, [STAGES, HEAD, KEYS] if EIGHT else [STAGES, KEYS, HEAD], v_desc.layout
    )
    aside_at: gl.constexpr = gl.NVMMASharedLayout.get_default_for([ROWS, HEAD], gl.float32)
    aside_tiles = gl.allocate_shared_memory(gl.float32, [2, ROWS, HEAD], aside_at) if EIGHT else q_tiles
    q_here = gl.allocate_shared_memory(gl.int64, [1], mbarrier.MBarrierLayout())
    k_here = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    k_free = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    v_here = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    v_free = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    mbarrier.init(q_here, count=1)
    for stage in gl.static_range(STAGES):
        mbarrier.init(k_here.index(stage), count=1)
        mbarrier.init(k_free.index(stage), count=2)
        mbarrier.init(v_here.index(stage), count=1)
        mbarrier.init(v_free.index(stage), count=2)
    fence_async_shared()
    given = (
        q_tiles, k_tiles, v_tiles, aside_tiles, q_here, k_here, k_free, v_here, v_free, q_scale_ptr, k_scale_ptr,
        v_scale_ptr, out_ptr, length, keys, q_pitch, heads,
    )  # fmt: skip
    wanted = (
        q_desc, k_desc, v_desc, q_tiles, k_tiles, v_tiles, q_here, k_here, k_free, v_here, v_free,
        q_pitch, k_pitch, keys, heads,
    )  # fmt: skip
    gl.warp_specialize(
        [
            (_first, (given, ROWS, KEYS, HEAD, STAGES, EIGHT)),
            (_second, (given, ROWS, KEYS, HEAD, STAGES, EIGHT)),
            (_third, (wanted, ROWS, KEYS, HEAD, STAGES, EIGHT)),
        ],
        [4, 1],
        [240, 24],  # registers of a thread: those who compute take what the one who fetches does not need
    )


def attention_bf16(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """q [B, L, N, 128], k and v [B, S, N, 128], all bfloat16 -> [B, L, N, 128]. Heads must lie side by side."""
    batch, length, heads, _ = q.shape
    out = torch.empty((batch, length, heads, HEAD), dtype=q.dtype, device=q.device)
    described, pitches = [], []
    for x, rows in ((q, ROWS), (k, KEYS), (v, KEYS)):
        tokens = x if _is_flat(x) else x.contiguous()
        pitch = tokens.stride(0) // tokens.stride(1) if batch > 1 else tokens.shape[1]
        shape = [(batch - 1) * pitch + tokens.shape[1], heads * HEAD]
        layout = gl.NVMMASharedLayout.get_default_for([rows, HEAD], gl.bfloat16)
        described.append(TensorDescriptor(tokens, shape, [tokens.stride(1), 1], [rows, HEAD], layout))
        pitches.append(pitch)
    if pitches[1] != pitches[2]:
        return attention_bf16(q, k.contiguous(), v.contiguous())
    _launch(described, (out, out, out), out, k.shape[1], (pitches[0], pitches[1]), stages=2, eight=False)
    return out


def attention_fp8(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """As `attention_bf16`, with float8 products; how numbers are rounded is said in `attention_triton`.

    On inputs from a normal distribution the relative error is 0.051.
    """
    batch, length, heads, _ = q.shape
    fp8 = torch.float8_e4m3fn
    q8, q_scale = quantize_tokens(q, fp8, per_token=True)
    k8, k_scale = quantize_tokens(k, fp8, per_token=False, mean=k.mean(1, dtype=torch.float32))
    v8, v_scale, v_offset = quantize_values(v, in_key_order=True)
    out = torch.empty((batch, length, heads, HEAD), dtype=q.dtype, device=q.device)
    blocks = [[ROWS, HEAD], [KEYS, HEAD], [HEAD, KEYS]]
    described = [
        TensorDescriptor.from_tensor(x.flatten(0, 1), block, gl.NVMMASharedLayout.get_default_for(block, gl.float8e4nv))
        for x, block in zip((q8, k8, v8), blocks, strict=True)
    ]
    scales = q_scale, k_scale, torch.stack([v_scale, v_offset])
    _launch(described, scales, out, k.shape[1], (q8.shape[1], k8.shape[1]), stages=3, eight=True)
    return out


def _launch(
    described: list[Any],
    scales: tuple[Tensor, Tensor, Tensor],
    out: Tensor,
    keys: int,
    pitches: tuple[int, int],
    *,
    stages: int,
    eight: bool,
) -> None:
    batch, length, heads, _ = out.shape
    _attend[triton.cdiv(length, 2 * ROWS), batch * heads](
        *described, *scales, out, length, keys, *pitches, heads,
        ROWS=ROWS, KEYS=KEYS, HEAD=HEAD, STAGES=stages, EIGHT=eight, num_warps=4,
    )  # fmt: skip


def _is_flat(x: Tensor) -> bool:
    """Whether x [B, L, N, 128] is a matrix with a token in each row, and rows begin at multiples of 16 bytes."""
    heads_follow = x.stride(3) == 1 and (x.shape[2] == 1 or x.stride(2) == HEAD)
    rows_follow = x.shape[0] == 1 or x.stride(0) % x.stride(1) == 0
    return heads_follow and rows_follow and x.stride(1) % 8 == 0 and x.data_ptr() % 16 == 0
