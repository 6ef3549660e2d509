"""The tier `fast`: products of 8-bit numbers in the blocks of a transformer, and 8-bit attention.

Each row of a weight has a scale of its own, and so has each token of what it is multiplied with, at the moment of the
product. Sums, norms, the residual stream and all that is not in a block stay as they are; so do the keys and values of
the text, whose products are small.
"""

import re
from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor, nn

from wanvideo.kernels.eight_bit import FP8, INT8, Rounded, multiply, round_rows
from wanvideo.kernels.linear import gelu_
from wanvideo.kernels.norm import gated_residual
from wanvideo.kernels.norm_eight_bit import gated_residual_norm, norm_modulate, residual_norm_modulate
from wanvideo.models.transformer import Attention, Block, FeedForward, WanTransformer
from wanvideo.runtime.machine import FLOAT8
from wanvideo.weights.giving_up import go_on_or_give_up
from wanvideo.weights.quantized import QuantizedLinear

# Of a block. The text has 512 tokens, a video tens of thousands.
LINEARS: Final = (
    "self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "cross_attn.q", "cross_attn.o", "ffn.0", "ffn.2",
)  # fmt: skip
_AFTER_NORMS: Final = ("self_attn.q", "self_attn.k", "self_attn.v", "cross_attn.q", "ffn.0")  # of these
_ROUNDED: Final = re.compile(rf"blocks\.\d+\.({'|'.join(map(re.escape, LINEARS))})\.weight")
_AS_STORED: Final = {FP8: "F8_E4M3", INT8: "I8"}  # as files call them
_ROUNDED_ANEW: Final = {FP8: ("I8",), INT8: ("F8_E4M3", "F8_E5M2")}


class EightBitLinear(nn.Module):
    """Like `nn.Linear`, with an 8-bit weight [N, K], a scale [N, 1] for each of its rows, and inputs rounded alike."""

    takes_rounded: Final = True  # its inputs may be `Rounded` already
    weight: Tensor
    scale: Tensor

    def __init__(self, weight: Tensor, scale: Tensor, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.kind = weight.dtype
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.bias = bias

    def forward(self, x: Tensor | Rounded) -> Tensor:
        """x [..., K] -> [..., N]."""
        rows = x if isinstance(x, Rounded) else round_rows(x, self.kind)
        return multiply(rows, self.weight, self.scale, self.bias)


class EightBitFeedForward(FeedForward):
    """The GELU between the Linears joins the rounding to 8 bits."""

    def __init__(self, *layers: nn.Module) -> None:
        nn.Sequential.__init__(self, *layers)

    def forward(self, x: Tensor | Rounded) -> Tensor:
        up, _, down = self
        hidden = up(x)
        if takes_rounded(down):
            return down(round_rows(hidden, down.kind, gelu=True))  # type: ignore[no-any-return, arg-type]
        return down(gelu_(hidden))  # type: ignore[no-any-return]


class EightBitBlock(Block):
    """The norms before the Linears join the rounding to 8 bits, unless one of these is of another kind."""

    self_attn: Attention
    cross_attn: Attention

    def __init__(self, block: Block, kind: torch.dtype) -> None:
        nn.Module.__init__(self)
        self.kind = kind
        for name, child in block.named_children():
            self.add_module(name, child)
        self.modulation = block.modulation

    def forward(self, x: Tensor, text: Tensor, time: Tensor, rope: Tensor, first: int, length: int) -> Tensor:
        """As `Block`."""
        if not all(takes_rounded(self.get_submodule(name)) for name in _AFTER_NORMS):
            return super().forward(x, text, time, rope, first, length)
        shift1, scale1, gate1, shift2, scale2, gate2 = (self.modulation.float() + time).unbind(2)
        eps, kind, dtype, norm3 = self.norm3.eps, self.kind, text.dtype, self.norm3
        h = norm_modulate(x, shift1, scale1, first, eps=eps, kind=kind, dtype=dtype)
        update = self.self_attn(h, h, rope, length)
        x, h = gated_residual_norm(x, update, gate1, first, norm3.weight, norm3.bias, eps=eps, kind=kind, dtype=dtype)
        update = self.cross_attn(h, text)
        x, h = residual_norm_modulate(x, update, shift2, scale2, first, eps=eps, kind=kind, dtype=dtype)
        del update
        return gated_residual(x, self.ffn(h), gate2, first)


def takes_rounded(layer: nn.Module) -> bool:
    """Whether it multiplies in 8 bits and may be given `Rounded`: what says so of its class."""
    return getattr(type(layer), "takes_rounded", False)


def is_rounded(name: str) -> bool:
    """Whether this parameter of a transformer becomes 8-bit numbers."""
    return _ROUNDED.fullmatch(name) is not None


def kind_for(device: torch.device) -> torch.dtype:
    """The 8-bit numbers that a GPU has units for: float8 from Ada on, int8 before. A CPU rounds as recent GPUs do."""
    return INT8 if device.type == "cuda" and torch.cuda.get_device_capability(device) < FLOAT8 else FP8


def quantize(
    transformer: WanTransformer, kind: torch.dtype = FP8, device: torch.device | None = None, *, move: bool = False
) -> None:
    """Replace the Linears of the blocks of `transformer` by 8-bit ones, one after the other, and their blocks.

    kind: FP8 or INT8.
    device: where to compute. The weights come to lie where they were or, to `move` them, there. What is stored in that
    kind with scales already is taken as it is, int8 and float8 in each other's place are rounded anew; GGUF's blocks
    stay as they are.
    """
    for _ in quantized_blocks(transformer, kind, device, move=move):
        pass


def quantized_blocks(
    transformer: WanTransformer, kind: torch.dtype, device: torch.device | None, *, move: bool = False
) -> Iterator[nn.Module]:
    """`quantize`, of each block when it is asked for."""
    for index, block in enumerate(transformer.blocks):
        go_on_or_give_up()
        assert isinstance(block, Block)
        for name in LINEARS:
            if (new := _quantized(block.get_submodule(name), kind, device, move)) is not None:
                block.set_submodule(name, new)
        block.set_submodule("ffn", EightBitFeedForward(*block.ffn.children()))
        transformer.blocks[index] = EightBitBlock(block, kind)
        yield transformer.blocks[index]


def converted_blocks(transformer: WanTransformer, dtype: torch.dtype) -> Iterator[nn.Module]:
    """The blocks of a transformer whose large weights are as they were stored, each in `dtype` when it is asked for."""
    for block in transformer.blocks:
        for name in LINEARS:
            if type(linear := block.get_submodule(name)) is nn.Linear:
                linear.weight.data = linear.weight.data.to(dtype)
        yield block


def _quantized(old: nn.Module, kind: torch.dtype, device: torch.device | None, move: bool) -> EightBitLinear | None:
    if isinstance(old, QuantizedLinear) and old.kind == _AS_STORED[kind]:
        scale = torch.ones(1, 1) if old.scale is None else old.scale
        scale = scale.float().reshape(-1, 1).expand(old.stored.shape[0], 1).contiguous()
        return EightBitLinear(old.stored, scale.to(old.stored.device), old.bias)
    if not (type(old) is nn.Linear or (isinstance(old, QuantizedLinear) and old.kind in _ROUNDED_ANEW[kind])):
        return None
    weight = old.weight.detach()
    rows = round_rows(weight.to(device or weight.device), kind)
    where = rows.values.device if move else weight.device
    return EightBitLinear(rows.values.to(where), rows.scale.to(where), old.bias)
