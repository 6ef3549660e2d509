"""Asking for videos."""

from io import BytesIO
from typing import Any

import pytest
from PIL import Image

import wanvideo
from tests.server.serving import Serving
from wanvideo.pipelines.loras import SHIPPED
from wanvideo.server.forecast import Wish, forecast, plan_view
from wanvideo.server.schemas.queue import LoraBody
from wanvideo.server.submission import at_hand

SUBMIT = "/api/v1/generation/submit"


def picture(width: int = 64, height: int = 64) -> bytes:
    file = BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, "JPEG")
    return file.getvalue()


def refused(server: Serving, status: int, **fields: Any) -> Any:
    answer = server.client.post(SUBMIT, json={"model_type": "T2V-A14B", "prompt": "a circle"} | fields)
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["detail"] == body["message"]
    assert body["error"] == body["code"]
    assert isinstance(body["suggestions"], list)
    return body


def test_what_the_old_client_sends_is_taken(idle: Serving) -> None:
    sent = {
        "model_type": "T2V-A14B",
        "prompt": "a small red circle moves left",
        "resolution": "1280x720",
        "steps": 50,
        "lora_path": "",
        "lora_strength": 1.0,
    }
    answer = idle.post(SUBMIT, sent)
    assert answer["status"] == "pending"
    assert isinstance(answer["message"], str)
    assert answer["estimated_time_minutes"] >= 0
    assert answer["demo"] is True
    assert answer["adjustments"][0]["field"] == "size"
    task = idle.get(f"/api/v1/queue/{answer['task_id']}")
    assert (task["model_type"], task["steps"], task["resolution"]) == ("T2V-A14B", 50, "160x96")


@pytest.mark.parametrize("spelling", ["t2v-A14B", "T2V_a14b", "Wan2.2-T2V-A14B", "t2v", "t2v-A14B@2.2.0", "auto"])
def test_a_model_has_many_names(idle: Serving, spelling: str) -> None:
    assert idle.submit(model_type=spelling)["model"] == "t2v-A14B-demo"


def test_the_names_of_older_forms_are_understood(idle: Serving) -> None:
    sent = {"modelType": "T2V-A14B", "prompt": "x", "loraPath": "slanted", "loraStrength": 0, "num_frames": 9}
    task = idle.post(SUBMIT, sent)["tasks"][0]
    assert (task["lora_path"], task["lora_strength"], task["frames"]) == ("slanted", 0, 9)


def test_a_picture_comes_in_a_form(idle: Serving) -> None:
    form = {"model_type": "I2V-A14B", "prompt": "it moves", "resolution": "128x128", "steps": "2", "lora_path": ""}
    files = {"image": ("x.jpg", picture(), "image/jpeg"), "end_image": ("y.jpg", picture(), "image/jpeg")}
    answer = idle.client.post(SUBMIT, data=form, files=files)
    assert answer.status_code == 200, answer.text
    task = answer.json()["tasks"][0]
    assert task["image_path"] == task["end_image_path"]
    assert "/" not in task["image_path"]
    again = idle.submit(model_type="I2V-A14B", image_name=task["image_path"])
    assert again["tasks"][0]["image_path"] == task["image_path"]


def test_many_videos_come_from_one_request(idle: Serving) -> None:
    tasks = idle.submit(count=3, seed=7)["tasks"]
    assert [task["seed"] for task in tasks] == [7, 8, 9]
    drawn = idle.submit(count=2)["tasks"]
    assert drawn[0]["seed"] is not None


