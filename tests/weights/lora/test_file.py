"""LoRA files are read from their headers, whatever their names are, and refused with a reason."""

import json
import math
import random
import time
from pathlib import Path

import pytest
import torch

from tests.weights.lora.dialects import (
    ALPHA,
    MODULES,
    RANK,
    TINY,
    WRITERS,
    diffusers_name,
    expected,
    matrices,
    write,
    write_comfyui,
)
from wanvideo.errors import LoraCorrupt, LoraError, LoraNotFound, LoraUnsafeFormat, LoraUnsupported, LoraWrongBase
from wanvideo.models.config import T2V_A14B, TI2V_5B
from wanvideo.models.transformer import WanTransformer
from wanvideo.weights.lora.file import LoraFile, fit, parameter_shapes, read_lora
from wanvideo.weights.lora.tensors import Share, read_deltas
from wanvideo.weights.variants import Part


def deltas(file: LoraFile, strength: float = 1.0) -> dict[str, torch.Tensor]:
    """The difference of every weight."""
    share = Share(file=file, targets=fit(file, TINY).targets, strength=strength)
    found = {module: delta.weight() for module, delta in read_deltas([share]).items()}
    return {module: difference for module, difference in found.items() if difference is not None}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name])


@pytest.mark.parametrize("name", WRITERS)
def test_every_dialect_of_one_lora_means_the_same_delta(name: str, tmp_path: Path) -> None:
    lora = matrices()
    file = read_lora(WRITERS[name].write(tmp_path / "lora.safetensors", lora))
    assert file.dialect == WRITERS[name].dialect
    assert file.ranks == (RANK,)
    assert file.width == TINY.dim
    assert (file.unknown, file.image_branch, file.parts) == ((), (), frozenset())
    same(deltas(file), expected(lora))


def test_alpha_as_an_integer_counts_and_without_alpha_the_scale_is_1(tmp_path: Path) -> None:
    """Lightning stores alpha 8 as int64 at rank 64; to overlook it makes the LoRA 8 times as strong."""
    lora = matrices()
    integer = read_lora(WRITERS["Lightning"].write(tmp_path / "a.safetensors", lora))
    assert {target.scale for target in integer.targets} == {ALPHA / RANK}
    pairs = {
        f"diffusion_model.{module}.lora_{end}.weight": tensor
        for module, pair in lora.items()
        for end, tensor in zip(("down", "up"), pair, strict=True)
    }
    same(deltas(read_lora(write(tmp_path / "b.safetensors", pairs))), expected(lora, scale=1.0))


def test_alphas_of_peft_may_differ_by_module_and_be_stabilised(tmp_path: Path) -> None:
    lora = matrices(modules=MODULES[:2])
    config = {
        "transformer.lora_alpha": ALPHA,
        "transformer.alpha_pattern": {diffusers_name(MODULES[1]): 8},
        "transformer.use_rslora": True,
    }
    tensors = {
        f"transformer.{diffusers_name(module)}.lora_{end}.weight": tensor
        for module, pair in lora.items()
        for end, tensor in zip("AB", pair, strict=True)
    }
    path = write(tmp_path / "lora.safetensors", tensors, {"lora_adapter_metadata": json.dumps(config)})
    scales = {target.module: target.scale for target in read_lora(path).targets}
    assert scales == {MODULES[0]: ALPHA / math.sqrt(RANK), MODULES[1]: 8 / math.sqrt(RANK)}


def test_whole_differences_know_no_alpha_and_reach_norms_biases_and_modulation(tmp_path: Path) -> None:
    shapes = parameter_shapes(TINY)
    names = {
        "blocks.0.norm3.diff": shapes["blocks.0.norm3"],
        "blocks.0.norm3.diff_b": shapes["blocks.0.norm3.bias"],
        "blocks.0.self_attn.norm_q.diff": shapes["blocks.0.self_attn.norm_q"],
        "blocks.0.self_attn.q.diff_b": shapes["blocks.0.self_attn.q.bias"],
        "blocks.0.diff_m": shapes["blocks.0.modulation"],
        "patch_embedding.diff": shapes["patch_embedding"],
        "head.head.diff": shapes["head.head"],
        "head.diff_m": shapes["head.modulation"],
    }
    file = read_lora(
        write(tmp_path / "l.safetensors", {f"diffusion_model.{n}": torch.ones(s) for n, s in names.items()})
    )
    fitted = fit(file, TINY)
    assert fitted.misfits == ()
    found = read_deltas([Share(file=file, targets=fitted.targets, strength=0.5)])
    assert found.keys() == {
        "blocks.0.norm3",
        "blocks.0.self_attn.norm_q",
        "blocks.0.self_attn.q",
        "blocks.0.modulation",
        "patch_embedding",
        "head.head",
        "head.modulation",
    }
    assert all(bool((value.diff == 0.5).all()) for value in found.values() if value.diff is not None)
    assert bool((found["blocks.0.self_attn.q"].diff_bias == torch.full((TINY.dim,), 0.5)).all())  # type: ignore[union-attr]


