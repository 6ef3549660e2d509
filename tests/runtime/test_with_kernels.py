"""What a block holds at its peak where there are kernels: counted on tensors without content, so on any machine."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.runtime.counting import Counted
from wanvideo.kernels import attention, eight_bit, linear, norm, norm_eight_bit, rope
from wanvideo.kernels.eight_bit import FP8, Rounded
from wanvideo.models.config import TransformerConfig
from wanvideo.models.transformer import Block
from wanvideo.request import Tier
from wanvideo.runtime import lora
from wanvideo.runtime import quantize as quantized
from wanvideo.runtime.lora import branch_for
from wanvideo.runtime.memory_model import MemoryModel
from wanvideo.runtime.quantize import LINEARS, quantize
from wanvideo.weights.lora.tensors import Delta
from wanvideo.weights.quantized import QuantizedLinear

pytest.importorskip("triton")
SHAPES = {"A14B": (40, 13_824, 32_768), "5B": (24, 14_336, 27_264)}  # heads, feed-forward, tokens


class Unlaunched:
    """A kernel that nobody runs: its outputs are there, and that is all that counts here."""

    def __getitem__(self, grid: Any) -> Any:
        return lambda *args, **options: None


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU that has them."""
    from wanvideo.kernels import attention_triton, eight_bit_triton, norm_triton, rope_triton

    for module in (attention, eight_bit, linear, norm, norm_eight_bit, rope):
        monkeypatch.setattr(module, "has_kernel", lambda x: True)
    launched = {
        attention_triton: ("_quantize_tokens", "_sum_up", "_quantize_values", "_attend"),
        eight_bit_triton: ("_round_rows",),
        norm_triton: ("_residual_norm", "_add_gated"),
        rope_triton: ("_norm_rope",),
    }
    for module, names in launched.items():
        for name in names:
            monkeypatch.setattr(module, name, Unlaunched())

    def multiply(x: Rounded, weight: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
        return torch.empty((*x.values.shape[:-1], weight.shape[0]), dtype=x.dtype, device="meta")

    def attend(q: Tensor, _k: Tensor, _v: Tensor) -> Tensor:
        return torch.empty_like(q.transpose(1, 2)).transpose(1, 2)

    for module in (quantized, lora):
        monkeypatch.setattr(module, "multiply", multiply)
    monkeypatch.setattr(F, "scaled_dot_product_attention", attend)


def stored_in_8_bits(block: Block) -> None:
    for name in LINEARS:
        old = block.get_submodule(name)
        assert isinstance(old, nn.Linear)
        stored, scale = torch.empty(old.weight.shape, dtype=FP8), torch.ones(1, 1)
        block.set_submodule(name, QuantizedLinear(stored, scale, old.bias, kind="F8_E4M3", dtype=torch.bfloat16))


def with_lora(block: nn.Module, rank: int = 16) -> None:
    for name in LINEARS:
        old = block.get_submodule(name)
        weight = old.weight
        assert isinstance(weight, Tensor)
        rows, columns = weight.shape
        delta = Delta(down=torch.empty(rank, columns), up=torch.empty(rows, rank), diff_bias=torch.empty(rows))
        block.set_submodule(name, branch_for(old, delta, device=torch.device("meta"), dtype=torch.bfloat16))


@pytest.mark.parametrize("loras", [False, True])
@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("tier", list(Tier))
@pytest.mark.parametrize("shape", SHAPES)
def test_a_block_holds_what_is_planned_however_its_weights_are_stored(
    kernels: None, monkeypatch: pytest.MonkeyPatch, shape: str, tier: Tier, stored: bool, loras: bool
) -> None:
    heads, ffn, tokens = SHAPES[shape]
    config = TransformerConfig(in_channels=16, out_channels=16, num_heads=heads, num_layers=1, ffn_dim=ffn)
    backend = attention.Backend.EIGHT_BIT if tier is Tier.FAST else attention.Backend.SDPA
    monkeypatch.setattr(attention, "_first", lambda backends, device: backend)
    with torch.device("meta"), torch.inference_mode():
        network = nn.Module()
        network.blocks = nn.ModuleList([Block(config).to(torch.bfloat16)])
        if stored:
            stored_in_8_bits(network.blocks[0])  # type: ignore[arg-type]
        if tier is Tier.FAST:
            quantize(network, FP8)  # type: ignore[arg-type]
        if loras:
            with_lora(network.blocks[0])
        x, text = torch.empty(1, tokens, config.dim), torch.empty(1, 512, config.dim, dtype=torch.bfloat16)
        time, table = torch.empty(1, 1, 6, config.dim), torch.empty(2, tokens, 64)
        with Counted() as count:
            network.blocks[0](x, text, time, table, 0, tokens)
    decoded = 2 * config.dim * ffn if stored and tier is Tier.EXACT else 0
    planned = tokens * MemoryModel().per_token(config.dim, ffn, tier) + decoded
    held = x.nbytes + count.peak
    assert 0.94 * planned < held < 1.01 * planned
