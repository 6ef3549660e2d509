"""Attention over all tokens, without a mask, by whichever implementation is fastest and right on this machine."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from functools import cache
from importlib.util import find_spec
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from wanvideo.kernels.backend import has_kernel

log = logging.getLogger(__name__)


class Backend(StrEnum):
    """An implementation of attention."""

    SDPA = "sdpa"  # PyTorch's: cuDNN, flash, or what there is
    HOPPER = "hopper"  # our own, on GPUs of compute capability 9.0
    FLASH4 = "flash4"  # the package flash_attn.cute, for Blackwell and Hopper
    FLASH3 = "flash3"  # the package flash_attn_interface, on Hopper
    HOPPER_8BIT = "hopper, 8-bit"  # our own there, with 8-bit products
    EIGHT_BIT = "8-bit"  # our own: 8-bit products, on GPUs that have float8
    SAGE = "sage"  # the package sageattention: 8-bit products


EXACT: Final = (Backend.HOPPER, Backend.FLASH4, Backend.FLASH3, Backend.SDPA)
_MANY: Final = 32_768  # keys in the self-test
LONG: Final = 1024  # tokens, from which the choice of an implementation matters
FAST: Final = (Backend.HOPPER_8BIT, Backend.EIGHT_BIT, Backend.SAGE, *EXACT)
# How far from float32 a right answer may be, relative, on the inputs of the self-test.
_TOLERANCE: Final[Mapping[Backend, float]] = {
    Backend.SDPA: 0.01, Backend.HOPPER: 0.01, Backend.FLASH4: 0.01, Backend.FLASH3: 0.01,
    Backend.HOPPER_8BIT: 0.08, Backend.EIGHT_BIT: 0.08, Backend.SAGE: 0.08,
}  # fmt: skip
_CUDNN_FIRST: Final = [
    SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH,
]  # fmt: skip

_wanted: Final[ContextVar[tuple[Backend, ...]]] = ContextVar("attention", default=EXACT)


@contextmanager
def attention_backends(*backends: Backend) -> Iterator[None]:
    """Self-attention by the first of `backends` that works here, while the block runs."""
    token = _wanted.set(backends)
    try:
        yield
    finally:
        _wanted.reset(token)


def padded_length(x: Tensor, length: int) -> int:
    """To how many tokens to fill up a video of `length`, so that attention is fastest where x is: multiples of 128.

    cuDNN on an H100, 40 heads: 641 TFLOP/s at 32,768 tokens, 590 at 32,760. Others do not care.
    """
    pays = has_kernel(x) and x.dtype.itemsize == 2 and length >= LONG  # float32 is asked for to be exact
    pays = pays and _first(_wanted.get(), x.device) is Backend.SDPA
    return -(-length // 128) * 128 if pays else length


def attention(q: Tensor, k: Tensor, v: Tensor, *, length: int | None = None) -> Tensor:
    """q [B, L, N, head_dim] asks k and v [B, S, N, head_dim] -> [B, L, N, head_dim].

    length: of the S keys, those that count; k and v behind them may be changed. Which implementation is used for long
    sequences is said by `attention_backends`.
    """
    if has_kernel(q) and k.shape[1] >= LONG and q.dtype == torch.bfloat16 and q.shape[-1] == 128:
        backend = _first(_wanted.get(), q.device)
        if backend is not Backend.SDPA:
            return _IMPLEMENTATIONS[backend](q, k[:, :length], v[:, :length])
    if length is not None and length < k.shape[1]:
        fill_up(k, v, length)
    return _sdpa(q, k, v)


def fill_up(k: Tensor, v: Tensor, length: int) -> None:
    """Let keys and values from `length` on be the means of those before them.

    The weight of a mean key is at most one average weight, whatever the query, since the mean of exponentials is no
    less than the exponential of the mean. So n more keys move a result towards the mean of all values by at most
    n / length, and where the weights are even, and that share is reached, the result is that mean already. For 832x480
    and 81 frames n / length is 8 / 32,760: a tenth of what rounding to bfloat16 does.
    """
    for x in (k, v):
        x[:, length:] = x[:, :length].mean(1, keepdim=True, dtype=torch.float32).to(x.dtype)


def _sdpa(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    if not q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
    with sdpa_kernel(_CUDNN_FIRST, set_priority=True):
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)


def _flash4(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    from flash_attn.cute import flash_attn_func

    out = flash_attn_func(q, k, v)
    return out[0] if isinstance(out, tuple) else out  # type: ignore[no-any-return]


def _flash3(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    from flash_attn_interface import flash_attn_func

    out = flash_attn_func(q, k, v)
    return out[0] if isinstance(out, tuple) else out  # type: ignore[no-any-return]


def _sage(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    from sageattention import sageattn

    return sageattn(q, k, v, tensor_layout="NHD")  # type: ignore[no-any-return]


def _hopper(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    from wanvideo.kernels.attention_hopper import attention_bf16

    return attention_bf16(q, k, v)


def _hopper_8bit(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    from wanvideo.kernels.attention_hopper import attention_fp8

    return attention_fp8(q, k, v)


def _8bit(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    from wanvideo.kernels.attention_triton import attention_8bit

    return attention_8bit(q, k, v)


_IMPLEMENTATIONS: Final[Mapping[Backend, Callable[[Tensor, Tensor, Tensor], Tensor]]] = {
    Backend.SDPA: _sdpa, Backend.HOPPER: _hopper, Backend.FLASH4: _flash4, Backend.FLASH3: _flash3,
    Backend.HOPPER_8BIT: _hopper_8bit, Backend.EIGHT_BIT: _8bit, Backend.SAGE: _sage,
}  # fmt: skip
# For which compute capabilities our own are; before Ada there is no float8.
_OURS: Final[Mapping[Backend, Callable[[tuple[int, int]], bool]]] = {
    Backend.HOPPER: (9, 0).__eq__, Backend.HOPPER_8BIT: (9, 0).__eq__, Backend.EIGHT_BIT: (8, 9).__le__,
}  # fmt: skip
_PACKAGES: Final[Mapping[Backend, str]] = {
    Backend.FLASH4: "flash_attn.cute", Backend.FLASH3: "flash_attn_interface", Backend.SAGE: "sageattention",
}  # fmt: skip


@cache
def _first(backends: tuple[Backend, ...], device: torch.device) -> Backend:
    for backend in backends:
        if _works(backend, device):
            return backend
    return Backend.SDPA


@cache
def _works(backend: Backend, device: torch.device) -> bool:
    """Whether it is here and gives the right answer; what is wrong with it is logged, once."""
    if (package := _PACKAGES.get(backend)) is not None and not _is_there(package):
        return False
    if backend in _OURS and (device.type != "cuda" or not _OURS[backend](torch.cuda.get_device_capability(device))):
        return False
    try:
        error = self_test(backend, device)
    except Exception as fault:  # noqa: BLE001 - somebody else's package may fail in any way; there are others
        log.warning("attention by %s does not work here and is not used: %s", backend, fault)
        return False
    if error > _TOLERANCE[backend]:
        log.warning("attention by %s is wrong here (by %.3f) and is not used", backend, error)
        return False
    return True


def _is_there(package: str) -> bool:
    """Whether a package, or a part of one, is installed."""
    whole, _, part = package.partition(".")
    return find_spec(whole) is not None and (not part or find_spec(package) is not None)


def self_test(backend: Backend, device: torch.device) -> float:
    """The relative error against float32: of a small attention, and of one with many keys and nearly even weights."""
    generator = torch.Generator().manual_seed(0)

    def draw(tokens: int) -> Tensor:
        return torch.randn(1, tokens, 2, 128, generator=generator).to(device, torch.bfloat16)

    # As in trained networks, not all is centred.
    small = draw(1100), draw(1100) + 1, draw(1100) + 0.5
    # Sums of 8-bit products that are not float32 lose what many keys have in common.
    even = draw(128), 0.1 * draw(_MANY), 0.3 * draw(_MANY) + 2
    return max(_error(backend, *inputs) for inputs in (small, even))


def _error(backend: Backend, q: Tensor, k: Tensor, v: Tensor) -> float:
    got = _IMPLEMENTATIONS[backend](q, k, v).float()
    heads = [t.float().transpose(1, 2) for t in (q, k, v)]
    right = (torch.softmax(heads[0] @ heads[1].mT * 128**-0.5, -1) @ heads[2]).transpose(1, 2)
    return float((got - right).norm() / right.norm())
