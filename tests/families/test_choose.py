"""Which model is taken, and why."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines.conftest import picture
from wanvideo.errors import ModelCorrupt, ModelMissing, UnknownModel
from wanvideo.families import wan
from wanvideo.families.choose import choose, named
from wanvideo.models import config as arch
from wanvideo.pipelines.memory import footprint
from wanvideo.pipelines.size import Size
from wanvideo.request import GenerationRequest
from wanvideo.weights import catalog
from wanvideo.weights.catalog import ModelSpec
from wanvideo.weights.folder import ModelFolder, open_folder
from wanvideo.weights.headers import TensorInfo, WeightFile
from wanvideo.weights.layout import Layout, Network
from wanvideo.weights.network import NetworkPart
from wanvideo.weights.places import Places

TEXT = GenerationRequest(prompt="a heron")
IMAGE = GenerationRequest(prompt="a heron", image=picture())
BOTH = GenerationRequest(prompt="a heron", image=picture(), end_image=picture())
PLENTY = 100 * 2**30


def folder_of(spec: ModelSpec) -> ModelFolder:
    """A folder as large as the model, without files."""

    def part(config: Any, weights: int) -> NetworkPart[Any]:
        tensor = TensorInfo(name="w", dtype="BF16", shape=(weights,), start=0, nbytes=2 * weights)
        file = WeightFile(path=Path(), tensors={"w": tensor}, metadata={})
        return NetworkPart(path=Path(), config=config, files=(file,), layout=Layout(network=Network.TRANSFORMER))

    weights = {5120: 14_288_491_584, 3072: 4_999_787_712, 1536: 1_418_996_800, 128: 2_300_000}[spec.transformer.dim]
    return ModelFolder(
        path=Path(spec.id),
        transformers=(part(spec.transformer, weights),) * spec.experts,
        vae=part(spec.vae or arch.VAE_2_1, 126_892_531),
        text_encoder=part(arch.UMT5_XXL, 5_680_910_336),
        tokenizer=Path(),
        boundary=spec.boundary,
        expand_timesteps=None,
    )


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
    choice = choose(TEXT, Places(), 30 * 2**30)
    assert choice.spec.id == "ti2v-5B"
    assert choice.reason == "the best that is here: t2v-A14B needs 33 GiB of GPU memory, 30 are free"
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


def test_memory_is_estimated_from_sizes_alone(tiny: Path) -> None:
    full = footprint(folder_of(catalog.T2V_A14B), Size(832, 480), 81)
    assert full.transformers == (28_576_983_168,) * 2
    assert 30e9 < full.in_turn < 40e9
    assert 75e9 < full.together < 85e9
    larger = footprint(folder_of(catalog.T2V_A14B), Size(1280, 720), 81)
    assert larger.denoising > 2 * full.denoising
    assert larger.decoding > 2 * full.decoding
    assert footprint(open_folder(tiny / "t2v"), Size(64, 64), 5).together < 2**30
