import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.weights.tiny_models import edit_json, write_json
from wanvideo.errors import ModelCorrupt, ModelIncomplete, ModelMismatch, ModelMissing
from wanvideo.models.config import VAE_2_1, TextEncoderConfig, TransformerConfig
from wanvideo.request import Task
from wanvideo.weights.catalog import I2V_A14B, T2V_A14B, T2V_A14B_DEMO, TI2V_5B, TI2V_5B_DEMO, ModelSpec
from wanvideo.weights.finding import find, require
from wanvideo.weights.folder import open_folder, spec_of
from wanvideo.weights.places import Places, hub_cache

Copy = Callable[[str], Path]
TINY = TransformerConfig(
    in_channels=16, out_channels=16, num_heads=2, num_layers=2, ffn_dim=32, head_dim=12, text_dim=16, freq_dim=8
)
TINY_T2V = replace(T2V_A14B, transformer=TINY)


def test_a_folder_tells_its_parts_and_architectures(models_on_disk: Path) -> None:
    folder = open_folder(models_on_disk / "t2v")
    high, low = folder.transformers
    assert high.config == low.config == TINY
    assert (high.path.name, low.path.name) == ("transformer", "transformer_2")
    assert len(high.files) == 1
    assert len(low.files) > 1  # shards
    assert folder.vae.config == replace(VAE_2_1, base_dim=8, decoder_base_dim=8)
    assert folder.text_encoder.config == TextEncoderConfig(
        dim=16, num_layers=2, num_heads=2, head_dim=8, ffn_dim=32, vocab_size=64
    )
    assert folder.tokenizer == models_on_disk / "t2v" / "tokenizer"
    assert (folder.boundary, folder.expand_timesteps) == (0.8, False)
    assert low.nbytes == high.nbytes


def test_a_vae_of_the_second_kind_is_recognised(models_on_disk: Path) -> None:
    config = open_folder(models_on_disk / "ti2v").vae.config
    assert (config.z_dim, config.pixel_patch, config.shortcuts, config.spatial_stride) == (48, 2, True, 16)
    assert (config.latent_mean[0], config.latent_std[-1]) == (0.1, 1.5)


def test_keys_that_are_missing_mean_the_defaults_of_wan_2_1(copy: Copy) -> None:
    path = copy("t2v")
    write_json(path / "vae" / "config.json", {"_class_name": "AutoencoderKLWan"})
    assert open_folder(path).vae.config == VAE_2_1


@pytest.mark.parametrize(("kind", "base"), [("t2v", T2V_A14B), ("i2v", I2V_A14B), ("ti2v", TI2V_5B)])
def test_a_relative_of_a_known_model_gets_its_defaults(models_on_disk: Path, kind: str, base: ModelSpec) -> None:
    folder = open_folder(models_on_disk / kind)
    spec = spec_of(folder)
    assert (spec.id, spec.repo_id) == (kind, None)
    assert (spec.defaults, spec.tasks, spec.experts) == (base.defaults, base.tasks, base.experts)
    assert (spec.transformer, spec.vae) == (folder.transformers[0].config, folder.vae.config)
    assert spec.boundary == {"t2v": 0.8, "i2v": 0.9, "ti2v": None}[kind]


@pytest.mark.parametrize("spec", [T2V_A14B, I2V_A14B, T2V_A14B_DEMO, TI2V_5B_DEMO], ids=lambda spec: spec.id)
def test_a_known_model_is_recognised_by_its_architecture(models_on_disk: Path, spec: ModelSpec) -> None:
    folder = open_folder(models_on_disk / "t2v")
    part = replace(folder.transformers[0], config=spec.transformer)
    assert spec_of(replace(folder, transformers=(part,) * spec.experts)).id == spec.id


def test_a_ti2v_folder_without_expanded_timesteps_takes_no_image(copy: Copy) -> None:
    path = copy("ti2v")
    edit_json(path / "model_index.json", expand_timesteps=False)
    spec = spec_of(open_folder(path))
    assert (spec.tasks, spec.image_in_latents) == (frozenset({Task.TEXT_TO_VIDEO}), False)


def test_an_image_model_with_one_transformer_is_refused(models_on_disk: Path) -> None:
    folder = open_folder(models_on_disk / "i2v")
    with pytest.raises(ModelMismatch, match="1 transformers with 36 input and 16 output channels"):
        spec_of(replace(folder, transformers=folder.transformers[:1]))


def test_no_folder_is_missing_and_an_empty_one_incomplete(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="nowhere does not exist"):
        open_folder(tmp_path / "nowhere")
    with pytest.raises(ModelIncomplete, match=r"no model_index\.json"):
        open_folder(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ModelMissing, match="is a file: give the folder"):
        open_folder(tmp_path / "file")


def test_the_official_layout_is_recognised_and_the_right_repository_named(tmp_path: Path) -> None:
    (tmp_path / "high_noise_model").mkdir()
    with pytest.raises(ModelMismatch, match=r"official code.*Wan-AI/Wan2\.2-T2V-A14B-Diffusers"):
        open_folder(tmp_path)


