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
from wanvideo.models.transformer import keeps_fp32
from wanvideo.weights.lora.tensors import Delta

# The modules that the network calls; from others, such as the head, it takes the parameters and computes by itself.
_CALLED: Final = re.compile(
    r"blocks\.\d+\.((self|cross)_attn\.[qkvo]|ffn\.[02])|(text|time)_embedding\.\d|time_projection\.1"
)


class Branch(nn.Module):
    """A module that is called like a Linear, and beside it what a LoRA adds. Everything else is the module's own."""

    def __init__(self, base: nn.Module, delta: Delta, *, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__()
        self.base = base
        for name in ("down", "up", "diff", "diff_bias"):
            tensor: Tensor | None = getattr(delta, name)
            placed = None if tensor is None else tensor.to(device=device, dtype=dtype)
            self.register_buffer(name, placed, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> [..., out] in the dtype of the module."""
        y: Tensor = self.base(x)
        # Added in place, to the output that the base has just made: one pass over it, and one rounding.
        rows = y.reshape(-1, y.shape[-1])
        if self.up is not None:
            thin = F.linear(x.to(self.down.dtype), self.down)
            rows.addmm_(thin.flatten(0, -2).to(y.dtype), self.up.to(y.dtype).T)
        if self.diff is not None:
            rows.addmm_(x.flatten(0, -2).to(y.dtype), self.diff.to(y.dtype).T)
        if self.diff_bias is not None:
            rows.add_(self.diff_bias.to(y.dtype))
        return rows.view(y.shape)

    def __getattr__(self, name: str) -> Any:
        """What is asked of the module in whose place this stands, such as the dtype of its weight."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("base"), name)


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
                branch = Branch(transformer.get_submodule(name), delta, device=device, dtype=kind)
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
