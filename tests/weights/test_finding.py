"""Models assembled from files that lie in several places, in several formats."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.weights import dialects as d
from tests.weights.tiny_models import write_model, write_tokenizer
from wanvideo.errors import ModelCorrupt, ModelIncomplete, ModelMismatch
from wanvideo.weights import assemble, finding
from wanvideo.weights.catalog import ModelSpec, resolve
from wanvideo.weights.finding import find, find_all, open_loose
from wanvideo.weights.folder import ModelFolder
from wanvideo.weights.labels import read_label
from wanvideo.weights.loading import load_tokenizer, load_transformer
from wanvideo.weights.places import Added, Places, Role

HIGH, LOW = d.transformer_tensors(1), d.transformer_tensors(2)
VAE, TEXT = d.as_16_bit(d.vae_tensors()), d.as_transformers(d.as_16_bit(d.text_encoder_tensors()))


def text_encoder_with_tokenizer(folder: Path) -> dict[str, torch.Tensor]:
    write_tokenizer(folder)
    vocabulary = json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    model = d.sentencepiece((text, score) for text, score in vocabulary)
    return TEXT | {"spiece_model": torch.tensor(list(model), dtype=torch.uint8)}


@pytest.fixture(scope="module")
def comfy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ComfyUI `models` folder with both experts as fp8; to be read only."""
    root = tmp_path_factory.mktemp("comfy") / "models"
    for name, tensors in (("high", HIGH), ("low", LOW)):
        file = root / "diffusion_models" / f"wan2.2_t2v_{name}_noise_14B_fp8_scaled.safetensors"
        d.write(file, d.comfy_old(tensors))
    inside = text_encoder_with_tokenizer(tmp_path_factory.mktemp("tokenizer") / "t")
    d.write(root / "text_encoders" / "umt5_xxl_fp16.safetensors", inside)
    d.write(root / "vae" / "wan_2.1_vae.safetensors", VAE)
    d.write(root / "loras" / "wan_high_noise_lora.safetensors", {"blocks.0.diff_m": torch.ones(1)})
    d.write(root / "checkpoints" / "some_other_model.safetensors", {"model.weight": torch.ones(1)})
    return root


@pytest.fixture
def tree(comfy: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(comfy, tmp_path / "models"))


def found(places: Places, spec: ModelSpec = d.SPEC, variant: str | None = None) -> ModelFolder:
    folder = find(spec, places, variant=variant)
    assert folder is not None
    return folder


def names(folder: ModelFolder) -> list[str]:
    return [path.name for path in folder.paths.values()]


@pytest.mark.parametrize("how", ["root", "parent", "added"])
def test_a_comfyui_tree_makes_a_model_with_its_tokenizer(comfy: Path, how: str) -> None:
    places = {
        "root": Places(roots=(comfy,)),
        "parent": Places(roots=(comfy.parent,)),
        "added": Places(added=(Added(path=comfy),)),
    }[how]
    folder = found(places)
    assert names(folder) == [
        "wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors",
        "wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors",
        "wan_2.1_vae.safetensors",
        "umt5_xxl_fp16.safetensors",
        "umt5_xxl_fp16.safetensors",
    ]
    assert folder.precision == "fp8"
    assert load_tokenizer(folder).encode(["a red circle"]).mask.any()
    low = load_transformer(folder.transformers[1], device=torch.device("cpu"), dtype=torch.float32)
    assert low.head.modulation.equal(LOW["head.modulation"])