@pytest.mark.parametrize(
    "file",
    [
        "transformer/config.json",
        "transformer/diffusion_pytorch_model.safetensors",
        "transformer_2/diffusion_pytorch_model.safetensors.index.json",
        "vae/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/tokenizer.json",
    ],
)
def test_a_missing_file_is_named(copy: Copy, file: str) -> None:
    path = copy("t2v")
    (path / file).unlink()
    with pytest.raises(ModelIncomplete) as caught:
        open_folder(path)
    assert str((path / file).parent) in caught.value.message


def test_a_missing_shard_of_an_expert_is_named(copy: Copy) -> None:
    path = copy("t2v")
    shard = sorted((path / "transformer_2").glob("*-of-*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(ModelIncomplete, match=shard.name):
        open_folder(path)


def test_a_truncated_file_is_found_on_opening(copy: Copy) -> None:
    path = copy("t2v")
    file = path / "vae" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelCorrupt, match="truncated"):
        open_folder(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"_class_name": "StableDiffusionPipeline"}, "StableDiffusionPipeline.*another model"),
        ({"transformer": ["diffusers", "WanVACETransformer3DModel"]}, "transformer is 'WanVACE"),
        ({"transformer": [None, None]}, "transformer is None"),
        ({"vae": 3}, "vae is None"),
        ({"image_encoder": ["transformers", "CLIPVisionModel"]}, "image encoder.*use i2v-A14B"),
        ({"boundary_ratio": 875}, "boundary_ratio is 875"),
        ({"boundary_ratio": True}, "boundary_ratio is True"),
        ({"expand_timesteps": "no"}, "expand_timesteps is 'no'"),
    ],
)
def test_another_model_is_refused(copy: Copy, changes: dict[str, Any], message: str) -> None:
    path = copy("t2v")
    edit_json(path / "model_index.json", **changes)
    with pytest.raises(ModelMismatch, match=message):
        open_folder(path)


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("transformer", {"_class_name": "WanModel"}, "_class_name is 'WanModel', and 'WanTransformer3DModel'"),
        ("transformer", {"num_layers": "forty"}, "num_layers is 'forty', and a whole number"),
        ("transformer", {"num_layers": 10**9}, "num_layers is 1000000000"),
        ("transformer", {"num_attention_heads": 0}, "num_attention_heads is 0"),
        ("transformer", {"ffn_dim": True}, "ffn_dim is True"),
        ("transformer", {"attention_head_dim": 13}, "attention_head_dim is 13, and an even number"),
        ("transformer", {"patch_size": [1, 4, 4]}, "patch_size"),
        ("transformer", {"in_channels": 52}, "in_channels is 52, and 16 or 36"),
        ("transformer", {"image_dim": 1280}, "image_dim is 1280, and null"),
        ("transformer", {"qk_norm": None}, "qk_norm is None"),
        ("transformer", {"eps": -1}, "eps is -1"),
        ("transformer", {"quantization_config": {"load_in_8bit": True}}, "quantization_config"),
        ("transformer", {"ffn_dim": 64}, "different architectures"),
        ("vae", {"latents_mean": [0.0] * 48}, "latents_mean.*16 numbers"),
        ("vae", {"latents_std": [0.0] * 16}, "latents_std.*positive"),
        ("vae", {"dim_mult": [1, 2]}, "dim_mult"),
        ("vae", {"temperal_downsample": [1, 0, 1]}, "temperal_downsample"),
        ("vae", {"in_channels": 4}, "in_channels is 4, and 3"),
        ("vae", {"scale_factor_spatial": 16}, "scale_factor_spatial is 16, and 8"),
        ("vae", {"z_dim": 4, "latents_mean": [0] * 4, "latents_std": [1] * 4}, "latents of 16 channels, .*vae takes 4"),
        ("text_encoder", {"model_type": "t5"}, "model_type is 't5'"),
        ("text_encoder", {"feed_forward_proj": "relu"}, "feed_forward_proj"),
        ("text_encoder", {"d_model": 32}, "text of width 16, .*text_encoder gives 32"),
    ],
)
def test_an_architecture_that_is_none_of_ours_is_refused(
    copy: Copy, file: str, changes: dict[str, Any], message: str
) -> None:
    path = copy("t2v")
    edit_json(path / file / "config.json", **changes)
    with pytest.raises(ModelMismatch, match=message):
        open_folder(path)


def hub_snapshot(cache: Path, revision: str, main: bool = False) -> Path:
    """Where the hub puts a revision of T2V-A14B; its folder is still to be made."""
    repository = cache / "models--Wan-AI--Wan2.2-T2V-A14B-Diffusers"
    (repository / "snapshots").mkdir(parents=True, exist_ok=True)
    if main:
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(revision + "\n")
    return repository / "snapshots" / revision


