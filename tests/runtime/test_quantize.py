from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from wanvideo.kernels.eight_bit import FP8, INT8, Rounded, round_rows
from wanvideo.models.config import TransformerConfig
from wanvideo.models.transformer import Attention, WanTransformer
from wanvideo.runtime.lora import applied, branch_for
from wanvideo.runtime.quantize import (
    LINEARS,
    EightBitLinear,
    converted_blocks,
    is_rounded,
    kind_for,
    quantize,
    quantized_blocks,
)
from wanvideo.weights.lora.tensors import Delta
from wanvideo.weights.quantized import QuantizedLinear

CONFIG = TransformerConfig(
    in_channels=16, out_channels=16, num_heads=2, num_layers=2, ffn_dim=256, head_dim=32, text_dim=48
)


def run(model: WanTransformer) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    x, text = torch.randn(1, 16, 3, 8, 8, generator=generator), torch.randn(1, 20, 48, generator=generator)
    with torch.no_grad():
        return model(x, torch.tensor([500.0]), text)  # type: ignore[no-any-return]


def network() -> WanTransformer:
    torch.manual_seed(0)
    return WanTransformer(CONFIG).eval().requires_grad_(False)


def attention_of(model: WanTransformer) -> Attention:
    attention = model.blocks[0].get_submodule("self_attn")
    assert isinstance(attention, Attention)
    return attention


@pytest.mark.parametrize(("kind", "bound"), [(FP8, 0.03), (INT8, 0.02)])
def test_a_quantised_network_is_near_the_original(kind: torch.dtype, bound: float) -> None:
    model = network()
    right = run(model)
    quantize(model, kind)
    error = (run(model) - right).norm() / right.norm()
    assert 0 < error < bound
    assert all(isinstance(block.get_submodule(name), EightBitLinear) for block in model.blocks for name in LINEARS)
    assert isinstance(model.get_submodule("blocks.0.cross_attn.k"), nn.Linear)


@pytest.mark.parametrize(
    "ready", [lambda n: converted_blocks(n, torch.bfloat16), lambda n: quantized_blocks(n, FP8, None)]
)
def test_a_block_is_as_it_was_stored_until_its_turn(ready: Callable[[WanTransformer], Iterator[nn.Module]]) -> None:
    model = network()
    blocks = ready(model)
    assert next(blocks) is model.blocks[0]
    first, second = ([block.get_submodule(name).weight.dtype for name in LINEARS] for block in model.blocks)
    assert torch.float32 not in first
    assert set(second) == {torch.float32}
    assert list(blocks) == list(model.blocks)[1:]


def test_weights_that_are_float8_already_are_taken_as_they_are() -> None:
    model = network()
    attention = attention_of(model)
    old = attention.q
    scale = torch.tensor([[0.01]])
    stored = (old.weight / scale).clamp(-448, 448).to(torch.float8_e4m3fn)
    layer = QuantizedLinear(stored, scale, old.bias, kind="F8_E4M3", dtype=torch.float32)
    model.set_submodule("blocks.0.self_attn.q", layer)
    quantize(model)
    new = model.get_submodule("blocks.0.self_attn.q")
    assert isinstance(new, EightBitLinear)
    assert new.weight.data_ptr() == stored.data_ptr()
    assert new.scale.unique().item() == scale.item()


def test_weights_in_other_8_bit_numbers_are_rounded_anew() -> None:
    model = network()
    old = attention_of(model).q
    stored = QuantizedLinear(old.weight.to(FP8), None, old.bias, kind="F8_E4M3", dtype=torch.float32)
    model.set_submodule("blocks.0.self_attn.q", stored)
    quantize(model, INT8)
    new = model.get_submodule("blocks.0.self_attn.q")
    assert isinstance(new, EightBitLinear)
    assert new.weight.dtype == INT8
    torch.testing.assert_close(new.weight * new.scale, stored.weight, rtol=0, atol=float(new.scale.max()) / 1.9)


@pytest.mark.parametrize(("capability", "kind"), [((7, 5), INT8), ((8, 6), INT8), ((8, 9), FP8), ((9, 0), FP8)])
def test_a_gpu_without_float8_gets_int8(
    capability: tuple[int, int], kind: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert kind_for(torch.device("cuda", 0)) is kind
    assert kind_for(torch.device("cpu")) is FP8


def test_the_parameters_that_are_rounded_are_known_by_name() -> None:
    model = network()
    before = dict(model.named_parameters())
    quantize(model)
    after = {id(parameter) for parameter in model.parameters()}
    assert {name for name, parameter in before.items() if id(parameter) not in after} == set(filter(is_rounded, before))


def test_a_lora_goes_beside_a_quantised_layer_and_away_again() -> None:
    model = network()
    quantize(model)
    before = run(model)
    delta = Delta(down=torch.randn(4, 256), up=torch.randn(64, 4) * 0.1)
    with applied(model, {"blocks.0.ffn.2": delta}, device=torch.device("cpu"), dtype=torch.float32):
        changed = run(model)
    assert not torch.equal(changed, before)
    assert torch.equal(run(model), before)


@pytest.mark.parametrize("kind", [FP8, INT8])
@pytest.mark.parametrize("rank", [1, 4, 16, 20])
def test_what_a_lora_adds_to_a_quantised_layer_is_rounded_as_that_layer_is(kind: torch.dtype, rank: int) -> None:
    torch.manual_seed(0)
    model = nn.Module()
    model.blocks = nn.ModuleList([network().blocks[0]])
    quantize(model, kind)  # type: ignore[arg-type]
    base, x = model.get_submodule("blocks.0.self_attn.q"), torch.randn(2, 9, 64)
    delta = Delta(down=torch.randn(rank, 64), up=torch.randn(64, rank), diff_bias=torch.randn(64))
    branch = branch_for(base, delta, device=torch.device("cpu"), dtype=torch.float32)
    difference, bias = delta.weight(), delta.diff_bias
    assert difference is not None
    assert bias is not None
    added = branch(x) - base(x) - bias
    expected = x @ difference.T
    assert (added - expected).norm() < (0.05 if kind is FP8 else 0.015) * expected.norm()
    assert torch.equal(branch(round_rows(x, kind)), branch(x))


def test_a_thin_lora_takes_what_norms_have_rounded() -> None:
    model = network()
    quantize(model)
    linear = model.get_submodule("blocks.0.self_attn.q")
    given: list[object] = []
    linear.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    deltas = {
        f"blocks.0.{name}": Delta(down=torch.randn(2, rows), up=torch.randn(columns, 2))
        for name, rows, columns in (("self_attn.q", 64, 64), ("ffn.0", 64, 256), ("ffn.2", 256, 64))
    }
    with applied(model, deltas, device=torch.device("cpu"), dtype=torch.float32):
        run(model)
    assert isinstance(given[-1], Rounded)


def test_norms_are_rounded_to_8_bits_at_once_unless_something_else_reads_them() -> None:
    """In float32 there is no rounding to 16 bits between the two, so that both ways give the same."""
    model = network()
    quantize(model)
    at_once = run(model)
    linear = model.get_submodule("blocks.0.self_attn.q")
    given: list[object] = []
    linear.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    run(model)
    assert isinstance(given[0], Rounded)
    nothing = Delta(diff=torch.zeros(64, 64))
    with applied(model, {"blocks.0.self_attn.k": nothing}, device=torch.device("cpu"), dtype=torch.float32):
        apart = run(model)
    assert isinstance(given[-1], torch.Tensor)
    assert torch.equal(apart, at_once)
