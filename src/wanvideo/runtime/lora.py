"""LoRAs on a transformer, from outside: added for a while, and then gone without a trace.

What a Linear computes gets the LoRA's part added beside it, by a module in its place that calls it. The weights of the
Linear are never touched, so it may store them in any way (8 bits, GGUF, in host memory until they are needed). The few
parameters that the network reads by itself (norms, modulation, patch embedding, head) are replaced by a sum, and the
original is put back. Either way the way back is exact: the same objects with the same bits.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wanvideo.errors import LoraUnsupported
from wanvideo.kernels.eight_bit import Rounded, multiply, round_rows
from wanvideo.kernels.linear import is_linear
from wanvideo.models.transformer import keeps_fp32
from wanvideo.runtime.quantize import EightBitLinear
from wanvideo.weights.lora.tensors import Delta

_RANKS: Final = 16  # ranks that are multiplied in 8 bits are a multiple of it
# The modules that the network calls; from others, such as the head, it takes the parameters and computes by itself.
_CALLED: Final = re.compile(
    r"blocks\.\d+\.((self|cross)_attn\.[qkvo]|ffn\.[02])|(text|time)_embedding\.\d|time_projection\.1"
)


class Branch(nn.Module):
    """A module that is called like a Linear, and beside it what a LoRA adds. Everything else is the module's own."""

    down: Tensor | None
    up: Tensor | None
    diff: Tensor | None
    diff_bias: Tensor | None

    def __init__(self, base: nn.Module, delta: Delta, *, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__()
        self.base = base
        for name in ("down", "up", "diff", "diff_bias"):
            tensor: Tensor | None = getattr(delta, name)
            placed = None if tensor is None else tensor.to(device=device, dtype=dtype)
            self.register_buffer(name, placed, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> [..., out] in the dtype of the module."""
        thin = None if self.down is None else F.linear(x.to(self.down.dtype), self.down).flatten(0, -2)
        if thin is not None and self.diff is None and is_linear(self.base) and x.dtype == thin.dtype:
            return self._within(x, thin)
        y: Tensor = self.base(x)
        # Added in place, to the output that the base has just made: one pass over it, and one rounding.
        rows = y.reshape(-1, y.shape[-1])
        if thin is not None and self.up is not None:
            rows.addmm_(thin.to(y.dtype), self.up.to(y.dtype).T)
        if self.diff is not None:
            rows.addmm_(x.flatten(0, -2).to(y.dtype), self.diff.to(y.dtype).T)
        if self.diff_bias is not None:
            rows.add_(self.diff_bias.to(y.dtype))
        return rows.view(y.shape)

    def _within(self, x: Tensor, thin: Tensor) -> Tensor:
        """The LoRA's part first; the large product of the base then ends with adding to it, without a pass more."""
        assert self.up is not None
        weight, bias, more = self.base.weight, self.base.bias, self.diff_bias
        assert isinstance(weight, Tensor)
        if isinstance(bias, Tensor):
            more = bias if more is None else bias + more
        return F.linear(thin, self.up, more).addmm_(x.flatten(0, -2), weight.T).unflatten(0, x.shape[:-1])  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        """What is asked of the module in whose place this stands, such as the dtype of its weight."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("base"), name)


class EightBitBranch(Branch):
    """The same beside a Linear of the tier fast: `down` is rounded as the weight is, and reads what that reads.

    down [r, in] in 8 bits, scale_of_down [r, 1] float32, r a multiple of 16; up [out, r] in the dtype of the network.
    """

    takes_rounded: Final = True  # see `runtime.quantize`
    scale_of_down: Tensor

    def __init__(self, base: EightBitLinear, delta: Delta, *, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(base, delta, device=device, dtype=dtype)
        if self.up is not None and self.down is not None:
            missing = -self.up.shape[1] % _RANKS
            self.up = F.pad(self.up, (0, missing))
            rounded = round_rows(F.pad(self.down, (0, 0, 0, missing)), base.kind)
            self.down = rounded.values
            self.register_buffer("scale_of_down", rounded.scale, persistent=False)

    def forward(self, x: Tensor | Rounded) -> Tensor:
        """x [..., in] -> [..., out]."""
        rounded = x if isinstance(x, Rounded) else round_rows(x, self.base.kind)  # type: ignore[arg-type]
        y: Tensor = self.base(rounded)
        rows = y.flatten(0, -2)
        if self.up is not None and self.down is not None:
            thin = multiply(rounded, self.down, self.scale_of_down, None)
            rows.addmm_(thin.flatten(0, -2), self.up.T)
        if self.diff_bias is not None:
            rows.add_(self.diff_bias)
        return y


@torch.no_grad()
def branch_for(base: nn.Module, delta: Delta, *, device: torch.device, dtype: torch.dtype) -> Branch:
    """What stands in the place of `base` while the LoRA is applied; `dtype` of its matrices."""
    if isinstance(base, EightBitLinear) and delta.diff is None:
        return EightBitBranch(base, delta, device=device, dtype=dtype)
    return Branch(base, delta, device=device, dtype=dtype)


@contextmanager
def applied(
    transformer: nn.Module, deltas: Mapping[str, Delta], *, device: torch.device, dtype: torch.dtype
) -> Iterator[None]:
    """`transformer` with LoRAs while the block runs; `deltas` by the official names of modules.

    dtype: of the side branches, except where the network computes in float32.
    """
    with ExitStack() as undo:
        for name, delta in deltas.items():
            if _CALLED.fullmatch(name):
                kind = torch.float32 if keeps_fp32(f"{name}.weight") else dtype
                branch = branch_for(transformer.get_submodule(name), delta, device=device, dtype=kind)
                undo.enter_context(_in_place_of(transformer, name, branch))
                continue
            weight = name if name.endswith("modulation") else f"{name}.weight"
            for parameter, difference in ((weight, delta.weight()), (f"{name}.bias", delta.diff_bias)):
                if difference is not None:
                    undo.enter_context(_in_place_of(transformer, parameter, _sum(transformer, parameter, difference)))
        yield


@contextmanager
def _in_place_of(root: nn.Module, name: str, new: nn.Module | nn.Parameter) -> Iterator[None]:
    parent_name, _, leaf = name.rpartition(".")
    parent = root.get_submodule(parent_name)
    original = getattr(parent, leaf)
    setattr(parent, leaf, new)
    try:
        yield
    finally:
        setattr(parent, leaf, original)


def _sum(transformer: nn.Module, name: str, difference: Tensor) -> nn.Parameter:
    """A new parameter, rounded once, from float32. Raises LoraUnsupported if the old one is not stored as numbers."""
    parent, _, leaf = name.rpartition(".")
    stored = getattr(transformer.get_submodule(parent), leaf, None)
    if not isinstance(stored, nn.Parameter) or not stored.is_floating_point() or stored.shape != difference.shape:
        raise LoraUnsupported(
            f"{name} is stored in a way that nothing can be added to, and a LoRA changes it: "
            "use the model in bfloat16, or leave the LoRA out",
            facts={"parameter": name},
        )
    total = stored.detach().float() + difference.to(stored.device)
    return nn.Parameter(total.to(stored.dtype), requires_grad=False)