def test_the_same_key_makes_jobs_once(idle: Serving) -> None:
    body = {"model_type": "T2V-A14B", "prompt": "a circle"}
    first, second = (idle.client.post(SUBMIT, json=body, headers={"Idempotency-Key": "k1"}).json() for _ in range(2))
    assert first["task_ids"] == second["task_ids"]
    assert (first["replayed"], second["replayed"]) == (False, True)
    other = idle.client.post(SUBMIT, json=body | {"prompt": "a square"}, headers={"Idempotency-Key": "k1"})
    assert other.status_code == 422
    assert other.json()["code"] == "IDEMPOTENCY_CONFLICT"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"prompt": "  "}, "INPUT_PROMPT"),
        ({"prompt": "a\0b"}, "INPUT_PROMPT"),
        ({"prompt": "x" * 17_000}, "INPUT_PROMPT"),
        ({"model_type": "nope"}, "MODEL_UNKNOWN"),
        ({"model_type": "I2V-A14B"}, "INPUT_IMAGE_REQUIRED"),
        ({"resolution": "8x8"}, "INPUT_SIZE"),
        ({"resolution": "big"}, "INVALID_REQUEST"),
        ({"steps": 0}, "INVALID_REQUEST"),
        ({"steps": "many"}, "INVALID_REQUEST"),
        ({"frames": 9999}, "INPUT_FRAMES"),
        ({"image_name": "../../etc/passwd"}, "INPUT_IMAGE_BAD"),
        ({"lora_path": "/etc/passwd", "lora_policy": "fail"}, "LORA_NOT_FOUND"),
        ({"loras": [{"name": "slanted", "strength": 99}]}, "INVALID_REQUEST"),
        ({"count": 65}, "INVALID_REQUEST"),
        ({"solver": "magic"}, "INVALID_REQUEST"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(idle: Serving, fields: dict[str, Any], code: str) -> None:
    assert refused(idle, 422, **fields)["code"] == code


def test_a_picture_for_a_model_of_text_is_refused_with_one_that_takes_it(idle: Serving) -> None:
    name = idle.parts.inputs.keep(BytesIO(picture()), 1 << 20)
    body = refused(idle, 422, image_name=name)
    assert body["code"] == "INPUT_IMAGE_NOT_TAKEN"
    assert "i2v" in body["message"]


def test_a_lora_that_is_not_there_is_left_out_and_said(idle: Serving) -> None:
    answer = idle.submit(lora_path="/etc/passwd")
    assert answer["tasks"][0]["loras"] == []
    assert answer["adjustments"][0]["used"] == "left out"


@pytest.mark.parametrize("body", ["", "[]", "nope", "{", '"x"', "[" * 100_000])
def test_what_is_no_json_object_is_a_bad_request(idle: Serving, body: str) -> None:
    answer = idle.client.post(SUBMIT, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["code"] == "BAD_REQUEST"


def test_a_file_that_is_no_picture_is_refused(idle: Serving) -> None:
    form = {"model_type": "I2V-A14B", "prompt": "it moves"}
    answer = idle.client.post(SUBMIT, data=form, files={"image": ("x.png", b"<svg onload=alert(1)>", "image/png")})
    assert answer.status_code == 422
    assert answer.json()["code"] == "INPUT_IMAGE_BAD"


def test_the_type_is_detected_by_a_rule(idle: Serving) -> None:
    found = idle.get("/api/v1/generation/models/detect", prompt="a heron", has_image="false", has_end_image="false")
    assert found["detected_model_type"] == "T2V-A14B"
    assert found["explanation"][0].startswith("rule")
    assert 0 <= found["confidence"] <= 1
    assert found["requirements"]["requires_image"] is False
    assert (
        idle.get("/api/v1/generation/models/detect", prompt="x", has_image="true")["detected_model_type"] == "I2V-A14B"
    )


def test_a_plan_says_what_a_video_takes(idle: Serving) -> None:
    plan = idle.post("/api/v1/generation/plan", {"model_type": "t2v-A14B-demo", "frames": 9, "steps": 4})
    assert (plan["frames"], plan["steps"], plan["fits"]) == (9, 4, True)
    assert plan["seconds"] > 0


def test_a_plan_counts_the_loras_that_are_here(idle: Serving) -> None:
    wish = {"model_type": "t2v-A14B-demo"}
    seconds = [
        idle.post("/api/v1/generation/plan", wish | {"loras": [{"name": str(name)} for name in names]})["seconds"]
        for names in ([], ["Slanted.safetensors"], ["nobody", SHIPPED / "slanted.safetensors"])
    ]
    plain, beside, elsewhere = seconds
    assert beside >= plain == elsewhere
    entry = idle.parts.catalog.entry("t2v-A14B-demo")
    assert entry is not None
    asked = [LoraBody(name="Slanted.safetensors"), LoraBody(name=str(SHIPPED / "slanted.safetensors"))]
    uses = at_hand(asked, idle.parts.sources.library)
    assert [use.source for use in uses] == ["slanted"]
    assert forecast(idle.parts, entry, Wish(loras=uses)).work.lora_bytes > 0
    assert forecast(idle.parts, entry, Wish()).work.lora_bytes == 0


def test_a_plan_offers_a_step_cache_and_counts_the_steps_that_are_left(idle: Serving) -> None:
    wish = {"model_type": "t2v-A14B-demo"}
    plan = idle.post("/api/v1/generation/plan", wish)
    assert ("step_cache" in plan, plan["quality"]) == (False, [])
    (other,) = (each for each in plan["alternatives"] if "step_cache" in each["patch"])
    again = idle.post("/api/v1/generation/plan", wish | other["patch"])
    assert (again["step_cache"], again["seconds"]) == (0.05, other["seconds"])
    assert again["quality"] == other["quality"]
    assert [(each["setting"], each["psnr_db"]) for each in again["quality"]] == [("step cache 0.05", 50.1)]
    (back,) = (each for each in again["alternatives"] if "step_cache" in each["patch"])
    assert idle.post("/api/v1/generation/plan", wish | back["patch"])["seconds"] == plan["seconds"]


def test_a_distilled_model_is_offered_under_its_name(idle: Serving) -> None:
    entry = idle.parts.catalog.entry("t2v-A14B")
    assert entry is not None
    view = plan_view(idle.parts, entry, wanvideo.plan("t2v-A14B", machine="rtx-4080-128gb"))
    (distilled,) = (each for each in view.alternatives if "model_type" in each.patch)
    assert (distilled.patch["model_type"], distilled.patch["steps"]) == ("t2v-A14B-lightning", 4)
    assert distilled.seconds < view.seconds / 10


def test_a_plan_with_tiles_says_how_large_they_are(idle: Serving) -> None:
    found = wanvideo.plan("ti2v-5B", width=1280, height=704, machine="rtx-4080-128gb", memory_limit=8 * 2**30)
    entry = idle.parts.catalog.entry("ti2v-5B")
    assert entry is not None
    view = plan_view(idle.parts, entry, found)
    assert view.tiles == str(found.plan.vae.tiles)
    assert view.tile == max(map(int, view.tiles.split("x")))


def test_capabilities_are_those_of_the_catalog(idle: Serving) -> None:
    found = idle.get("/api/v1/generation/capabilities")
    assert found["supported_models"] == ["T2V-A14B", "I2V-A14B", "TI2V-5B"]
    assert found["models_info"]["TI2V-5B"]["demo"] is True