def test_the_official_layout_makes_a_model_with_parts_from_elsewhere(comfy: Path, tmp_path: Path) -> None:
    root = tmp_path / "Wan2.2-T2V-A14B"
    for name, tensors in (("high_noise_model", HIGH), ("low_noise_model", LOW)):
        halves = sorted(tensors)[::2], sorted(tensors)[1::2]
        shards = [f"diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2)]
        for shard, half in zip(shards, halves, strict=True):
            d.write(root / name / shard, {key: tensors[key] for key in half})
        index = {key: shard for shard, half in zip(shards, halves, strict=True) for key in half}
        path = root / name / "diffusion_pytorch_model.safetensors.index.json"
        path.write_text(json.dumps({"weight_map": index}))
    write_tokenizer(root / "google" / "umt5-xxl")
    folder = found(Places(roots=(root, comfy)), variant="fp32")
    assert [part.path.parent.name for part in folder.transformers] == ["high_noise_model", "low_noise_model"]
    assert folder.tokenizer == root / "google" / "umt5-xxl"
    assert folder.vae.path.name == "wan_2.1_vae.safetensors"


def test_single_files_of_several_repositories_in_the_hub_cache_make_a_model(comfy: Path, tmp_path: Path) -> None:
    ggufs = tmp_path / "models--QuantStack--Wan2.2-T2V-A14B-GGUF" / "snapshots" / "abc"
    for name, tensors in (("High", HIGH), ("Low", LOW)):
        file = ggufs / f"{name}Noise" / f"Wan2.2-T2V-A14B-{name}Noise-Q8_0.gguf"
        d.write_gguf(file, d.as_gguf(tensors, "Q8_0"), file_type=7)
    rest = tmp_path / "models--Comfy-Org--Wan_2.2_ComfyUI_Repackaged" / "snapshots" / "def" / "split_files"
    shutil.copytree(comfy / "vae", rest / "vae")
    shutil.copytree(comfy / "text_encoders", rest / "text_encoders")
    unrelated = tmp_path / "models--some--llm" / "snapshots" / "x" / "model.safetensors"
    unrelated.parent.mkdir(parents=True)
    unrelated.write_bytes(b"never opened")
    folder = found(Places(hub_cache=tmp_path))
    assert (folder.precision, len(folder.transformers)) == ("q8_0", 2)


def test_the_best_whole_set_is_taken_unless_a_variant_is_asked_for(tree: Path) -> None:
    models = tree / "diffusion_models"
    for name, tensors in (("HIGH", HIGH), ("LOW", LOW)):
        d.write_gguf(tree / "unet" / f"Wan2.2-T2V-A14B-{name}-Q4_0.gguf", d.as_gguf(tensors, "Q4_0"))
        d.write(models / f"Wan2_2-T2V-A14B_{name}_fp16.safetensors", d.as_16_bit(tensors))
    places = Places(roots=(tree,))
    assert [folder.precision for folder in find_all(d.SPEC, places)] == ["fp16", "fp8", "q4_0"]
    assert found(places, variant="q4").precision == "q4_0"
    assert found(places, variant="fp8").precision == "fp8"
    (models / "Wan2_2-T2V-A14B_LOW_fp16.safetensors").unlink()
    (models / "wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors").unlink()
    assert found(places, variant="q4_0").precision == "q4_0"


def test_models_for_few_steps_are_taken_only_when_they_are_asked_for(tree: Path) -> None:
    for name, tensors in (("high", HIGH), ("low", LOW)):
        file = tree / "diffusion_models" / f"wan2.2_t2v_A14b_{name}_noise_lightx2v_4step.safetensors"
        d.write(file, tensors)
    places = Places(roots=(tree,))
    assert [folder.precision for folder in find_all(d.SPEC, places)] == ["fp8"]
    assert found(places, variant="lightx2v").precision == "fp32"


def test_an_expert_of_2_2_is_not_taken_for_the_model_of_2_1_and_the_other_way_round(tree: Path) -> None:
    assert find(d.SPEC_21, Places(roots=(tree,))) is None
    d.write(tree / "diffusion_models" / "wan2.1_t2v_14B_fp16.safetensors", d.as_16_bit(HIGH))
    first = found(Places(roots=(tree,)), d.SPEC_21)
    assert first.path.name == "wan2.1_t2v_14B_fp16.safetensors"
    assert found(Places(roots=(tree,))).precision == "fp8"


def test_a_name_that_does_not_tell_is_asked_about_and_the_answer_kept(tree: Path) -> None:
    models = tree / "diffusion_models"
    a = (models / "wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors").rename(models / "a.safetensors")
    b = (models / "wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors").rename(models / "b.safetensors")
    with pytest.raises(ModelMismatch, match=r"could be the high-noise or .*wan models add .*a\.safetensors --as high"):
        find(d.SPEC, Places(roots=(tree,)))
    added = (Added(path=a, role=Role.LOW), Added(path=b, role=Role.HIGH))
    assert names(found(Places(roots=(tree,), added=added)))[:2] == ["b.safetensors", "a.safetensors"]


def test_what_is_missing_is_named(tree: Path) -> None:
    shutil.rmtree(tree / "text_encoders")
    (tree / "diffusion_models" / "wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors").unlink()
    with pytest.raises(ModelIncomplete, match="not the low-noise expert and the text encoder and a tokenizer"):
        find(d.SPEC, Places(roots=(tree,)))


def test_a_pickled_autoencoder_is_named_with_what_to_get_instead(tree: Path) -> None:
    shutil.rmtree(tree / "vae")
    (tree / "Wan2.1_VAE.pth").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(ModelIncomplete, match=r"not the autoencoder .*pickle.*wan_2\.1_vae\.safetensors"):
        find(d.SPEC, Places(roots=(tree,)))


def test_a_truncated_file_is_named_with_its_bytes(tree: Path) -> None:
    file = tree / "diffusion_models" / "wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors"
    size = file.stat().st_size
    with file.open("rb+") as opened:
        opened.truncate(size - 1000)
    with pytest.raises(ModelCorrupt, match=rf"low_noise.*is truncated: {size - 1000} of {size} bytes"):
        find(d.SPEC, Places(roots=(tree,)))


def test_a_smaller_model_with_a_known_name_is_told_apart(tmp_path: Path) -> None:
    write_model(tmp_path / "ti2v-5B", "ti2v")
    with pytest.raises(ModelMismatch, match=r"another one \(2 layers of 24 channels\): give the folder a name"):
        found(Places(roots=(tmp_path,)), resolve("ti2v-5B"))


def test_links_in_a_circle_end(tree: Path) -> None:
    (tree / "again").symlink_to(tree)
    for one, other in (("a", "b"), ("b", "a"), ("c", "nowhere")):
        (tree / "vae" / f"{one}.safetensors").symlink_to(tree / "vae" / f"{other}.safetensors")
    assert len(find_all(d.SPEC, Places(roots=(tree,)))) == 1


def test_nothing_is_nothing(tmp_path: Path) -> None:
    assert find(d.SPEC, Places(roots=(tmp_path, tmp_path / "nowhere"), added=(Added(path=tmp_path / "gone"),))) is None


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors", Role.HIGH),
        ("Wan2_2-T2V-A14B_HIGH_fp8_e4m3fn_scaled_KJ.safetensors", Role.HIGH),
        ("Wan2_2-T2V-A14B-LOW_fp8_e4m3fn_scaled_KJ.safetensors", Role.LOW),
        ("LowNoise/Wan2.2-T2V-A14B-LowNoise-Q4_K_M.gguf", Role.LOW),
        ("wan22-lownoise.gguf", Role.LOW),
        ("high_noise_model/diffusion_pytorch_model.safetensors", Role.HIGH),
        ("models--Wan-AI--Wan2.1-T2V-14B/snapshots/abc/diffusion_pytorch_model.safetensors.index.json", Role.ONLY),
        ("Wan2_1-T2V-14B_fp8_e4m3fn.safetensors", Role.ONLY),
        ("wan21_highres_lowvram.safetensors", Role.ONLY),
        ("Wan2.2-T2V-A14B.safetensors", None),
        ("high_to_low.safetensors", None),
        ("follow.safetensors", None),
    ],
)
def test_names_tell_experts_apart_in_any_spelling(path: str, role: Role | None) -> None:
    assert read_label(Path(path)).role == role


