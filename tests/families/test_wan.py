"""Our own family."""

from pathlib import Path

import pytest

from tests.weights.lora.dialects import write_comfyui
from wanvideo.errors import ModelMissing
from wanvideo.families import wan
from wanvideo.families.protocol import LoadOptions, Places
from wanvideo.families.wan import WAN
from wanvideo.pipelines.events import Resolved
from wanvideo.pipelines.pipeline import Pipeline
from wanvideo.request import GenerationRequest
from wanvideo.weights.catalog import T2V_A14B, T2V_A14B_DEMO, T2V_A14B_LIGHTNING, ModelSpec
from wanvideo.weights.folder import ModelFolder, open_folder


@pytest.fixture
def base(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> ModelFolder:
    """A tiny model in the place of the base of every preset."""
    folder = open_folder(tiny / "t2v")

    def find_all(spec: ModelSpec, places: Places, **_: object) -> list[ModelFolder]:
        assert spec.base is None
        return [folder]

    monkeypatch.setattr(wan, "find_all", find_all)
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


def test_a_form_that_is_not_on_disk_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="'fp8' is not on disk: `wan models pull t2v-A14B --variant fp8`"):
        WAN.look_in(Places(roots=(tmp_path,))).find(T2V_A14B, "fp8")


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


@pytest.mark.usefixtures("base")
def test_a_preset_adds_its_loras_to_every_request(tmp_path: Path) -> None:
    (lora,) = T2V_A14B_LIGHTNING.loras
    for seed, files in enumerate(lora.files):
        (tmp_path / "loras").mkdir(exist_ok=True)
        write_comfyui(tmp_path / "loras" / Path(files.paths[0]).name, seed=seed)
    (model,) = WAN.look_in(Places(roots=(tmp_path,))).find(T2V_A14B_LIGHTNING)
    with model.load(LoadOptions(device="cpu")) as pipeline:
        events = pipeline.generate(GenerationRequest(prompt="a heron", width=64, height=64, frames=5, seed=1))
        resolved = next(events)
        events.close()
    assert isinstance(resolved, Resolved)
    assert [(one.strength, one.strength_low) for one in resolved.request.loras] == [(1.0, 0.0), (0.0, 1.0)]
    assert (resolved.request.steps, resolved.request.guidance_high) == (4, 1.0)
