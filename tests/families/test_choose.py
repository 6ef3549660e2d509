"""Which model is taken, and why."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from benchmarks.full_size import folder_for
from tests.pipelines.conftest import picture
from wanvideo.errors import ModelCorrupt, ModelMissing, UnknownModel
from wanvideo.families import wan
from wanvideo.families.choose import choose, named
from wanvideo.models import config as arch
from wanvideo.request import GenerationRequest
from wanvideo.weights import catalog
from wanvideo.weights.catalog import ModelSpec
from wanvideo.weights.folder import ModelFolder
from wanvideo.weights.places import Places

TEXT = GenerationRequest(prompt="a heron")
IMAGE = GenerationRequest(prompt="a heron", image=picture())
BOTH = GenerationRequest(prompt="a heron", image=picture(), end_image=picture())
PLENTY = 100 * 2**30


@cache
def folder_of(spec: ModelSpec) -> ModelFolder:
    whole = replace(spec, vae=spec.vae or arch.VAE_2_1, text_encoder=spec.text_encoder or arch.UMT5_XXL)
    return replace(folder_for(whole), path=Path(spec.id))


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say which real models are on disk; the demo models always are."""

    def say(*ids: str) -> None:
        def find_all(spec: ModelSpec, places: Places, **_: object) -> list[ModelFolder]:
            return [folder_of(spec)] if spec.id in ids or spec.demo else []

        monkeypatch.setattr(wan, "find_all", find_all)

    return say


EVERYTHING = [spec.id for spec in catalog.MODELS]


@pytest.mark.parametrize(
    ("request_", "there", "chosen"),
    [
        (TEXT, EVERYTHING, "t2v-A14B"),
        (IMAGE, EVERYTHING, "i2v-A14B"),
        (BOTH, EVERYTHING, "i2v-A14B"),
        (TEXT, ["ti2v-5B", "wan2.1-t2v-1.3B"], "ti2v-5B"),
        (IMAGE, ["t2v-A14B", "ti2v-5B"], "ti2v-5B"),
        (TEXT, ["i2v-A14B", "wan2.1-t2v-1.3B"], "wan2.1-t2v-1.3B"),
        (TEXT, ["i2v-A14B"], "t2v-A14B-demo"),
        (IMAGE, ["t2v-A14B"], "i2v-A14B-demo"),
        (BOTH, ["ti2v-5B"], "i2v-A14B-demo"),
        (TEXT, [], "t2v-A14B-demo"),
    ],
)
def test_the_best_model_for_the_inputs_is_taken(
    on_disk: Callable[..., None], request_: GenerationRequest, there: list[str], chosen: str
) -> None:
    on_disk(*there)
    choice = choose(request_, Places(), PLENTY)
    assert choice.spec.id == chosen
    assert ("demo" in choice.reason) == chosen.endswith("demo")


def test_a_model_that_does_not_fit_is_passed_over_and_that_is_said(on_disk: Callable[..., None]) -> None:
    on_disk(*EVERYTHING)
    choice = choose(TEXT, Places(), 5 * 2**30)
    assert choice.spec.id == "ti2v-5B"
    assert choice.reason == "the best that is here: t2v-A14B needs 6 GiB of GPU memory, 5 are free"
    assert choose(TEXT, Places(), 2**30).spec.id == "t2v-A14B-demo"


def test_without_a_gpu_the_demo_is_taken(on_disk: Callable[..., None]) -> None:
    on_disk("t2v-A14B")
    choice = choose(TEXT, Places(), None)
    assert choice.spec.id == "t2v-A14B-demo"
    assert choice.reason == "a built-in demo: t2v-A14B needs a GPU"


def test_a_damaged_model_is_passed_over_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_all(spec: ModelSpec, places: Places, **_: object) -> list[ModelFolder]:
        if spec.id == "t2v-A14B":
            raise ModelCorrupt("truncated")
        return [folder_of(spec)]

    monkeypatch.setattr(wan, "find_all", find_all)
    choice = choose(TEXT, Places(), PLENTY)
    assert choice.spec.id == "ti2v-5B"
    assert "t2v-A14B is damaged (MODEL_CORRUPT)" in choice.reason


def test_a_name_comes_before_a_folder_and_a_folder_is_as_good(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choice = named(tiny / "ti2v", Places())
    assert (choice.spec.id, choice.spec.image_in_latents) == ("ti2v", True)
    assert str(tiny / "ti2v") in choice.reason
    entry = named(str(tiny / "t2v"), Places()).spec
    assert isinstance(entry, ModelSpec)
    assert entry.boundary == 0.8
    monkeypatch.chdir(tiny)
    assert named("i2v", Places()).spec.takes_end_image
    assert named("./i2v", Places()).model == named("i2v", Places()).model


def test_names_and_folders_that_are_not_there_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel):
        named("wan-9000", Places())
    with pytest.raises(ModelMissing, match="does not exist"):
        named("./wan-9000", Places())
    with pytest.raises(ModelMissing, match="wan models pull"):
        named("ti2v-5B", Places(roots=(tmp_path,)))


def test_memory_is_estimated_from_sizes_alone() -> None:
    model = wan.WanModel(entry=catalog.T2V_A14B, folder=folder_of(catalog.T2V_A14B))
    full, larger = model.memory(832, 480, 81), model.memory(1280, 720, 81)
    assert 5 * 2**30 < full.in_turn < 8 * 2**30  # block by block
    assert larger.in_turn - full.in_turn > 2.5 * 2**30
    assert 70 * 2**30 < full.together < 76 * 2**30
