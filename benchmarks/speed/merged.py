"""One product for q, k and v of self-attention against three, and what its split costs the kernels that follow."""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from benchmarks.speed.bench import Bench
from benchmarks.speed.clock import measure
from benchmarks.speed.record import OURS
from benchmarks.speed.shapes import Shape
from wanvideo.kernels.attention import attention
from wanvideo.kernels.eight_bit import FP8, Rounded, multiply, round_rows
from wanvideo.kernels.rope import norm_rope
from wanvideo.models.rope import rope_table

PART: Final = "merged"
Parts = tuple[Tensor, Tensor, Tensor]  # q, k, v [1, L, D]


def run(bench: Bench) -> None:
    torch.manual_seed(0)
    for shape in bench.shapes:
        tokens, D = shape.tokens, shape.config.dim
        case = f"{shape.name}, {D} -> {3 * D}, {tokens} rows"
        x = torch.randn(1, tokens, D, device=bench.device, dtype=bench.dtype)
        weight = torch.randn(3 * D, D, device=bench.device, dtype=bench.dtype) * D**-0.5
        products = {"native": _native(x, weight), "fp8": _float8(x, weight)}
        for kind, (three, one) in products.items():
            for name, product in (("three products", three), ("one product", one)):
                with bench.case(PART, case, f"{OURS} {kind}, {name}") as row:
                    row |= measure(product, bench.device, repeats=4 * bench.repeats).numbers
        _followers(bench, shape, case, products["native"])


def _native(x: Tensor, weight: Tensor) -> tuple[Callable[[], Parts], Callable[[], Parts]]:
    q, k, v = weight.chunk(3)
    return lambda: (x @ q.T, x @ k.T, x @ v.T), lambda: _split(x @ weight.T)


def _float8(x: Tensor, weight: Tensor) -> tuple[Callable[[], Parts], Callable[[], Parts]]:
    """The input is rounded already, as by the norm before it."""
    rows, wide = round_rows(x, FP8), round_rows(weight, FP8)
    q, k, v = zip(wide.values.chunk(3), wide.scale.chunk(3), strict=True)

    def times(weight: tuple[Tensor, Tensor], rows: Rounded = rows) -> Tensor:
        return multiply(rows, *weight, None)

    return lambda: (times(q), times(k), times(v)), lambda: _split(times((wide.values, wide.scale)))


def _split(qkv: Tensor) -> Parts:
    q, k, v = qkv.chunk(3, dim=-1)
    return q, k, v


def _followers(
    bench: Bench, shape: Shape, case: str, products: tuple[Callable[[], Parts], Callable[[], Parts]]
) -> None:
    """Norm and rotation of q and k, and attention, on tensors of their own and on thirds of one."""
    heads, eps = shape.config.num_heads, shape.config.eps
    rope = rope_table(shape.grid, shape.config.head_dim, bench.device)
    weight = torch.ones(shape.config.dim, device=bench.device)
    for name, product in zip(("of three products", "of one product"), products, strict=True):
        with torch.no_grad():
            q, k, v = product()
        apart = [t.unflatten(-1, (heads, -1)) for t in (q, k, v)]

        def norms(q: Tensor = q, k: Tensor = k) -> None:
            for t in (q, k):
                norm_rope(t, weight, rope, heads=heads, eps=eps)

        def attend(apart: list[Tensor] = apart) -> Tensor:
            return attention(*apart)

        for what, call in (("norm and rotation of q and k", norms), ("attention", attend)):
            with bench.case(PART, case, f"{OURS} exact, {what} {name}") as row:
                row |= measure(call, bench.device, repeats=4 * bench.repeats).numbers
