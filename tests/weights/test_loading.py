"""What diffusers and transformers wrote, loaded by us, computes what theirs computes."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import UMT5EncoderModel

from tests.weights.tiny_models import edit_json
from wanvideo.errors import ModelCorrupt, ModelMismatch
from wanvideo.models.transformer import keeps_fp32
from wanvideo.weights.folder import open_folder
from wanvideo.weights.loading import load_text_encoder, load_tokenizer, load_transformer, load_vae

Copy = Callable[[str], Path]
CPU = torch.device("cpu")
TRANSFORMER = "transformer/diffusion_pytorch_model.safetensors"
TEXT_ENCODER = "text_encoder/model.safetensors"


def rewrite(file: Path, change: Callable[[dict[str, Tensor]], Mapping[str, Tensor | None]]) -> None:
    """Replace, add or (None) drop tensors of a file."""
    tensors = load_file(file)
    changed = {**tensors, **change(tensors)}
    save_file({name: tensor for name, tensor in changed.items() if tensor is not None}, file)


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.mark.parametrize("kind", ["t2v", "i2v", "ti2v"])
@torch.no_grad()
def test_a_transformer_computes_what_diffusers_computes(models_on_disk: Path, kind: str) -> None:
    for part in open_folder(models_on_disk / kind).transformers:
        ours = load_transformer(part, device=CPU, dtype=torch.float32)
        theirs = WanTransformer3DModel.from_pretrained(part.path)
        x = torch.randn(2, part.config.in_channels, 2, 4, 6)
        timestep, text = torch.tensor([900, 30]), torch.randn(2, 7, part.config.text_dim)
        expected = theirs(x, timestep, text).sample
        assert relative_error(ours(x, timestep, text), expected) <= 2e-5


@pytest.mark.parametrize("kind", ["t2v", "ti2v"])
@torch.no_grad()
def test_a_vae_computes_what_diffusers_computes(models_on_disk: Path, kind: str) -> None:
    part = open_folder(models_on_disk / kind).vae
    ours = load_vae(part, device=CPU, dtype=torch.float32)
    theirs = AutoencoderKLWan.from_pretrained(part.path)
    mean, std = (torch.tensor(v).reshape(-1, 1, 1, 1) for v in (theirs.config.latents_mean, theirs.config.latents_std))
    video = torch.rand(1, 3, 5, 32, 32) * 2 - 1
    expected = (theirs.encode(video).latent_dist.mode() - mean) / std
    assert relative_error(ours.encode(video), expected) <= 1e-5
    assert relative_error(ours.decode(expected), theirs.decode(expected * std + mean).sample) <= 1e-5


@torch.no_grad()
def test_a_text_encoder_computes_what_transformers_computes(models_on_disk: Path) -> None:
    part = open_folder(models_on_disk / "t2v").text_encoder
    ours = load_text_encoder(part, device=CPU, dtype=torch.float32)
    theirs = UMT5EncoderModel.from_pretrained(part.path)
    ids = torch.randint(2, 64, (2, 20))
    mask = torch.arange(20) < torch.tensor([[20], [9]])
    expected = theirs(ids, mask.long()).last_hidden_state * mask.unsqueeze(-1)
    assert relative_error(ours(ids, mask), expected) <= 1e-5


def is_mapped(tensor: Tensor, file: Path) -> bool:
    """Whether the values lie in a mapping of the file, and not in memory of their own."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(str(file)):
            begin, end = (int(address, 16) for address in line.split()[0].split("-"))
            if begin <= tensor.data_ptr() < end:
                return True
    return False


needs_proc = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux")


@needs_proc
def test_a_tensor_that_is_already_right_stays_in_the_mapped_file(models_on_disk: Path) -> None:
    part = open_folder(models_on_disk / "t2v").transformers[0]
    file = part.files[0].path.resolve()
    model = load_transformer(part, device=CPU, dtype=torch.float32)
    assert all(is_mapped(parameter, file) for parameter in model.parameters())
    halved = load_transformer(part, device=CPU, dtype=torch.bfloat16)
    assert {is_mapped(p, file) for name, p in halved.named_parameters() if keeps_fp32(name)} == {True}
    assert {is_mapped(p, file) for name, p in halved.named_parameters() if not keeps_fp32(name)} == {False}


