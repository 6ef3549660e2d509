"""Models, over HTTP."""

from pathlib import Path
from typing import Any, get_args

import pytest

from tests.server.serving import Serving, no_workers, serving
from tests.weights import dialects as d
from tests.weights.test_finding import comfy
from wanvideo.server.recommend import ADVICE
from wanvideo.server.schemas.wan_models import AdviceCode
from wanvideo.weights import adding, assemble, finding, folder
from wanvideo.weights.registry import read_registry

__all__ = ["comfy"]  # a fixture

MODELS = "/api/v1/models"
WAN = "/api/v1/wan-models"


def test_the_status_has_the_old_words(idle: Serving) -> None:
    found = idle.get(f"{MODELS}/status")
    assert found["available_models"] == 3
    status = found["models"]["t2v-A14B-demo"]
    assert (status["status"], status["is_available"], status["demo"]) == ("available", True, True)
    assert idle.get(f"{MODELS}/status/T2V-A14B")["model_id"] == "t2v-A14B-demo"
    assert idle.get(f"{MODELS}/status/detailed")["total_models"] == len(idle.parts.catalog.entries)


def test_the_catalog_says_what_is_here_and_what_to_get(idle: Serving) -> None:
    models = {model["id"]: model for model in idle.get(MODELS)["models"]}
    assert models["ti2v-5B"]["state"] == "missing"
    assert any(variant["recommended"] for variant in models["ti2v-5B"]["variants"])
    assert models["ti2v-5B-demo"]["state"] == "ready"
    assert idle.get(f"{MODELS}/wan2.1-t2v-1.3b")["id"] == "wan2.1-t2v-1.3B"


def test_the_three_types_are_the_real_models_without_the_demo(tmp_path: Path) -> None:
    with serving(tmp_path, workers=no_workers, demo=False) as server:
        found = server.get(f"{MODELS}/status")["models"]
        assert found["t2v-A14B"]["status"] == "missing"
        assert "wan models pull" in found["t2v-A14B"]["error_message"]
        answer = server.client.post("/api/v1/generation/submit", json={"model_type": "T2V-A14B", "prompt": "x"})
        assert answer.json()["code"] == "GPU_UNSUPPORTED"
        assert "t2v-A14B-demo" in answer.json()["message"]
        assert server.submit(model_type="auto")["demo"] is True
        health = server.get("/api/v1/system/health")["system_info"]
        assert any("demo" in said for said in (*health["warnings"], *health["recommendations"]))


@pytest.mark.parametrize(
    "path",
    ["summary", "health", "analytics", "integration/status", "download/progress", "status/i2v"],
)
def test_every_question_about_models_has_an_answer(idle: Serving, path: str) -> None:
    assert idle.get(f"{MODELS}/{path}")


@pytest.mark.parametrize(
    "path",
    ["capabilities/T2V-A14B", "health/ti2v-5b", "performance/i2v-A14B", "compare/t2v/ti2v", "recommend", "dashboard",
     "status"],
)  # fmt: skip
def test_every_question_about_wan_models_has_an_answer(idle: Serving, path: str) -> None:
    assert idle.get(f"{WAN}/{path}")


def test_nothing_is_said_to_be_measured_that_was_not(idle: Serving) -> None:
    found = idle.get(f"{WAN}/performance/T2V-A14B")
    assert found["runs"] == 0
    assert "seconds_per_step" not in found
    assert "success_rate" not in found


def test_a_recommendation_says_why_in_words_and_by_codes(idle: Serving) -> None:
    found = idle.get(f"{WAN}/recommend", use_case="animate a photo", speed_priority="high")
    assert found["reasoning"][0] == "The video begins with a picture."
    assert [point["text"] for point in found["points"]] == found["reasoning"] + found["limitations"]
    against = [point for point in found["points"] if point["code"] == "needs_gpu"]
    assert {"model": "Wan 2.2 I2V A14B"} in [point["values"] for point in against]
    assert set(ADVICE) == set(get_args(AdviceCode))
    assert found["recommended_model"] == "i2v-A14B-demo"  # nothing else fits without a GPU
    assert found["limitations"]


