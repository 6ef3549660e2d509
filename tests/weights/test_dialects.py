"""The same random network, read from files in every dialect, has the same weights and makes the same output."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from torch import Tensor, nn

from benchmarks.gguf_kernels import random_blocks
from tests.weights import dialects as d
from wanvideo.errors import ModelCorrupt, ModelMismatch
from wanvideo.models.config import I2V_A14B, T2V_A14B, TransformerConfig
from wanvideo.models.text_encoder import UMT5Encoder
from wanvideo.models.transformer import WanTransformer, keeps_fp32
from wanvideo.weights.gguf import BLOCKS
from wanvideo.weights.loading import load_text_encoder, load_transformer, load_vae
from wanvideo.weights.network import NetworkPart, open_networks
from wanvideo.weights.quantized import Quantized, QuantizedEmbedding, QuantizedLinear

CPU = torch.device("cpu")
FP8 = torch.float8_e4m3fn
TENSORS = d.transformer_tensors()


def only(path: Path) -> NetworkPart[Any]:
    (part,) = open_networks(path, d.CONFIGS)
    return part


def load(path: Path, dtype: torch.dtype = torch.float32) -> WanTransformer:
    return load_transformer(only(path), device=CPU, dtype=dtype)


def weight_of(model: nn.Module, name: str) -> Tensor:
    owner, _, leaf = name.rpartition(".")
    value = getattr(model.get_submodule(owner), leaf)
    assert isinstance(value, Tensor)
    return value


@torch.no_grad()
def output(model: WanTransformer) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    x, text = torch.randn(1, 16, 2, 4, 6, generator=generator), torch.randn(1, 7, 256, generator=generator)
    return model(x, torch.tensor([700]), text)  # type: ignore[no-any-return]


def reference(tensors: Mapping[str, Tensor]) -> WanTransformer:
    model = WanTransformer(d.TRANSFORMER)
    model.load_state_dict(tensors)
    return model.eval()


@pytest.fixture(scope="module")
def expected() -> Tensor:
    return output(reference(TENSORS))


def has_weights(model: nn.Module, tensors: Mapping[str, Tensor]) -> bool:
    """Exactly these. Outputs may differ in the last bit: where a tensor lies in memory decides how it is multiplied."""
    state = model.state_dict()
    return state.keys() == tensors.keys() and all(state[name].equal(tensor) for name, tensor in tensors.items())


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm())


@pytest.mark.parametrize("prefix", ["", "diffusion_model.", "model.diffusion_model."])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_official_names_with_any_prefix_in_16_bits_are_exact(
    tmp_path: Path, prefix: str, dtype: torch.dtype, expected: Tensor
) -> None:
    model = load(d.write(tmp_path / "wan.safetensors", d.as_16_bit(TENSORS, dtype), prefix))
    assert has_weights(model, TENSORS)
    assert relative_error(output(model), expected) < 1e-5


SCALED = {
    "comfy_old": d.comfy_old(TENSORS),
    "comfy_old_native": d.comfy_old(TENSORS, marker=0),
    "comfy_new": d.comfy_new(TENSORS),
    "kijai": d.kijai(TENSORS),
    "kijai_e5m2": d.kijai(TENSORS, torch.float8_e5m2),
    "lightx2v_fp8": d.lightx2v(TENSORS, FP8),
    "lightx2v_int8": d.lightx2v(TENSORS, torch.int8),
    "plain_cast": d.plain_cast(TENSORS),
}


@pytest.mark.parametrize("dialect", SCALED)
@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_eight_bit_weights_stay_so_and_mean_what_was_stored(
    tmp_path: Path, dialect: str, prefix: str, expected: Tensor
) -> None:
    written = SCALED[dialect]
    model = load(d.write(tmp_path / "wan.safetensors", written, prefix))
    for name, tensor in written.items():
        if not name.endswith(".weight") or name not in TENSORS:
            continue
        layer, scale = name.removesuffix(".weight"), torch.ones(())
        for suffix in ("scale_weight", "weight_scale"):
            scale = written.get(f"{layer}.{suffix}", scale)
        assert weight_of(model, name).equal(tensor.float() * scale.float()), name
        if tensor.dtype.itemsize == 1 and "patch" not in name:
            module = model.get_submodule(layer)
            assert isinstance(module, QuantizedLinear)
            assert module.stored.dtype == tensor.dtype
    assert relative_error(output(model), expected) < (0.2 if "e5m2" in dialect or "cast" in dialect else 0.06)


def test_the_quantisation_may_be_described_in_the_metadata(tmp_path: Path) -> None:
    written = d.scaled_fp8(TENSORS, d.is_linear, scale_name="weight_scale")
    path = d.write(tmp_path / "wan.safetensors", written, metadata=d.described_in_metadata(TENSORS))
    assert output(load(path)).equal(output(load(d.write(tmp_path / "other.safetensors", d.comfy_new(TENSORS)))))


def random_gguf(kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Random blocks for the linear layers, and what they mean according to the `gguf` package."""
    written, meant = dict[str, Any](TENSORS), dict(TENSORS)
    for seed, name in enumerate(filter(d.is_block_linear, TENSORS)):
        blocks = random_blocks(kind, *TENSORS[name].shape, std=1e-4, seed=seed).numpy()
        written[name] = (kind, blocks)
        meant[name] = torch.from_numpy(gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType[kind]))
    return written, meant