# Run on its own: this process may have freed memory that a second copy would quietly fill.
MEASURE = """
import sys, torch
from pathlib import Path
from wanvideo.weights.folder import open_folder
from wanvideo.weights.loading import load_text_encoder

def anonymous_bytes():  # memory of the process that is not a file's
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

part = open_folder(Path(sys.argv[1])).text_encoder
before = anonymous_bytes()
model = load_text_encoder(part, device=torch.device("cpu"), dtype=getattr(torch, sys.argv[2]))
print((anonymous_bytes() - before) / part.nbytes, model.token_embedding.weight.dtype)
"""


@needs_proc
@pytest.mark.parametrize(("dtype", "share"), [("float32", 0.0), ("bfloat16", 0.5)])
def test_loading_takes_no_second_copy(copy: Copy, dtype: str, share: float) -> None:
    path = copy("t2v")
    edit_json(path / "text_encoder" / "config.json", vocab_size=1_000_000)
    rewrite(path / TEXT_ENCODER, lambda tensors: {"shared.weight": torch.ones(1_000_000, 16)})
    command = [sys.executable, "-c", MEASURE, str(path), dtype]
    taken, loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert abs(float(taken) - share) < 0.1
    assert loaded == f"torch.{dtype}"


def test_the_parameters_that_the_official_code_keeps_in_float32_are_kept(models_on_disk: Path) -> None:
    part = open_folder(models_on_disk / "t2v").transformers[0]
    model = load_transformer(part, device=CPU, dtype=torch.bfloat16)
    exact = load_transformer(part, device=CPU, dtype=torch.float32).state_dict()
    for name, tensor in model.state_dict().items():
        assert tensor.dtype == (torch.float32 if keeps_fp32(name) else torch.bfloat16), name
        assert tensor.equal(exact[name].to(tensor.dtype)), name
    everything = load_transformer(part, device=CPU, dtype=torch.bfloat16, keep_fp32=lambda name: False)
    assert {p.dtype for p in everything.parameters()} == {torch.bfloat16}


def test_a_bfloat16_file_is_widened_where_float32_is_kept(copy: Copy) -> None:
    path = copy("t2v")
    rewrite(path / TRANSFORMER, lambda tensors: {name: tensor.bfloat16() for name, tensor in tensors.items()})
    model = load_transformer(open_folder(path).transformers[0], device=CPU, dtype=torch.bfloat16)
    assert model.head.modulation.dtype == torch.float32
    assert model.patch_embedding.weight.dtype == torch.bfloat16


def test_networks_are_ready_for_inference(models_on_disk: Path) -> None:
    folder = open_folder(models_on_disk / "ti2v")
    networks: list[nn.Module] = [
        load_transformer(folder.transformers[0], device=CPU, dtype=torch.float32),
        load_vae(folder.vae, device=CPU, dtype=torch.float32),
        load_text_encoder(folder.text_encoder, device=CPU, dtype=torch.bfloat16),
    ]
    for network in networks:
        assert not network.training
        assert not any(p.requires_grad or p.is_meta for p in network.parameters())


def test_the_files_survive_changes_of_the_loaded_weights(models_on_disk: Path) -> None:
    part = open_folder(models_on_disk / "t2v").transformers[0]
    before = part.files[0].path.read_bytes()
    model = load_transformer(part, device=CPU, dtype=torch.float32)
    model.patch_embedding.weight.zero_()
    assert part.files[0].path.read_bytes() == before


def test_a_token_embedding_stored_twice_is_read_under_its_first_name(copy: Copy) -> None:
    path = copy("t2v")
    rewrite(path / TEXT_ENCODER, lambda t: {"encoder.embed_tokens.weight": torch.zeros_like(t["shared.weight"])})
    model = load_text_encoder(open_folder(path).text_encoder, device=CPU, dtype=torch.float32)
    assert model.token_embedding.weight.equal(load_file(path / TEXT_ENCODER)["shared.weight"])


