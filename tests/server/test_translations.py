"""What the server says in English, the app says in all its languages: by id, where a text has one."""

import json
from pathlib import Path
from typing import Any

import pytest

from wanvideo.pipelines.adapt import adapt
from wanvideo.pipelines.settings import parameters
from wanvideo.request import GenerationRequest
from wanvideo.weights.catalog import MODELS

WEB = Path(__file__).parents[2] / "web" / "src"
LANGUAGES = ("de", "en", "zh")
# Of a video; shown in words of their own, or not at all (features/gallery/rows.ts).
OTHERWISE = {"prompt", "model", "task", "width", "height", "frames", "fps", "seed", "steps"}


def texts(folder: str, language: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((WEB / folder / "locales" / f"{language}.json").read_text("utf-8"))
    return found


def said(entry_id: str) -> str:
    return entry_id.replace(".", "_")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_model_is_described_in_every_language(language: str) -> None:
    assert set(texts("components", language)["model"]) == {said(entry.id) for entry in MODELS}


def test_descriptions_of_models_are_those_of_the_catalog_and_no_other_language_has_them() -> None:
    english, *others = (texts("components", language)["model"] for language in ("en", "de", "zh"))
    for entry in MODELS:
        assert english[said(entry.id)] == {"goodAt": entry.good_at, "needs": entry.needs}
        for other in others:
            assert not set(other[said(entry.id)].values()) & {entry.good_at, entry.needs}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_setting_that_a_video_keeps_has_a_name_in_every_language(language: str) -> None:
    kept = set(parameters(adapt(MODELS[0], GenerationRequest(prompt="a heron"))))
    assert set(texts("features/gallery", language)["setting"]) == kept - OTHERWISE