@pytest.mark.parametrize("kind", BLOCKS)
def test_gguf_blocks_stay_so_and_mean_what_the_gguf_package_says(tmp_path: Path, kind: str) -> None:
    written, meant = random_gguf(kind)
    model = load(d.write_gguf(tmp_path / "wan.gguf", written))
    assert all(weight_of(model, name).equal(tensor) for name, tensor in meant.items())
    assert relative_error(output(model), output(reference(meant))) < 1e-5
    quantised = [m for m in model.modules() if isinstance(m, Quantized)]
    assert len(quantised) == 2 * len(d.BLOCK_LINEARS)
    assert {(m.kind, m.stored.dtype) for m in quantised} == {(kind, torch.uint8)}


@pytest.mark.parametrize(
    ("kind", "bound"), [("Q8_0", 0.02), ("Q5_1", 0.1), ("Q5_0", 0.1), ("Q4_1", 0.2), ("Q4_0", 0.2)]
)
def test_what_the_gguf_package_quantised_makes_nearly_the_same_output(
    tmp_path: Path, kind: str, bound: float, expected: Tensor
) -> None:
    path = d.write_gguf(tmp_path / "wan.gguf", d.as_gguf(TENSORS, kind))
    assert relative_error(output(load(path)), expected) < bound


@pytest.mark.parametrize("kind", ["F16", "BF16"])
def test_gguf_files_in_16_bits_are_exact(tmp_path: Path, kind: str) -> None:
    assert has_weights(load(d.write_gguf(tmp_path / "wan.gguf", d.as_gguf(TENSORS, kind))), TENSORS)


def test_a_patch_embedding_that_was_flattened_for_gguf_gets_its_shape_back(tmp_path: Path) -> None:
    name = "patch_embedding.weight"
    flat = TENSORS | {name: TENSORS[name].flatten(1)}
    shapes = {f"comfy.gguf.orig_shape.{name}": list(TENSORS[name].shape)}
    assert has_weights(load(d.write_gguf(tmp_path / "wan.gguf", flat, arrays=shapes)), TENSORS)


def test_computing_in_16_bits_keeps_the_precision_policy(tmp_path: Path) -> None:
    model = load(d.write(tmp_path / "wan.safetensors", d.comfy_old(TENSORS)), torch.bfloat16)
    for name in TENSORS:
        assert weight_of(model, name).dtype == (torch.float32 if keeps_fp32(name) else torch.bfloat16), name
    assert relative_error(output(model), output(reference(TENSORS))) < 0.06