def test_a_token_embedding_stored_under_its_second_name_alone_is_read(copy: Copy) -> None:
    path = copy("t2v")
    expected = load_file(path / TEXT_ENCODER)["shared.weight"]
    rewrite(path / TEXT_ENCODER, lambda t: {"encoder.embed_tokens.weight": expected, "shared.weight": None})
    model = load_text_encoder(open_folder(path).text_encoder, device=CPU, dtype=torch.float32)
    assert model.token_embedding.weight.equal(expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: {"proj_out.bias": None}, r"1 missing \(proj_out\.bias\)"),
        (lambda t: {"lora.weight": torch.ones(1)}, r"1 unknown \(lora\.weight\)"),
        (lambda t: {"blocks.7.norm2.weight": torch.ones(24)}, r"1 unknown \(blocks\.7\.norm2\.weight\)"),
        (lambda t: {"scale_shift_table.weight": torch.ones(1)}, r"1 unknown \(scale_shift_table\.weight\)"),
        (
            lambda t: {"proj_out.bias": torch.ones(65)},
            r"1 of another shape \(proj_out\.bias \[65\] instead of \[64\]\)",
        ),
        (
            lambda t: {"proj_out.weight": t["proj_out.weight"].to(torch.int64)},
            r"1 of a type that is not read \(proj_out\.weight I64\)",
        ),
        (
            lambda t: {"proj_out.weight": t["proj_out.weight"].to(torch.int8)},
            r"1 without the right scale \(proj_out\.weight\)",
        ),
        (
            lambda t: {"head.head.bias": t["proj_out.bias"], "proj_out.bias": None},
            r"1 unknown \(head\.head\.bias\), 1 missing \(proj_out\.bias\)",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    copy: Copy, change: Callable[[dict[str, Tensor]], Mapping[str, Tensor | None]], message: str
) -> None:
    path = copy("t2v")
    rewrite(path / TRANSFORMER, change)
    with pytest.raises(ModelMismatch, match=message) as caught:
        load_transformer(open_folder(path).transformers[0], device=CPU, dtype=torch.float32)
    assert str(path / TRANSFORMER) in caught.value.message


def test_another_models_checkpoint_is_refused(models_on_disk: Path, copy: Copy) -> None:
    path = copy("t2v")
    shutil.copy(models_on_disk / "i2v" / TRANSFORMER, path / TRANSFORMER)
    with pytest.raises(ModelMismatch, match=r"patch_embedding\.weight \[24, 36, 1, 2, 2\] instead of \[24, 16,"):
        load_transformer(open_folder(path).transformers[0], device=CPU, dtype=torch.float32)
    shutil.copy(path / TEXT_ENCODER, path / TRANSFORMER)
    with pytest.raises(ModelMismatch, match=r"22 unknown \(encoder\..*\.\.\.\), 69 missing"):
        load_transformer(open_folder(path).transformers[0], device=CPU, dtype=torch.float32)


def test_a_file_that_shrinks_after_it_was_opened_is_corrupt(copy: Copy) -> None:
    path = copy("t2v")
    part = open_folder(path).transformers[0]
    os.truncate(path / TRANSFORMER, 2000)
    with pytest.raises(ModelCorrupt, match="cannot be read"):
        load_transformer(part, device=CPU, dtype=torch.float32)


def test_a_tokenizer_with_more_tokens_than_the_text_encoder_is_refused(copy: Copy) -> None:
    path = copy("t2v")
    assert load_tokenizer(open_folder(path)).vocab_size <= 64
    edit_json(path / "text_encoder" / "config.json", vocab_size=10)
    with pytest.raises(ModelMismatch, match="only 10"):
        load_tokenizer(open_folder(path))


@pytest.mark.gpu
def test_weights_go_to_the_gpu_in_their_final_dtype(models_on_disk: Path) -> None:
    part = open_folder(models_on_disk / "t2v").transformers[0]
    expected = load_transformer(part, device=CPU, dtype=torch.bfloat16).state_dict()
    model = load_transformer(part, device=torch.device("cuda"), dtype=torch.bfloat16)
    for name, tensor in model.state_dict().items():
        assert tensor.is_cuda
        assert tensor.cpu().equal(expected[name])
        assert tensor.dtype == expected[name].dtype


def test_what_is_wanted_as_it_is_stored_is_not_converted(models_on_disk: Path) -> None:
    (part,) = open_folder(models_on_disk / "ti2v").transformers
    stored = load_file(part.files[0].path)
    model = load_transformer(
        part, device=CPU, dtype=torch.bfloat16, as_stored=lambda name: name == "blocks.0.ffn.0.weight"
    )
    one, other = (model.get_parameter(f"blocks.0.ffn.{n}.weight") for n in (0, 2))
    assert one.dtype == stored["blocks.0.ffn.net.0.proj.weight"].dtype == torch.float32
    assert other.dtype == torch.bfloat16