@pytest.mark.parametrize(
    ("name", "distilled", "other"),
    [
        ("wan2.2_t2v_high_noise_14B_fp8_scaled", False, None),
        ("Wan2.2-Distill-LightX2V_high", True, None),
        ("wan2.2_i2v_A14b_high_noise_lightx2v_4step_1030", True, None),
        ("FastWan2.2-TI2V-5B", True, None),
        ("Wan2_1-T2V-14B_CausVid_fp8", True, None),
        ("Wan2.2-Fun-A14B-InP-high", False, "fun"),
        ("wan2.2_animate_14B_bf16", False, "animate"),
        ("Wan2_1-InfiniteTalk_fp16", False, "infinite talk"),
    ],
)
def test_names_tell_what_a_model_was_changed_to(name: str, distilled: bool, other: str | None) -> None:
    label = read_label(Path(f"{name}.safetensors"))
    assert (label.distilled, label.other) == (distilled, other)


def test_both_experts_of_one_release_have_the_same_stem() -> None:
    high, low = (f"Wan2_2-T2V-A14B{name}_fp8_e4m3fn_scaled_KJ.safetensors" for name in ("_HIGH", "-LOW"))
    assert read_label(Path(high)).stem == read_label(Path(low)).stem


@pytest.fixture
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (finding, assemble):
        monkeypatch.setattr(module, "MODELS", (d.SPEC, d.SPEC_21))


@pytest.mark.usefixtures("_known")
def test_a_file_or_a_folder_may_be_given_instead_of_a_name(comfy: Path, tmp_path: Path) -> None:
    assert open_loose(comfy, Places()).precision == "fp8"
    file = d.write(tmp_path / "Wan2.1-T2V-14B.safetensors", HIGH)
    folder = open_loose(file, Places(roots=(comfy,)))
    assert (folder.path, len(folder.transformers), folder.precision) == (file, 1, "fp32")


@pytest.mark.usefixtures("_known")
def test_why_a_file_makes_no_model_is_said(comfy: Path, tmp_path: Path) -> None:
    file = d.write(tmp_path / "mystery.safetensors", HIGH)
    with pytest.raises(ModelMismatch, match="could be the high-noise or the low-noise expert"):
        open_loose(file, Places(roots=(comfy,)))
    high = d.write(tmp_path / "wan_high_noise.safetensors", HIGH)
    with pytest.raises(ModelIncomplete, match="not the low-noise expert and the autoencoder"):
        open_loose(high, Places())
    (tmp_path / "wan.ckpt").write_bytes(b"PK\x03\x04" + bytes(99))
    with pytest.raises(ModelCorrupt, match="pickle"):
        open_loose(tmp_path / "wan.ckpt", Places())
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelIncomplete, match=r"no model_index\.json"):
        open_loose(tmp_path / "empty", Places())


def test_another_kind_of_model_with_a_similar_name_keeps_nobody_from_getting_the_model(tmp_path: Path) -> None:
    d.write(tmp_path / "wan2.2_t2v_14B_vace.safetensors", HIGH | {"vace_blocks.0.w": torch.ones(1)})
    (tmp_path / "wan2.2_t2v_14B.pth").write_bytes(b"PK\x03\x04" + bytes(99))
    assert find(d.SPEC, Places(roots=(tmp_path,))) is None
