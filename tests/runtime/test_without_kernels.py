"""GPUs before Ampere have no bfloat16 and none of our kernels: what is decided for them, and what that takes."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.runtime.counting import Counted
from wanvideo.kernels.eight_bit import INT8, LARGEST, Rounded, int8_product, round_rows
from wanvideo.models.config import TransformerConfig
from wanvideo.models.transformer import Block
from wanvideo.pipelines.architecture import architecture_in_catalog
from wanvideo.request import Phase, Tier
from wanvideo.runtime import quantize as quantized
from wanvideo.runtime.architecture import Work
from wanvideo.runtime.cost import moved_bytes
from wanvideo.runtime.machine import H100, PROFILES, Machine
from wanvideo.runtime.memory_model import MemoryModel
from wanvideo.runtime.plan import plan
from wanvideo.runtime.quantize import kind_for, quantize
from wanvideo.weights.catalog import resolve

TURING = replace(PROFILES["rtx-3090"], gpu="NVIDIA GeForce RTX 2080 Ti", capability=(7, 5))
SHAPES = {"A14B": (40, 13_824, 32_768), "5B": (24, 14_336, 27_280)}  # heads, feed-forward, tokens


def counted(monkeypatch: pytest.MonkeyPatch, shape: str, tier: Tier) -> tuple[float, float]:
    """Bytes for each token that one block in float16 holds at its peak, and that it moves. Nothing is computed."""
    heads, ffn, tokens = SHAPES[shape]
    config = TransformerConfig(in_channels=16, out_channels=16, num_heads=heads, num_layers=1, ffn_dim=ffn)

    def multiply(x: Rounded, weight: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
        """As on a GPU."""
        rows = int8_product(x.values.flatten(0, -2), x.scale.flatten(0, -2), weight, scale, bias, x.dtype)
        return rows.unflatten(0, x.values.shape[:-1])  # type: ignore[no-any-return]

    def attend(q: Tensor, _k: Tensor, _v: Tensor) -> Tensor:
        return torch.empty_like(q.transpose(1, 2)).transpose(1, 2)

    monkeypatch.setattr(quantized, "multiply", multiply)
    monkeypatch.setattr(F, "scaled_dot_product_attention", attend)
    with torch.device("meta"), torch.inference_mode():
        network = nn.Module()
        network.blocks = nn.ModuleList([Block(config).to(torch.float16)])
        if tier is Tier.FAST:
            quantize(network, INT8)  # type: ignore[arg-type]
        x, text = torch.empty(1, tokens, config.dim), torch.empty(1, 512, config.dim, dtype=torch.float16)
        time, rope = torch.empty(1, 1, 6, config.dim), torch.empty(2, tokens, 64)
        with Counted() as count:
            network.blocks[0](x, text, time, rope, 0, tokens)
    return (x.nbytes + count.peak) / tokens, count.moved / tokens


@pytest.mark.parametrize("tier", list(Tier))
@pytest.mark.parametrize("shape", SHAPES)
def test_memory_and_bytes_are_those_of_a_block_without_kernels(
    monkeypatch: pytest.MonkeyPatch, shape: str, tier: Tier
) -> None:
    heads, ffn, _ = SHAPES[shape]
    peak, moved = counted(monkeypatch, shape, tier)
    config = TransformerConfig(in_channels=16, out_channels=16, num_heads=heads, num_layers=1, ffn_dim=ffn)
    assert peak < MemoryModel().per_token(config.dim, ffn, tier, fused=False) < 1.16 * peak
    assert moved_bytes(config, tier, fused=False) == pytest.approx(moved, rel=0.01)


def test_rows_are_rounded_piece_by_piece_as_at_once() -> None:
    x = torch.randn(3, 1500, 8)
    rounded = round_rows(x, INT8)
    assert rounded.values.shape == x.shape
    scale = x.abs().amax(-1, keepdim=True) / LARGEST[INT8]
    torch.testing.assert_close(rounded.scale, scale, rtol=1e-6, atol=0)
    torch.testing.assert_close(rounded.values, (x / scale).round().to(INT8))


def planned(machine: Machine, tier: Tier) -> tuple[str, int, float]:
    spec = resolve("ti2v-5B")
    architecture = architecture_in_catalog(spec, spec.variants[0])
    capped = replace(machine, memory_limit=6 * 2**30)
    made = plan(architecture, Work(width=832, height=480, frames=81, steps=50), capped, H100, tier=tier)
    assert made.fits
    return made.vae.dtype, made.transformer.resident, made.phase(Phase.DENOISE).seconds


@pytest.mark.parametrize("tier", list(Tier))
def test_a_plan_for_such_a_card_decodes_in_float32_and_takes_more(tier: Tier) -> None:
    (vae, resident, seconds), (_, usually_resident, usual_seconds) = (
        planned(TURING, tier),
        planned(PROFILES["rtx-3090"], tier),
    )
    assert vae == "float32"
    assert resident < usually_resident
    assert seconds > usual_seconds


def test_such_a_card_multiplies_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert kind_for(torch.device("cuda", 0)) is INT8
    assert not TURING.has_bf16
    assert TURING.eight_bit == "int8"
