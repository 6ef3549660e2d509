"""The tier `fast`: products of 8-bit numbers in the blocks of a transformer, and 8-bit attention.

Each row of a weight has a scale of its own, and so has each token of what it is multiplied with, at the moment of the
product. Sums, norms, the residual stream and all that is not in a block stay as they are; so do the keys and values of
the text, whose products are small.
"""

import weakref
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wanvideo.kernels.fp8 import FP8, LARGEST, multiply, quantize_rows
from wanvideo.models.transformer import FeedForward, WanTransformer
from wanvideo.weights.quantized import QuantizedLinear

# Of a block. The text has 512 tokens, a video tens of thousands.
LINEARS: Final = (
    "self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "cross_attn.q", "cross_attn.o", "ffn.0", "ffn.2",
)  # fmt: skip


class Rows:
    """Quantises what goes into a Linear; for several that are given the same tensor one after the other, once."""

    def __init__(self) -> None:
        self._of: weakref.ref[Tensor] | None = None
        self._made: tuple[Tensor, Tensor] | None = None

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self._of is None or self._of() is not x or self._made is None:
            self._made = None  # before more memory is asked for
            self._made = quantize_rows(x.flatten(0, -2))
            self._of = weakref.ref(x)
        return self._made

    def forget(self) -> None:
        self._of = self._made = None


class Fp8Linear(nn.Module):
    """Like `nn.Linear`, with a float8 weight [N, K], a scale [N, 1] for each of its rows, and float8 inputs."""

    weight: Tensor
    scale: Tensor

    def __init__(self, weight: Tensor, scale: Tensor, bias: nn.Parameter | None, rows: Rows) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.bias = bias
        self.rows = rows

    def forward(self, x: Tensor) -> Tensor:
        return self._multiply(x, *self.rows(x))

    def of_gelu(self, x: Tensor) -> Tensor:
        """Of gelu(x)."""
        self.rows.forget()
        return self._multiply(x, *quantize_rows(x.flatten(0, -2), gelu=True))

    def _multiply(self, x: Tensor, rows: Tensor, scale: Tensor) -> Tensor:
        out = multiply(rows, scale, self.weight, self.scale, self.bias, x.dtype)
        return out.unflatten(0, x.shape[:-1])  # type: ignore[no-any-return]


class Fp8FeedForward(FeedForward):
    """The GELU between the Linears joins the rounding to float8."""

    def __init__(self, *layers: nn.Module) -> None:
        nn.Sequential.__init__(self, *layers)

    def forward(self, x: Tensor) -> Tensor:
        up, _, down = self
        hidden = up(x)
        if isinstance(down, Fp8Linear):
            return down.of_gelu(hidden)
        return down(F.gelu(hidden, approximate="tanh"))  # type: ignore[no-any-return]


def quantize_fp8(transformer: WanTransformer, device: torch.device | None = None) -> None:
    """Replace the Linears of the blocks of `transformer` by float8 ones, one after the other.

    device: where to compute; the weights come to lie where they were. What is stored in float8 with scales already is
    taken as it is; what is stored in other 8-bit types, or fewer bits, stays as it is.
    """
    rows = Rows()
    for block in transformer.blocks:
        for name in LINEARS:
            old = block.get_submodule(name)
            if (new := _quantized(old, rows, device)) is not None:
                block.set_submodule(name, new)
        block.set_submodule("ffn", Fp8FeedForward(*block.get_submodule("ffn").children()))


def _quantized(old: nn.Module, rows: Rows, device: torch.device | None) -> Fp8Linear | None:
    if isinstance(old, QuantizedLinear) and old.kind == "F8_E4M3":
        scale = torch.ones(1, 1) if old.scale is None else old.scale
        scale = scale.float().reshape(-1, 1).expand(old.stored.shape[0], 1).contiguous()
        return Fp8Linear(old.stored, scale.to(old.stored.device), old.bias, rows)
    if type(old) is not nn.Linear:
        return None
    weight = old.weight.detach()
    wide = weight.to(device or weight.device).float()
    scale = wide.abs().amax(1, keepdim=True).clamp_min(1e-12) / LARGEST
    return Fp8Linear((wide / scale).to(FP8).to(weight.device), scale.to(weight.device), old.bias, rows)
