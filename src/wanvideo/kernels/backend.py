"""Whether GPU kernels can be used here."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.util import find_spec
from typing import Final

import torch
from torch import Tensor

_wanted: Final[ContextVar[bool]] = ContextVar("kernels", default=True)


@contextmanager
def without_kernels() -> Iterator[None]:
    """PyTorch alone while the block runs: what the kernels are compared with."""
    token = _wanted.set(False)
    try:
        yield
    finally:
        _wanted.reset(token)


def has_kernel(x: Tensor) -> bool:
    """Whether a Triton kernel can take `x`: on a GPU that has bfloat16, and where nobody asks for gradients."""
    return x.is_cuda and not torch.is_grad_enabled() and _wanted.get() and _triton(x.device.index)


@cache
def _triton(device: int) -> bool:
    return find_spec("triton") is not None and torch.cuda.get_device_capability(device) >= (8, 0)