def test_a_model_is_found_in_the_hub_cache(models_on_disk: Path, tmp_path: Path) -> None:
    for revision, main in (("aaaa", False), ("bbbb", True), ("cccc", False)):
        shutil.copytree(models_on_disk / "t2v", hub_snapshot(tmp_path, revision, main))
    folder = find(TINY_T2V, Places(hub_cache=tmp_path))
    assert folder is not None
    assert folder.path.name == "bbbb"


def test_links_of_the_hub_cache_are_followed(models_on_disk: Path, tmp_path: Path) -> None:
    hub_snapshot(tmp_path, "aaaa").symlink_to(models_on_disk / "t2v")
    assert find(TINY_T2V, Places(hub_cache=tmp_path)) is not None


@pytest.mark.parametrize("name", ["t2v-A14B", "Wan2.2-T2V-A14B-Diffusers", "Wan-AI/Wan2.2-T2V-A14B-Diffusers"])
def test_a_model_is_found_below_a_root(models_on_disk: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(models_on_disk / "t2v", tmp_path / name)
    folder = find(TINY_T2V, Places(roots=(tmp_path / "nowhere", tmp_path)))
    assert folder is not None
    assert folder.path == tmp_path / name


def test_a_whole_copy_is_preferred_to_a_damaged_one(models_on_disk: Path, tmp_path: Path) -> None:
    shutil.copytree(models_on_disk / "t2v", tmp_path / "t2v-A14B")
    (tmp_path / "t2v-A14B" / "model_index.json").unlink()
    shutil.copytree(models_on_disk / "t2v", hub_snapshot(tmp_path, "aaaa"))
    folder = find(TINY_T2V, Places(roots=(tmp_path,), hub_cache=tmp_path))
    assert folder is not None
    assert folder.path.name == "aaaa"


def test_a_lone_damaged_copy_is_an_error_and_not_nothing(models_on_disk: Path, tmp_path: Path) -> None:
    shutil.copytree(models_on_disk / "t2v", tmp_path / "t2v-A14B")
    (tmp_path / "t2v-A14B" / "vae" / "config.json").unlink()
    with pytest.raises(ModelIncomplete, match="vae"):
        find(TINY_T2V, Places(roots=(tmp_path,)))


def test_a_folder_under_a_wrong_name_is_not_taken_for_the_model(models_on_disk: Path, tmp_path: Path) -> None:
    shutil.copytree(models_on_disk / "ti2v", tmp_path / "t2v-A14B")
    with pytest.raises(ModelMismatch, match=r"of the kind of Wan 2\.2 TI2V 5B, not Wan 2\.2 T2V A14B"):
        find(TINY_T2V, Places(roots=(tmp_path,)))


def test_a_model_that_is_nowhere_is_none_or_an_error_that_says_how_to_get_it(tmp_path: Path) -> None:
    places = Places(roots=(tmp_path,), hub_cache=tmp_path / "nowhere", demo=tmp_path)
    assert find(T2V_A14B, places) is None
    assert find(T2V_A14B_DEMO, places) is None
    with pytest.raises(ModelMissing) as caught:
        require(T2V_A14B, places)
    assert caught.value.suggestions == ("wan models pull t2v-A14B",)
    with pytest.raises(ModelMissing, match="install wanvideo again"):
        require(T2V_A14B_DEMO, places)


def test_demo_models_find_their_shared_parts(models_on_disk: Path, tmp_path: Path) -> None:
    for kind, spec in (("t2v", T2V_A14B_DEMO), ("ti2v", TI2V_5B_DEMO)):
        shutil.copytree(models_on_disk / kind, tmp_path / spec.id)
    for part in ("text_encoder", "tokenizer", "vae"):
        (tmp_path / "shared").mkdir(exist_ok=True)
        shutil.move(tmp_path / T2V_A14B_DEMO.id / part, tmp_path / "shared" / part)
    for part in ("text_encoder", "tokenizer"):
        shutil.rmtree(tmp_path / TI2V_5B_DEMO.id / part)

    t2v = require(T2V_A14B_DEMO, Places(demo=tmp_path))
    ti2v = open_folder(tmp_path / TI2V_5B_DEMO.id)  # by its path as well as by its name
    assert t2v.vae.path == tmp_path / "shared" / "vae"
    assert ti2v.vae.path == tmp_path / TI2V_5B_DEMO.id / "vae"
    assert t2v.text_encoder.path == ti2v.text_encoder.path == tmp_path / "shared" / "text_encoder"
    assert len(t2v.transformers) == 2


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({}, "/home/me/.cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/cache"}, "/cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/cache", "HF_HOME": "/hf"}, "/hf/hub"),
        ({"HF_HOME": "/hf", "HF_HUB_CACHE": "/hub"}, "/hub"),
        ({"HF_HOME": ""}, "/home/me/.cache/huggingface/hub"),
    ],
)
def test_the_hub_cache_is_where_the_environment_says(environment: dict[str, str], path: str) -> None:
    assert hub_cache(environment, Path("/home/me")) == Path(path)
