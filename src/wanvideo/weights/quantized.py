"""Layers whose weights stay in memory as they are stored, and are decoded in every call.

They take the place of `nn.Linear` and `nn.Embedding` from outside; the networks do not know. A decoded weight lives for
one call: reading it costs a few per cent of the time of the matrix product that follows.
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wanvideo.weights.dequantize import decode


class Quantized(nn.Module):
    """What both layers have: the weight as stored.

    stored [rows, ...] in the type of the file; scale [rows, 1] or [1, 1] float32; `kind` is the type of the numbers,
    such as "F8_E4M3" or "Q4_K"; `dtype` that of the decoded weight.
    """

    stored: Tensor
    scale: Tensor | None

    def __init__(self, stored: Tensor, scale: Tensor | None, *, kind: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.kind, self.dtype = kind, dtype
        self.register_buffer("stored", stored)
        self.register_buffer("scale", scale)

    @property
    def weight(self) -> Tensor:
        """The decoded weight, made anew."""
        return decode(self.stored, self.kind, self.scale, self.dtype)

    def extra_repr(self) -> str:
        return f"{self.stored.shape[0]} rows, kind={self.kind}, dtype={self.dtype}"


class QuantizedLinear(Quantized):
    """Like `nn.Linear`, for inputs in the dtype of the decoded weight."""

    is_linear: Final = True  # see `kernels.linear`

    def __init__(
        self, stored: Tensor, scale: Tensor | None, bias: nn.Parameter | None, *, kind: str, dtype: torch.dtype
    ) -> None:
        super().__init__(stored, scale, kind=kind, dtype=dtype)
        self.bias = bias

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class QuantizedEmbedding(Quantized):
    """Like `nn.Embedding`; only the rows that are asked for are decoded."""

    def forward(self, ids: Tensor) -> Tensor:
        # Rows are taken as bytes: indexing does not know every 8-bit type.
        rows = self.stored.view(torch.uint8)[ids.flatten()].view(self.stored.dtype)
        scale = self.scale if self.scale is None or self.scale.shape[0] == 1 else self.scale[ids.flatten()]
        return decode(rows, self.kind, scale, self.dtype).reshape(*ids.shape, -1)