@pytest.mark.parametrize(
    ("config", "chosen", "rest", "published"),
    [
        (T2V_A14B, d.is_linear, 2, 14_293_923_632),  # ComfyUI: all linear layers
        (I2V_A14B, d.is_linear, 2, 14_294_742_832),
        (T2V_A14B, d.is_block_linear, 4, 15_001_361_458),  # Kijai: those of the blocks, the rest in float32
    ],
)
def test_published_files_have_the_size_of_what_we_take_them_to_hold(
    config: TransformerConfig, chosen: Callable[[str], bool], rest: int, published: int
) -> None:
    with torch.device("meta"):
        tensors = WanTransformer(config).state_dict()
    expected = sum(t.numel() + 4 if chosen(name) else t.numel() * rest for name, t in tensors.items())
    assert 100_000 < published - expected < 250_000  # the header


# --- the other networks ----------------------------------------------------------------------------------------------


@torch.no_grad()
def encode(model: UMT5Encoder) -> Tensor:
    ids = torch.randint(0, 64, (2, 9), generator=torch.Generator().manual_seed(1))
    return model(ids, torch.arange(9) < torch.tensor([[9], [4]]))  # type: ignore[no-any-return]


def test_text_encoders_are_read_under_all_names(tmp_path: Path) -> None:
    tensors = d.text_encoder_tensors()
    plain = UMT5Encoder(d.TEXT_ENCODER)
    plain.load_state_dict(tensors)
    embedded = {"spiece_model": torch.zeros(33, dtype=torch.uint8)}
    scaled = d.as_transformers(d.scaled_fp8(tensors, d.is_linear, scale_name="scale_weight"))
    files = {
        "official": d.write(tmp_path / "a.safetensors", d.as_16_bit(tensors)),
        "transformers": d.write(tmp_path / "b.safetensors", d.as_transformers(d.as_16_bit(tensors)) | embedded),
        "llama.cpp": d.write_gguf(tmp_path / "c.gguf", d.as_llama(tensors), architecture="t5encoder"),
    }
    for names, path in files.items():
        assert has_weights(load_text_encoder(only(path), device=CPU, dtype=torch.float32), tensors), names
    marker = {"scaled_fp8": torch.zeros(0, dtype=FP8)}
    path = d.write(tmp_path / "d.safetensors", scaled | embedded | marker)
    lossy = encode(load_text_encoder(only(path), device=CPU, dtype=torch.float32))
    assert relative_error(lossy, encode(plain)) < 0.1


def test_a_quantised_token_embedding_decodes_the_rows_it_needs(tmp_path: Path) -> None:
    tensors: dict[str, Any] = d.as_llama(d.text_encoder_tensors())
    blocks = gguf.quants.quantize(tensors["token_embd.weight"].numpy(), gguf.GGMLQuantizationType.Q8_0)
    path = d.write_gguf(tmp_path / "t5.gguf", tensors | {"token_embd.weight": ("Q8_0", blocks)})
    model = load_text_encoder(only(path), device=CPU, dtype=torch.float32)
    ids = torch.tensor([[3, 63, 3]])
    whole = torch.from_numpy(gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType.Q8_0))
    assert isinstance(model.token_embedding, QuantizedEmbedding)
    assert model.token_embedding(ids).equal(whole[ids])


def test_a_scale_per_row_of_an_embedding_goes_with_its_row() -> None:
    stored, scale = torch.randn(5, 8).to(FP8), torch.rand(5, 1)
    layer = QuantizedEmbedding(stored, scale, kind="F8_E4M3", dtype=torch.float32)
    ids = torch.tensor([[4, 0], [1, 1]])
    assert layer(ids).equal(layer.weight[ids])


def test_an_autoencoder_with_official_names_is_read(tmp_path: Path) -> None:
    tensors = d.vae_tensors()
    for prefix in ("", "vae."):
        path = d.write(tmp_path / f"{prefix}vae.safetensors", d.as_16_bit(tensors, torch.bfloat16), prefix)
        assert has_weights(load_vae(only(path), device=CPU, dtype=torch.float32), tensors)


