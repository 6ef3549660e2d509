"""LoRAs beside weights as published files hold them: scaled float8, int8 and GGUF blocks, which stay as they are."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.weights import dialects as d
from wanvideo.models.config import TransformerConfig
from wanvideo.models.transformer import WanTransformer
from wanvideo.runtime.lora import applied
from wanvideo.weights.loading import load_transformer
from wanvideo.weights.lora.tensors import Delta
from wanvideo.weights.network import open_networks
from wanvideo.weights.quantized import QuantizedLinear

CPU = torch.device("cpu")
TENSORS = d.transformer_tensors()
FILES: dict[str, Callable[[Path], Path]] = {
    "scaled fp8": lambda folder: d.write(folder / "a.safetensors", d.comfy_old(TENSORS)),
    "int8 by row": lambda folder: d.write(folder / "a.safetensors", d.lightx2v(TENSORS, torch.int8)),
    "Q5_1": lambda folder: d.write_gguf(folder / "a.gguf", d.as_gguf(TENSORS, "Q5_1")),
}


def deltas() -> dict[str, Delta]:
    generator = torch.Generator().manual_seed(5)

    def delta(name: str) -> Delta:
        rows, columns = TENSORS[f"{name}.weight"].shape
        down, up = torch.randn(4, columns, generator=generator), torch.randn(rows, 4, generator=generator)
        return Delta(down=down * 0.05, up=up * 0.05)

    return {f"blocks.{i}.{layer}": delta(f"blocks.{i}.{layer}") for i in range(2) for layer in d.BLOCK_LINEARS}


@torch.no_grad()
def velocity(model: WanTransformer) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    x, text = torch.randn(1, 16, 2, 4, 6, generator=generator), torch.randn(1, 7, 256, generator=generator)
    return model(x, torch.tensor([700.0]), text)  # type: ignore[no-any-return]


def decoded(model: WanTransformer, added: dict[str, Delta]) -> WanTransformer:
    """The same network with ordinary weights, each with its delta in it."""
    plain = WanTransformer(d.TRANSFORMER).requires_grad_(False).eval()
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | QuantizedLinear):
            difference = added[name].weight() if name in added else None
            weight = module.weight.float()
            plain.get_parameter(f"{name}.weight").copy_(weight if difference is None else weight + difference)
    for name, parameter in model.named_parameters():
        if not name.endswith(".weight") or plain.get_parameter(name).dim() != 2:
            plain.get_parameter(name).copy_(parameter)
    return plain


@pytest.mark.parametrize("kind", FILES)
def test_a_lora_adds_what_it_says_and_leaves_the_stored_weights_alone(kind: str, tmp_path: Path) -> None:
    (part,) = open_networks(FILES[kind](tmp_path), d.CONFIGS)
    assert isinstance(part.config, TransformerConfig)
    model = load_transformer(part, device=CPU, dtype=torch.float32)
    quantised = [module for module in model.modules() if isinstance(module, QuantizedLinear)]
    assert len(quantised) >= 2 * len(d.BLOCK_LINEARS)
    stored = [module.stored.clone() for module in quantised]
    before = velocity(model)
    with applied(model, deltas(), device=CPU, dtype=torch.float32):
        with_lora = velocity(model)
    torch.testing.assert_close(with_lora, velocity(decoded(model, deltas())), atol=2e-5, rtol=2e-5)
    assert (with_lora - before).abs().max() > 1e-3
    assert velocity(model).equal(before)
    for module, kept in zip(quantised, stored, strict=True):
        assert module.stored.view(torch.uint8).equal(kept.view(torch.uint8))
