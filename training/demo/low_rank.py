"""Linears with something of low rank added, which alone is trained."""

from collections.abc import Mapping
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wanvideo.models.transformer import WanTransformer
from wanvideo.weights.key_map import transformer_keys

ATTENTION: Final = ("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o")
TARGETS: Final = (*ATTENTION, *(name.replace("self", "cross") for name in ATTENTION), "ffn.0", "ffn.2")


class LowRank(nn.Module):
    """A fixed Linear and `strength` times a trained one of rank r, which begins as nothing."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Parameter(torch.randn(rank, base.in_features) * base.in_features**-0.5)
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))
        self.strength = 1.0

    @property
    def weight(self) -> Tensor:
        """Of the fixed part, as is the bias: the network asks for their dtype."""
        return self.base.weight

    @property
    def bias(self) -> Tensor:
        return self.base.bias

    def forward(self, x: Tensor) -> Tensor:
        added = F.linear(F.linear(x, self.down), self.up)
        return self.base(x) + self.strength * added  # type: ignore[no-any-return]


def adapt(model: WanTransformer, rank: int) -> WanTransformer:
    """Fix the weights of `model`, and let every Linear of its blocks learn something of low rank beside."""
    model.requires_grad_(False)
    for i in range(len(model.blocks)):
        for target in TARGETS:
            parent_name, _, leaf = f"blocks.{i}.{target}".rpartition(".")
            parent = model.get_submodule(parent_name)
            setattr(parent, leaf, LowRank(parent.get_submodule(leaf), rank))  # type: ignore[arg-type]
    return model


def set_strength(model: nn.Module, strength: float) -> None:
    for module in model.modules():
        if isinstance(module, LowRank):
            module.strength = strength


def peft_tensors(model: WanTransformer, trained: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """What was trained, by its parameters' names, under the names that Diffusers gives it."""
    keys = transformer_keys(model.config)
    letters = {"down": "A", "up": "B"}
    tensors: dict[str, Tensor] = {}
    for name, value in trained.items():
        target, _, kind = name.rpartition(".")
        weight = keys.to_diffusers(f"{target}.weight")
        assert weight is not None
        tensors[f"{prefix}.{weight.removesuffix('.weight')}.lora_{letters[kind]}.weight"] = value
    return tensors