def test_the_shapes_are_those_of_the_transformer() -> None:
    with torch.device("meta"):
        state = WanTransformer(TINY).state_dict()
    theirs = {name.removesuffix(".weight"): tuple(tensor.shape) for name, tensor in state.items()}
    assert parameter_shapes(TINY) == theirs


def test_both_experts_in_one_file_are_kept_apart(tmp_path: Path) -> None:
    high, low = matrices(1), matrices(2)
    tensors = {
        f"{prefix}.{diffusers_name(module)}.lora_{end}.weight": tensor
        for prefix, lora in (("transformer", high), ("transformer_2", low))
        for module, pair in lora.items()
        for end, tensor in zip("AB", pair, strict=True)
    }
    file = read_lora(write(tmp_path / "lora.safetensors", tensors))
    assert file.parts == {Part.TRANSFORMER, Part.TRANSFORMER_2}
    fitted = fit(file, TINY)
    for part, lora in ((Part.TRANSFORMER, high), (Part.TRANSFORMER_2, low)):
        found = read_deltas([Share(file=file, targets=fitted.of(part), strength=1.0)])
        same({module: d.weight() for module, d in found.items()}, expected(lora, scale=1.0))  # type: ignore[misc]


def test_the_image_branch_of_wan_21_is_left_out_and_said(tmp_path: Path) -> None:
    lora = matrices(modules=("blocks.0.cross_attn.k",))["blocks.0.cross_attn.k"]
    tensors = {
        f"diffusion_model.blocks.0.cross_attn.{name}.lora_{end}.weight": tensor
        for name in ("k", "k_img", "v_img")
        for end, tensor in zip(("down", "up"), lora, strict=True)
    }
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    fitted = fit(read_lora(write(tmp_path / "lora.safetensors", tensors)), TINY)
    assert len(fitted.file.image_branch) == 4
    assert fitted.misfits == ()
    assert "4 are for the image branch of Wan 2.1" in str(fitted.remark)


def test_tensors_without_a_place_are_counted(tmp_path: Path) -> None:
    tensors = {
        f"diffusion_model.blocks.{block}.self_attn.q.lora_{end}.weight": tensor.clone()
        for block in (0, 1, 7)  # of two
        for end, tensor in zip(("down", "up"), matrices()["blocks.0.self_attn.q"], strict=True)
    }
    tensors["lora_te_text_model.alpha"] = torch.tensor(1.0)
    fitted = fit(read_lora(write(tmp_path / "lora.safetensors", tensors)), TINY)
    assert len(fitted.targets) == 2
    assert str(fitted.remark).startswith("3 of 7 tensors have no place in this model (")


@pytest.mark.parametrize(("width", "base"), [(5120, "14B or A14B"), (3072, "5B"), (1536, "1.3B"), (128, "demo")])
def test_another_width_is_another_base(width: int, base: str, tmp_path: Path) -> None:
    tensors = {
        "blocks.0.self_attn.q.lora_down.weight": torch.zeros(2, width),
        "blocks.0.self_attn.q.lora_up.weight": torch.zeros(width, 2),
    }
    file = read_lora(write(tmp_path / "lora.safetensors", tensors))
    assert base in file.base
    for config in (T2V_A14B, TI2V_5B, TINY):
        if config.dim == width:
            assert fit(file, config).misfits == ()
            continue
        with pytest.raises(LoraWrongBase, match=f"width {width}.*width {config.dim}"):
            fit(file, config)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("lokr_w1", "LoKr"), ("hada_w1_a", "LoHa"), ("dora_scale", "DoRA"), ("oft_diag", "OFT")],
)
def test_other_kinds_of_adapters_are_refused_by_name(name: str, kind: str, tmp_path: Path) -> None:
    tensors = {f"lora_unet_blocks_0_self_attn_q.{name}": torch.zeros(2, 2)}
    with pytest.raises(LoraUnsupported, match=kind):
        read_lora(write(tmp_path / "lora.safetensors", tensors))


def test_a_rank_bomb_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    """The header promises 400 GB; it lies in a sparse file."""
    rank, width = 10**7, 10**4
    entries = {
        name: {"dtype": "F32", "shape": shape, "data_offsets": [i * 4 * rank * width, (i + 1) * 4 * rank * width]}
        for i, (name, shape) in enumerate(
            {
                "blocks.0.self_attn.q.lora_down.weight": [rank, width],
                "blocks.0.self_attn.q.lora_up.weight": [width, rank],
            }.items()
        )
    }
    header = json.dumps(entries).encode()
    path = tmp_path / "bomb.safetensors"
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 8 * rank * width)
    with pytest.raises(LoraCorrupt, match="rank 10000000"):
        read_lora(path)


