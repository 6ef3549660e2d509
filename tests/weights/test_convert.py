"""What is converted has the same weights, and is read by us, by diffusers and by transformers."""

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.weights import dialects as d
from tests.weights.test_dialects import has_weights, only, output, reference, relative_error, weight_of
from tests.weights.test_finding import comfy
from wanvideo.errors import DiskFull, InvalidRequest, ModelMismatch
from wanvideo.weights.config_json import read_text_encoder_config, read_transformer_config, read_vae_config
from wanvideo.weights.convert import Target, convert_model, convert_network
from wanvideo.weights.finding import find
from wanvideo.weights.folder import open_folder, spec_of
from wanvideo.weights.loading import load_text_encoder, load_tokenizer, load_transformer, load_vae
from wanvideo.weights.network import NetworkPart
from wanvideo.weights.places import Places
from wanvideo.weights.quantized import QuantizedLinear

__all__ = ["comfy"]  # a fixture
CPU = torch.device("cpu")
TENSORS = d.transformer_tensors()


def converted(source: Path, out: Path, target: Target) -> NetworkPart[Any]:
    *_, last = convert_network(only(source), out, target)
    assert last.nbytes == last.total
    return only(next(out.glob("*.safetensors")))


def test_a_16_bit_file_loses_nothing_as_bfloat16(tmp_path: Path) -> None:
    source = d.write(tmp_path / "wan.safetensors", d.as_16_bit(TENSORS), "diffusion_model.")
    part = converted(source, tmp_path / "out", Target.BF16)
    assert read_transformer_config(tmp_path / "out" / "config.json") == d.TRANSFORMER
    assert has_weights(load_transformer(part, device=CPU, dtype=torch.float32), TENSORS)
    assert part.precision == "bf16"


def test_gguf_becomes_what_it_means_rounded_to_bfloat16(tmp_path: Path) -> None:
    source = d.write_gguf(tmp_path / "wan.gguf", d.as_gguf(TENSORS, "Q4_1"))
    meant = load_transformer(only(source), device=CPU, dtype=torch.float32)
    part = converted(source, tmp_path / "out", Target.BF16)
    model = load_transformer(part, device=CPU, dtype=torch.float32)
    for name in filter(d.is_block_linear, TENSORS):
        assert weight_of(model, name).equal(weight_of(meant, name).bfloat16().float())


@pytest.mark.parametrize(("target", "bound"), [(Target.FP8, 0.05), (Target.INT8, 0.02)])
def test_8_bits_are_written_with_one_scale_per_row_and_read_back(tmp_path: Path, target: Target, bound: float) -> None:
    source = d.write(tmp_path / "wan.safetensors", TENSORS)
    part = converted(source, tmp_path / "out", target)
    model = load_transformer(part, device=CPU, dtype=torch.float32)
    assert sum(isinstance(module, QuantizedLinear) for module in model.modules()) == 2 * len(d.BLOCK_LINEARS)
    assert relative_error(output(model), output(reference(TENSORS))) < bound
    assert read_transformer_config(tmp_path / "out" / "config.json") == d.TRANSFORMER
    assert part.precision == target


def test_float8_that_is_float8_already_is_not_rounded_again(tmp_path: Path) -> None:
    source = d.write(tmp_path / "wan.safetensors", d.kijai(TENSORS))
    before = load_transformer(only(source), device=CPU, dtype=torch.float32)
    part = converted(source, tmp_path / "out", Target.FP8)
    after = load_transformer(part, device=CPU, dtype=torch.float32)
    assert all(weight_of(after, name).equal(weight_of(before, name)) for name in filter(d.is_block_linear, TENSORS))


