"""The most memory that a fused decode takes at full size, without a GPU and without a number being computed.

Tensors have sizes and no content (device "meta"), kernels write nothing, and convolutions and attention are taken to
need no scratch memory, so that the bytes alive after every operation are those of the same decode on a GPU.
"""

import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.runtime.counting import Counted
from wanvideo.kernels import vae as kernels


def peak_bytes(monkeypatch: pytest.MonkeyPatch, run: Callable[[], object], *, fused: bool = True) -> int:
    """The most bytes alive at once of what `run` makes; not `fused`: without our kernels."""
    silent = ModuleType("wanvideo.kernels.vae_triton")
    for name in ("norm_silu_triton", "add_triton_", "add_averaged_triton_", "join_phases_triton"):
        setattr(silent, name, lambda *_: None)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, silent.__name__, silent)
        patch.setattr(kernels, "_use_triton", lambda x: fused and x.device.type == "meta")
        patch.setattr(F, "conv3d", partial(_convolution, layout=torch.channels_last_3d))
        patch.setattr(F, "conv2d", partial(_convolution, layout=torch.channels_last))
        patch.setattr(F, "scaled_dot_product_attention", lambda q, _k, _v: torch.empty_like(q))
        count = Counted()
        with count, torch.no_grad():
            run()
    return count.peak


def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, ...] = 1,
    padding: int | tuple[int, ...] = 0,
    *,
    layout: torch.memory_format,
) -> Tensor:
    """What a convolution gives, without the copies that it makes on this device alone."""
    axes = x.dim() - 2
    strides, paddings = ((each,) * axes if isinstance(each, int) else each for each in (stride, padding))
    sides = (
        (side + 2 * pad - kernel) // step + 1
        for side, kernel, step, pad in zip(x.shape[2:], weight.shape[2:], strides, paddings, strict=True)
    )
    return torch.empty((x.shape[0], weight.shape[0], *sides), dtype=x.dtype, device=x.device, memory_format=layout)