@pytest.mark.parametrize(
    "tensors",
    [
        {"blocks.0.self_attn.q.lora_down.weight": torch.zeros(2, 24)},
        {
            "blocks.0.self_attn.q.lora_down.weight": torch.zeros(2, 24),
            "blocks.0.self_attn.q.lora_up.weight": torch.zeros(24, 3),
        },
        {
            "blocks.0.self_attn.q.lora_down.weight": torch.zeros(2, 24),
            "blocks.0.self_attn.q.lora_up.weight": torch.zeros(24, 2),
            "blocks.0.self_attn.q.alpha": torch.tensor(math.nan),
        },
        {
            "blocks.0.self_attn.q.diff": torch.zeros(24, 24),
            "diffusion_model.blocks.0.self_attn.q.diff": torch.zeros(24, 24),
        },
        {"encoder.layer.0.weight": torch.zeros(3)},
    ],
)
def test_what_makes_no_sense_is_refused(tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    with pytest.raises(LoraCorrupt):
        read_lora(write(tmp_path / "lora.safetensors", tensors))


@pytest.mark.parametrize("head", [b"\x80\x02}q\x00.", b"PK\x03\x04" + b"\0" * 60])
@pytest.mark.parametrize("name", ["lora.pt", "lora.safetensors", "lora.SafeTensors"])
def test_a_pickle_is_refused_whatever_its_name(head: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(head)
    with pytest.raises(LoraUnsafeFormat, match="pickle"):
        read_lora(tmp_path / name)


def test_the_code_in_a_pickle_never_runs(tmp_path: Path) -> None:
    """A protocol 2 pickle, written by hand, that would make a file."""
    canary = tmp_path / "canary"
    code = b"\x80\x02cbuiltins\nopen\n(X" + len(str(canary)).to_bytes(4, "little") + str(canary).encode()
    (tmp_path / "lora.safetensors").write_bytes(code + b"X\x01\x00\x00\x00wtR.")
    with pytest.raises(LoraUnsafeFormat):
        read_lora(tmp_path / "lora.safetensors")
    assert not canary.exists()


def test_a_header_that_begins_like_a_pickle_is_none(tmp_path: Path) -> None:
    """640 is 0x0280, the first bytes of a pickle of protocol 2."""
    path = write_comfyui(tmp_path / "lora.safetensors")
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    wanted = 0x0280 + (-(-(length - 0x0280) // 65536)) * 65536
    header = data[8 : 8 + length].ljust(wanted)
    path.write_bytes(wanted.to_bytes(8, "little") + header + data[8 + length :])
    assert path.read_bytes()[:2] == b"\x80\x02"
    assert read_lora(path).ranks == (RANK,)


def test_a_missing_file_a_folder_and_a_truncated_file_say_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(LoraNotFound, match="No such file"):
        read_lora(tmp_path / "lora.safetensors")
    with pytest.raises(LoraNotFound, match="folder"):
        read_lora(tmp_path)
    path = write_comfyui(tmp_path / "cut.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(LoraCorrupt, match="truncated"):
        read_lora(path)


def test_a_damaged_header_is_a_typed_error_and_no_crash(tmp_path: Path) -> None:
    data = bytearray(write_comfyui(tmp_path / "lora.safetensors").read_bytes())
    length = int.from_bytes(data[:8], "little")
    rng, path, refused = random.Random(0), tmp_path / "mutated.safetensors", 0
    for _ in range(400):
        mutated = data.copy()
        for _ in range(rng.choice((1, 1, 3, 30))):
            mutated[rng.randrange(8 + length)] = rng.randrange(256)
        path.write_bytes(mutated)
        try:
            fit(read_lora(path), TINY)
        except LoraError:
            refused += 1
    assert refused > 300


def test_the_digest_changes_with_the_content(tmp_path: Path) -> None:
    one, same_, other = (
        read_lora(write_comfyui(tmp_path / f"{i}.safetensors", seed)) for i, seed in enumerate((1, 1, 2))
    )
    assert one.digest == same_.digest != other.digest


def test_a_large_lora_is_checked_in_milliseconds(tmp_path: Path) -> None:
    """All Linears of an A14B expert at rank 64: 400 modules, 1200 tensors; the data is a hole in the file."""
    entries: dict[str, object] = {}
    end = 0
    for i in range(40):
        for name, out, into in (*((f"self_attn.{x}", 5120, 5120) for x in "qkvo"), ("ffn.0", 13824, 5120)):
            for suffix, shape in (("lora_down.weight", [64, into]), ("lora_up.weight", [out, 64]), ("alpha", [])):
                start, end = end, end + 2 * math.prod(shape)
                entry = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
                entries[f"diffusion_model.blocks.{i}.{name}.{suffix}"] = entry
    header = json.dumps(entries).encode()
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + end)
    began = time.monotonic()
    fitted = fit(read_lora(path), T2V_A14B)
    assert time.monotonic() - began < 1
    assert len(fitted.targets) == 200
