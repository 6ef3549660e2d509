"""Our own family."""

from pathlib import Path

import pytest

from wanvideo.errors import InvalidRequest, ModelMissing
from wanvideo.families import wan
from wanvideo.families.protocol import LoadOptions, Places
from wanvideo.families.wan import WAN
from wanvideo.pipelines.pipeline import Pipeline
from wanvideo.weights.catalog import T2V_A14B_DEMO, T2V_A14B_LIGHTNING, ModelSpec
from wanvideo.weights.folder import ModelFolder, open_folder


@pytest.fixture
def base(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> ModelFolder:
    """A tiny model in the place of the base of every preset."""
    folder = open_folder(tiny / "t2v")

    def require(spec: ModelSpec, places: Places) -> ModelFolder:
        assert spec.base is None
        return folder

    monkeypatch.setattr(wan, "require", require)
    return folder


def put(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def test_a_demo_model_is_opened_as_a_pipeline() -> None:
    (model,) = WAN.look_in(Places()).find(T2V_A14B_DEMO)
    assert (model.entry.id, model.nbytes) == ("t2v-A14B-demo", model.folder.nbytes)
    with model.load(LoadOptions(device="cpu")) as pipeline:
        assert isinstance(pipeline, Pipeline)
        assert pipeline.spec == model.entry


def test_a_form_that_is_not_on_disk_is_missing() -> None:
    finder = WAN.look_in(Places())
    assert finder.find(T2V_A14B_DEMO, "bf16")[0].precision == "bf16"
    with pytest.raises(ModelMissing, match=r"is on disk as bf16 in .*, not as fp8"):
        finder.find(T2V_A14B_DEMO, "fp8")


def test_a_folder_of_another_width_is_a_relative(tiny: Path) -> None:
    model = WAN.look_in(Places()).open(tiny / "ti2v")
    assert (model.entry.id, model.entry.image_in_latents, model.path) == ("ti2v", True, tiny / "ti2v")


@pytest.mark.usefixtures("base")
def test_a_preset_whose_loras_are_missing_names_them(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="t2v-A14B-lightning needs LoRA files beside t2v-A14B") as caught:
        WAN.look_in(Places(roots=(tmp_path,))).find(T2V_A14B_LIGHTNING)
    assert str(caught.value.facts["missing"]).count("Comfy-Org/Wan_2.2_ComfyUI_Repackaged") == 2


def test_a_preset_runs_with_the_files_of_its_base_and_its_loras(base: ModelFolder, tmp_path: Path) -> None:
    (lora,) = T2V_A14B_LIGHTNING.loras
    high, low = (path for files in lora.files for path in files.paths)
    snapshot = tmp_path / "hub" / "models--Comfy-Org--Wan_2.2_ComfyUI_Repackaged" / "snapshots" / "1"
    in_tree = tmp_path / "models" / "loras" / Path(low).name
    put(snapshot / high, in_tree)
    places = Places(roots=(tmp_path / "models",), hub_cache=tmp_path / "hub")
    (model,) = WAN.look_in(places).find(T2V_A14B_LIGHTNING)
    assert model.folder is base
    assert (model.entry.id, model.entry.transformer) == ("t2v-A14B-lightning", base.transformers[0].config)
    assert [(lora.high, lora.low) for lora in model.loras] == [(snapshot / high, in_tree)]
    with pytest.raises(InvalidRequest, match="use t2v-A14B"):  # not noise in its name
        model.load(LoadOptions(device="cpu"))
