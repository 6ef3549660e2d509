"""`wan models`."""

from pathlib import Path

import pytest

from tests.cli.conftest import Wan
from wanvideo.weights.catalog import MODELS


def test_every_model_is_listed_with_what_it_is_good_at_and_needs(wan: Wan) -> None:
    ended = wan("models")
    assert ended.code == 0
    assert ended.err == ""
    for spec in MODELS:
        assert spec.id in ended.out
        assert spec.good_at in ended.out
        assert spec.needs in ended.out
    assert "hf download Wan-AI/Wan2.2-T2V-A14B-Diffusers" in ended.out


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
    assert "hf download" in first["problem"]


def test_a_damaged_copy_is_listed_with_what_is_wrong(wan: Wan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models" / "t2v-A14B").mkdir(parents=True)
    monkeypatch.setenv("WAN_MODELS", str(tmp_path / "models"))
    ended = wan("models", "--json")
    assert ended.code == 0
    assert ended.err == ""
    assert ended.events[0]["state"] == "unusable"
    assert "model_index.json" in ended.events[0]["problem"]