def test_a_substitute_takes_the_same_inputs(idle: Serving) -> None:
    found = idle.post(f"{MODELS}/fallback/suggest", {"requested_model": "i2v-A14B", "quality": "high"})
    assert found["suggested_model"] in ("ti2v-5B-demo", "i2v-A14B-demo")


def test_what_comes_with_the_package_needs_no_download(idle: Serving) -> None:
    assert idle.post(f"{MODELS}/download", {"model_type": "T2V-A14B"})["status"] == "already_available"
    assert idle.post(f"{MODELS}/validate/T2V-A14B")["integrity_status"] == "valid"
    assert idle.post(f"{MODELS}/verify/T2V-A14B")["is_valid"] is True
    assert idle.post(f"{MODELS}/validate/wan2.1-t2v-1.3B")["integrity_status"] == "not_available"
    assert idle.post(f"{MODELS}/cleanup")["models"] == []


def test_a_demo_does_not_stand_for_the_files_of_a_model(idle: Serving) -> None:
    assert idle.get(f"{MODELS}/ti2v-5B")["state"] == "missing"
    started = idle.post(f"{MODELS}/download", {"model_type": "ti2v-5B", "variant": "fp32"})
    assert (started["status"], started["variant"]) == ("download_started", "fp32")
    managed = idle.post(f"{MODELS}/download/manage", {"model_id": "ti2v-5B", "action": "cancel"})
    assert managed["model_id"] == "ti2v-5B"
    assert idle.post(f"{MODELS}/validate/ti2v-5B")["integrity_status"] == "not_available"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "nope", None, 404),
        ("GET", "status/nope", None, 404),
        ("POST", "download", {"model_type": "nope"}, 422),
        ("POST", "download/manage", {"model_id": "t2v", "action": "pause"}, 404),
        ("POST", "download/manage", {"model_id": "t2v", "action": "rm"}, 422),
        ("GET", "download/progress/t2v", None, 404),
        ("DELETE", "ti2v-5B-demo", None, 409),
        ("POST", "repair/ti2v-5B", {}, 409),
        ("POST", "plan", {"model_type": "t2v", "frames": 0}, 422),
    ],
)
def test_what_cannot_be_done_is_said(idle: Serving, method: str, path: str, body: Any, status: int) -> None:
    answer = idle.client.request(method, f"{MODELS}/{path}", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["message"]
    assert str(idle.parts.settings.data_dir.parent) not in answer.text


def test_what_a_plan_offers_instead_can_be_asked_for_as_it_is(idle: Serving) -> None:
    wish = {"model_type": "t2v-A14B-demo"}
    other = idle.post("/api/v1/generation/plan", wish)["alternatives"][0]
    again = idle.post("/api/v1/generation/plan", wish | other["patch"])
    assert (again["frames"], again["peak_mb"]) == (other["patch"]["frames"], other["peak_mb"])
    assert again["adjustments"] == []


def test_files_of_this_computer_are_used_where_they_lie(
    fresh: Serving, comfy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (adding, assemble, finding, folder):
        monkeypatch.setattr(module, "MODELS", (d.SPEC,))
    added = fresh.post(f"{MODELS}/add", {"path": f"'{comfy}'"})
    assert [each.partition(",")[0] for each in added["found"]][:2] == ["transformer", "transformer"]
    registry = fresh.parts.catalog.places.registry
    assert registry is not None
    assert [each.path for each in read_registry(registry)] == [comfy]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("models", 422, "whole path"),
        ("/nowhere/at/all", 422, "nothing lies at"),
        ("{tmp}", 409, "no weights of Wan"),
    ],
)
def test_what_cannot_be_added_is_explained(fresh: Serving, tmp_path: Path, path: str, status: int, said: str) -> None:
    answer = fresh.client.post(f"{MODELS}/add", json={"path": path.format(tmp=tmp_path)})
    assert answer.status_code == status
    assert said in answer.json()["message"]
