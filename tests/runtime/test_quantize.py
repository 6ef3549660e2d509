import copy

import torch
from torch import nn

from wanvideo.models.config import TransformerConfig
from wanvideo.models.transformer import Attention, WanTransformer
from wanvideo.runtime.lora import applied
from wanvideo.runtime.quantize import LINEARS, Fp8Linear, quantize_fp8
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


def test_a_quantised_network_is_near_the_original() -> None:
    model = network()
    right = run(model)
    quantize_fp8(model)
    error = (run(model) - right).norm() / right.norm()
    assert 0 < error < 0.03
    assert all(isinstance(block.get_submodule(name), Fp8Linear) for block in model.blocks for name in LINEARS)
    assert isinstance(model.get_submodule("blocks.0.cross_attn.k"), nn.Linear)


def test_weights_that_are_float8_already_are_taken_as_they_are() -> None:
    model = network()
    attention = attention_of(model)
    old = attention.q
    scale = torch.tensor([[0.01]])
    stored = (old.weight / scale).clamp(-448, 448).to(torch.float8_e4m3fn)
    layer = QuantizedLinear(stored, scale, old.bias, kind="F8_E4M3", dtype=torch.float32)
    model.set_submodule("blocks.0.self_attn.q", layer)
    quantize_fp8(model)
    new = model.get_submodule("blocks.0.self_attn.q")
    assert isinstance(new, Fp8Linear)
    assert new.weight.data_ptr() == stored.data_ptr()
    assert new.scale.unique().item() == scale.item()


def test_a_lora_goes_beside_a_quantised_layer_and_away_again() -> None:
    model = network()
    quantize_fp8(model)
    before = run(model)
    delta = Delta(down=torch.randn(4, 256), up=torch.randn(64, 4) * 0.1)
    with applied(model, {"blocks.0.ffn.2": delta}, device=torch.device("cpu"), dtype=torch.float32):
        changed = run(model)
    assert not torch.equal(changed, before)
    assert torch.equal(run(model), before)


def test_what_goes_into_several_layers_is_quantised_once() -> None:
    model = copy.deepcopy(network())
    quantize_fp8(model)
    attention = attention_of(model)
    q, k = attention.get_submodule("q"), attention.get_submodule("k")
    assert isinstance(q, Fp8Linear)
    assert isinstance(k, Fp8Linear)
    x = torch.randn(1, 5, 64)
    made = q.rows(x)
    assert k.rows(x) is made
    assert k.rows(x.clone()) is not made