def test_an_all_in_one_checkpoint_holds_several_networks(tmp_path: Path) -> None:
    prefixed = {
        **{f"model.diffusion_model.{n}": t for n, t in TENSORS.items()},
        **{f"first_stage_model.{n}": t for n, t in d.vae_tensors().items()},
        **{f"text_encoders.umt5xxl.transformer.{n}": t for n, t in d.as_transformers(d.text_encoder_tensors()).items()},
    }
    parts = open_networks(d.write(tmp_path / "all.safetensors", prefixed), d.CONFIGS)
    assert [type(part.config).__name__ for part in parts] == ["TransformerConfig", "VAEConfig", "TextEncoderConfig"]
    transformer, vae, text_encoder = parts
    assert has_weights(load_transformer(transformer, device=CPU, dtype=torch.float32), TENSORS)  # type: ignore[arg-type]
    load_vae(vae, device=CPU, dtype=torch.float32)  # type: ignore[arg-type]
    load_text_encoder(text_encoder, device=CPU, dtype=torch.float32)  # type: ignore[arg-type]


# --- what does not fit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (TENSORS | {"vace_blocks.0.weight": torch.ones(1)}, r"1 tensors \(vace_blocks\.0\.weight\)"),
        (TENSORS | {"blocks.2.ffn.0.weight": torch.ones(1)}, r"1 tensors \(blocks\.2\.ffn"),
        (TENSORS | {"patch_embedding.weight": torch.ones(256, 52, 1, 2, 2)}, r"no architecture.*\[256, 52, 1, 2, 2\]"),
        (TENSORS | {"blocks.9.ffn.0.scale_weight": torch.ones(1)}, r"blocks\.9\.ffn\.0\.scale_weight"),
    ],
)
def test_other_networks_are_refused_by_what_they_have_too_much(
    tmp_path: Path, tensors: dict[str, Tensor], message: str
) -> None:
    with pytest.raises(ModelMismatch, match=message):
        only(d.write(tmp_path / "wan.safetensors", tensors))


@pytest.mark.parametrize("format_", ["nvfp4", "float8_e5m2", None])
def test_ways_of_quantising_that_are_not_read_are_refused_by_name(tmp_path: Path, format_: str | None) -> None:
    written = d.comfy_new(TENSORS)
    text = b"{}" if format_ is None else b'{"format": "%s"}' % format_.encode()
    written["blocks.0.ffn.0.comfy_quant"] = torch.tensor(list(text), dtype=torch.uint8)
    with pytest.raises(ModelMismatch, match=f"quantised as {format_!r}"):
        load(d.write(tmp_path / "wan.safetensors", written))


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 5000])
def test_a_damaged_description_is_corrupt(tmp_path: Path, text: bytes) -> None:
    described = torch.tensor(list(text), dtype=torch.uint8)
    path = d.write(tmp_path / "wan.safetensors", d.comfy_new(TENSORS) | {"blocks.0.ffn.0.comfy_quant": described})
    with pytest.raises(ModelCorrupt, match="how its layers are quantised"):
        load(path)


def test_weights_of_something_else_are_no_networks(tmp_path: Path) -> None:
    lora = {"diffusion_model.blocks.0.self_attn.q.lora_down.weight": torch.ones(4, 256)}
    assert open_networks(d.write(tmp_path / "lora.safetensors", lora), d.CONFIGS) == ()


@pytest.mark.gpu
@pytest.mark.parametrize("dialect", [*SCALED, "Q8_0", "Q6_K", "Q4_K"])
@torch.no_grad()
def test_quantised_weights_mean_the_same_on_a_gpu(tmp_path: Path, dialect: str) -> None:
    if dialect in SCALED:
        path = d.write(tmp_path / "wan.safetensors", SCALED[dialect])
    else:
        path = d.write_gguf(tmp_path / "wan.gguf", random_gguf(dialect)[0])
    ours = load_transformer(only(path), device=torch.device("cuda"), dtype=torch.bfloat16)
    wanted = load(path, torch.bfloat16)
    for name in TENSORS:
        torch.testing.assert_close(weight_of(ours, name).cpu(), weight_of(wanted, name), rtol=2**-7, atol=1e-6)
    assert ours(torch.zeros(1, 16, 1, 4, 4).cuda(), torch.tensor([5]).cuda(), torch.zeros(1, 3, 256).cuda()).is_cuda