@torch.no_grad()
def test_a_whole_model_of_scattered_files_becomes_a_folder_that_diffusers_reads(comfy: Path, tmp_path: Path) -> None:
    from diffusers import AutoencoderKLWan, WanTransformer3DModel
    from transformers import UMT5EncoderModel

    scattered = find(d.SPEC, Places(roots=(comfy,)))
    assert scattered is not None
    out = tmp_path / "out"
    parts = {written.part for written in convert_model(d.SPEC, scattered, out, Target.BF16)}
    assert parts == {"transformer", "transformer_2", "vae", "text_encoder"}
    folder = open_folder(out)
    assert (spec_of(folder).boundary, folder.precision) == (d.SPEC.boundary, "bf16")
    assert load_tokenizer(folder).encode(["red"]).ids.equal(load_tokenizer(scattered).encode(["red"]).ids)

    ours = load_transformer(folder.transformers[1], device=CPU, dtype=torch.float32)
    theirs = WanTransformer3DModel.from_pretrained(out / "transformer_2", torch_dtype=torch.float32)
    x, text = torch.randn(1, 16, 1, 4, 4), torch.randn(1, 5, 256)
    expected = theirs(x, torch.tensor([500]), text).sample
    assert relative_error(ours(x, torch.tensor([500]), text), expected) < 1e-4

    video = torch.rand(1, 3, 1, 16, 16) * 2 - 1
    vae = AutoencoderKLWan.from_pretrained(out / "vae", torch_dtype=torch.float32)
    mean, std = (torch.tensor(v).reshape(-1, 1, 1, 1) for v in (d.VAE.latent_mean, d.VAE.latent_std))
    encoded = (vae.encode(video).latent_dist.mode() - mean) / std
    assert relative_error(load_vae(folder.vae, device=CPU, dtype=torch.float32).encode(video), encoded) < 1e-4
    assert read_vae_config(out / "vae" / "config.json") == d.VAE

    ids = torch.randint(2, 64, (1, 6))
    encoder = UMT5EncoderModel.from_pretrained(out / "text_encoder", torch_dtype=torch.float32)
    expected = encoder(ids, torch.ones(1, 6, dtype=torch.long)).last_hidden_state
    own = load_text_encoder(folder.text_encoder, device=CPU, dtype=torch.float32)
    assert relative_error(own(ids, torch.ones(1, 6, dtype=torch.bool)), expected) < 1e-4
    assert read_text_encoder_config(out / "text_encoder" / "config.json") == d.TEXT_ENCODER


def test_an_incomplete_file_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    tensors = {name: tensor for name, tensor in TENSORS.items() if name != "blocks.1.modulation"}
    part = only(d.write(tmp_path / "wan.safetensors", tensors))
    with pytest.raises(ModelMismatch, match=r"1 missing \(blocks\.1\.modulation\)"):
        list(convert_network(part, tmp_path / "out", Target.BF16))
    assert [path.name for path in tmp_path.iterdir()] == ["wan.safetensors"]


def test_a_conversion_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    part = only(d.write(tmp_path / "wan.safetensors", TENSORS))
    running = convert_network(part, tmp_path / "out", Target.BF16)
    next(running)
    running.close()
    assert [path.name for path in tmp_path.iterdir()] == ["wan.safetensors"]


def test_an_existing_folder_is_not_touched(tmp_path: Path) -> None:
    part = only(d.write(tmp_path / "wan.safetensors", TENSORS))
    (tmp_path / "out").mkdir()
    with pytest.raises(InvalidRequest, match="exists already"):
        list(convert_network(part, tmp_path / "out", Target.BF16))


def test_a_full_disk_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = only(d.write(tmp_path / "wan.safetensors", TENSORS))
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(DiskFull, match="are needed"):
        list(convert_network(part, tmp_path / "out", Target.BF16))


def test_a_disk_that_fills_up_meanwhile_is_said_and_nothing_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device")

    part = only(d.write(tmp_path / "wan.safetensors", TENSORS))
    monkeypatch.setattr("wanvideo.weights.convert._header", full)
    with pytest.raises(DiskFull, match=r"are needed for .*out"):
        list(convert_network(part, tmp_path / "out", Target.BF16))
    assert [path.name for path in tmp_path.iterdir()] == ["wan.safetensors"]
