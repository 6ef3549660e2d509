"""`wan models`."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from tests.cli.conftest import Wan
from wanvideo.cli import models
from wanvideo.families.protocol import ENTRY_POINTS
from wanvideo.families.registry import discover
from wanvideo.weights.catalog import MODELS


def test_every_model_is_listed_with_what_it_is_good_at_and_needs(wan: Wan) -> None:
    ended = wan("models")
    assert ended.code == 0
    assert ended.err == ""
    for spec in MODELS:
        assert spec.id in ended.out
        assert spec.good_at in ended.out
        assert spec.needs in ended.out
    assert "wan models pull t2v-A14B" in ended.out


def test_demo_models_are_labelled(wan: Wan) -> None:
    demos = [event["id"] for event in wan("models", "--json").events if event["demo"]]
    assert demos == [spec.id for spec in MODELS if spec.demo]
    assert all(f"{demo} (demo)" in wan("models").out for demo in demos)


def test_json_has_one_model_a_line(wan: Wan) -> None:
    events = wan("models", "--json").events
    assert [event["id"] for event in events] == [spec.id for spec in MODELS]
    assert {event["event"] for event in events} == {"model"}
    first = events[0]
    assert first["tasks"] == ["t2v"]
    assert first["state"] == "missing"
    assert first["path"] is None
    assert "wan models pull" in first["problem"]


def test_a_damaged_copy_is_listed_with_what_is_wrong(wan: Wan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models" / "t2v-A14B").mkdir(parents=True)
    monkeypatch.setenv("WAN_MODELS", str(tmp_path / "models"))
    ended = wan("models", "--json")
    assert ended.code == 0
    assert ended.err == ""
    assert ended.events[0]["state"] == "unusable"
    assert "model_index.json" in ended.events[0]["problem"]


def test_one_model_is_shown_with_all_that_can_be_downloaded(wan: Wan) -> None:
    ended = wan("models", "show", "WAN2.2-T2V-A14B")
    assert ended.code == 0
    for text in ("fp32 ", "126.2 GB", "35.6 GB, scaled 8-bit floats", "GGUF Q4_K_M", "Apache-2.0", "multiples of 16"):
        assert text in ended.out
    assert "for this computer" in ended.out


def test_json_of_one_model_has_what_the_catalog_has(wan: Wan) -> None:
    (event,) = wan("models", "show", "t2v-A14B-lightning", "--json").events
    assert (event["id"], event["base"], event["state"]) == ("t2v-A14B-lightning", "t2v-A14B", "missing")
    assert [variant["id"] for variant in event["variants"]][:3] == ["fp32", "fp16", "fp8"]
    assert event["variants"][2]["files"][0]["repo_id"] == "Comfy-Org/Wan_2.2_ComfyUI_Repackaged"
    assert event["loras"][0]["bytes"] == 2 * 1_226_977_424
    assert event["defaults"]["sigmas"][:2] == [1.0, 0.9375]
    assert event["limits"]["max_frames"] == 161
    assert event["usual_sizes"][0] == [832, 480]
    assert event["picked"]["variant"] in [variant["id"] for variant in event["variants"]]
    (demo,) = wan("models", "show", "t2v-A14B-demo", "--json").events
    assert (demo["state"], demo["variants"], demo["picked"]) == ("ready", [], None)


def test_an_unknown_model_is_an_error_with_the_nearest(wan: Wan) -> None:
    ended = wan("models", "show", "t2v-A14", "--json")
    assert ended.code == 2
    assert ended.error["suggestions"][0] == "t2v-A14B"


def test_a_family_that_cannot_be_used_is_a_warning(wan: Wan, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = discover([EntryPoint("broken", "no_such_module:FAMILY", ENTRY_POINTS)])
    monkeypatch.setattr(models, "installed_families", lambda: broken)
    ended = wan("models")
    assert ended.code == 0
    assert "t2v-A14B-demo" in ended.out
    assert ended.err.startswith("warning: The family broken (no_such_module:FAMILY) cannot be used")
    assert wan("models", "--json").events[-1]["name"] == "broken"
