"""Where networks run, and in which precision: what users write, checked."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

from wanvideo.errors import InvalidRequest
from wanvideo.runtime.machine import BF16

DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick_device(name: str | None) -> torch.device:
    """A GPU always with its number, without which PyTorch does not limit its memory. Raises InvalidRequest."""
    if name is None or name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InvalidRequest(f"no device is called {name!r}: use auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise InvalidRequest(f"{name} cannot be used: use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InvalidRequest(f"{name} is not there: PyTorch finds {torch.cuda.device_count()} CUDA devices; use cpu")
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def usual_dtype(device: torch.device) -> torch.dtype:
    """Of transformers: 16 bits that the GPU multiplies, and on a CPU float32 (docs/decisions/0013)."""
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.get_device_capability(device) >= BF16 else torch.float16


@contextmanager
def float32_sums(dtype: torch.dtype) -> Iterator[None]:
    """If that is float16, let products add up in float32 alone while the block runs; PyTorch may do otherwise."""
    if dtype is not torch.float16:
        yield
        return
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_fp16_reduced_precision_reduction
    matmul.allow_fp16_reduced_precision_reduction = False
    try:
        yield
    finally:
        matmul.allow_fp16_reduced_precision_reduction = before


def pick_dtype(value: str | torch.dtype | None, default: torch.dtype) -> torch.dtype:
    if value is None:
        return default
    dtype = DTYPES.get(str(value).removeprefix("torch."))
    if dtype is None:
        raise InvalidRequest(f"dtype {value} cannot be used: there are {', '.join(DTYPES)}")
    return dtype


@contextmanager
def limited_memory(device: torch.device, limit: int | None) -> Iterator[None]:
    """Let PyTorch take at most `limit` bytes of a GPU while the block runs; None: all there is."""
    if device.type != "cuda" or limit is None:
        yield
        return
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total), device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
