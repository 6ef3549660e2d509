"""Pictures that are stored before a request names them."""

from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from tests.server.serving import Serving

INPUTS = "/api/v1/inputs"


def upload(server: Serving, content: bytes) -> Any:
    return server.client.post(INPUTS, files={"file": ("x.jpg", content)})


def picture() -> bytes:
    file = BytesIO()
    Image.new("RGB", (96, 64), "teal").save(file, "JPEG")
    return file.getvalue()


def test_a_picture_is_stored_and_named_by_a_request(idle: Serving) -> None:
    kept = upload(idle, picture()).json()
    assert (kept["width"], kept["height"], kept["url"]) == (96, 64, f"{INPUTS}/{kept['name']}")
    shown = idle.client.get(kept["url"])
    assert shown.headers["content-type"] == "image/png"
    assert Image.open(BytesIO(shown.content)).size == (96, 64)
    asked = {"model_type": "I2V-A14B", "prompt": "a circle", "image_name": kept["name"], "held": True}
    task = idle.post("/api/v1/generation/submit", asked)["task_id"]
    assert idle.get(f"/api/v1/queue/{task}")["image_path"] == kept["name"]
    assert upload(idle, picture()).json() == kept


def test_what_is_no_picture_is_refused(idle: Serving) -> None:
    answer = upload(idle, b"<svg onload=alert(1)>")
    assert (answer.status_code, answer.json()["category"]) == (422, "input")


@pytest.mark.parametrize("name", ["x.png", "a" * 64 + ".png", "..%2Fwanvideo.db"])
def test_only_pictures_are_shown(idle: Serving, name: str) -> None:
    assert idle.client.get(f"{INPUTS}/{name}").status_code == 404
