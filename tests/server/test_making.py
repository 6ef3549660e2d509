"""A demo video over HTTP, from end to end, with a real worker."""

import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from websockets.sync.client import connect

from tests.server.serving import Serving, serving
from wanvideo.server.schemas.events import ServerFrame

OUTPUTS = "/api/v1/outputs"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("making")) as server:
        yield server


@pytest.fixture(scope="module")
def frames(server: Serving) -> list[dict[str, Any]]:
    """What a client with all topics is told while a video is made."""
    told: list[dict[str, Any]] = []
    with connect(f"{server.url.replace('http', 'ws')}/ws", proxy=None) as socket:
        for topic in ("generation_progress", "previews"):
            socket.send(json.dumps({"type": "subscribe", "data": {"topic": topic}}))
        task = server.submit(seed=7, steps=8, resolution="160x96")["task_id"]
        while not told or told[-1]["data"].get("status") not in ("completed", "failed"):
            told.append(json.loads(socket.recv(timeout=120)))
    assert told[-1]["data"]["task_id"] == task
    return told


@pytest.fixture(scope="module")
def task(server: Serving, frames: list[dict[str, Any]]) -> Any:
    found = server.get(f"/api/v1/queue/{frames[-1]['data']['task_id']}")
    assert found["status"] == "completed", found
    return found


def test_it_is_made_as_asked_and_says_what_it_took(task: Any) -> None:
    assert (task["progress"], task["seed"], task["resolution"], task["steps"]) == (100, 7, "160x96", 8)
    result = task["result"]
    assert (result["frames"], result["width"], result["height"]) == (5, 160, 96)
    assert set(result["phases"]) >= {"encode", "denoise", "decode"}
    assert task["demo"] is True
    assert "replaces" not in task


def test_every_frame_is_as_openapi_describes_it(frames: list[dict[str, Any]]) -> None:
    assert {"snapshot", "task_update", "detailed_generation_progress", "preview"} <= {each["type"] for each in frames}
    for frame in frames:
        described = ServerFrame.model_validate(frame).model_dump(exclude_unset=True)
        assert described["data"].keys() == frame["data"].keys(), frame["type"]


def test_progress_is_what_the_engine_did(task: Any, frames: list[dict[str, Any]]) -> None:
    updates = [frame["data"] for frame in frames if frame["type"] == "task_update"]
    percents = [data["progress"] for data in updates]
    assert percents == sorted(percents)
    assert updates[-1]["output_path"] == task["output_path"]
    details = [frame["data"] for frame in frames if frame["type"] == "detailed_generation_progress"]
    assert {data["stage"] for data in details} <= {
        "initializing", "loading_model", "preparing_inputs", "generating", "post_processing", "saving", "completed",
    }  # fmt: skip
    assert any(data["total_steps"] == 8 for data in details)
    assert any(data["ram_bytes"] for data in details)
    seqs = [frame["seq"] for frame in frames if frame["type"] not in ("connection_established", "snapshot")]
    assert seqs == sorted(seqs)


def test_the_video_is_served_whole_and_in_parts(server: Serving, task: Any) -> None:
    video = server.client.get(f"{OUTPUTS}/{task['id']}/download")
    assert video.headers["content-type"] == "video/mp4"
    assert hashlib.sha256(video.content).hexdigest() == task["result"]["sha256"]
    part = server.client.get(f"{OUTPUTS}/{task['id']}/video", headers={"Range": "bytes=4-11"})
    assert (part.status_code, part.content) == (206, video.content[4:12])
    assert part.headers["content-range"] == f"bytes 4-11/{len(video.content)}"
    for asked in ("bytes=0-1,3-4", "bytes=9-2", "items=0-1", f"bytes={len(video.content)}-", "bytes=-", "x" * 8000):
        refused = server.client.get(f"{OUTPUTS}/{task['id']}/video", headers={"Range": asked})
        assert refused.status_code in (416, 400), asked


def test_the_gallery_shows_it(server: Serving, task: Any) -> None:
    found = server.get(OUTPUTS)
    (video,) = [each for each in found["videos"] if each["id"] == task["id"]]
    assert found["total_size_mb"] > 0
    assert (video["model_type"], video["resolution"], video["exists"]) == ("T2V-A14B", "160x96", True)
    assert video["duration_seconds"] == pytest.approx(5 / 8)
    name = video["thumbnail_path"].rpartition("/")[2]
    for path in (f"/thumbnails/{name}", f"{OUTPUTS}/{task['id']}/thumbnail"):
        picture = server.client.get(path)
        assert picture.headers["content-type"] == "image/jpeg"
        assert Image.open(BytesIO(picture.content)).width <= 320


def test_its_settings_make_it_again(server: Serving, task: Any) -> None:
    settings = server.get(f"{OUTPUTS}/{task['id']}/settings")
    video = server.client.get(f"{OUTPUTS}/{task['id']}/download").content
    broken = server.client.post(f"{OUTPUTS}/settings", files={"file": ("x.mp4", b"\x00" * 100)}).json()
    assert broken["message"].startswith("the file is ")
    uploaded = server.client.post(f"{OUTPUTS}/settings", files={"file": ("x.mp4", video)}).json()
    assert uploaded["request"] == settings["request"]
    assert (uploaded["frames"], uploaded["codec"]) == (5, "h264")
    again = server.post("/api/v1/generation/submit", uploaded["request"])
    made = server.until(again["task_id"], "completed", "failed")
    assert made["status"] == "completed"
    one, other = (server.client.get(f"{OUTPUTS}/{each}/download").content for each in (task["id"], made["id"]))
    assert len(one) == pytest.approx(len(other), rel=0.05)  # the times inside differ


def test_a_picture_begins_a_video(server: Serving) -> None:
    file = BytesIO()
    Image.new("RGB", (128, 128), "navy").save(file, "PNG")
    form = {"model_type": "I2V-A14B", "prompt": "a small red circle moves left", "steps": "2", "frames": "5"}
    answer = server.client.post("/api/v1/generation/submit", data=form, files={"image": ("x.png", file.getvalue())})
    made = server.until(answer.json()["task_id"], "completed", "failed")
    assert made["status"] == "completed", made
    assert made["model"] == "i2v-A14B-demo"


def test_what_was_measured_is_told(server: Serving, task: Any) -> None:
    found = server.get("/api/v1/wan-models/performance/T2V-A14B")
    assert found["succeeded"] >= 1
    assert found["seconds_per_step"] > 0
    assert {phase["phase"] for phase in found["phases"]} >= {"denoise", "decode"}
    assert 'wanvideo_jobs_total{model="t2v-A14B-demo",status="succeeded"}' in server.client.get("/metrics").text


def test_the_server_is_ready_and_the_model_stays_warm(server: Serving, task: Any) -> None:
    assert server.get("/readyz")["ready"] is True
    assert server.get("/api/v1/system/health")["status"] == "healthy"


def test_a_running_job_is_cancelled_within_a_step(server: Serving) -> None:
    task = server.submit(steps=500)["task_id"]
    end = time.monotonic() + 60
    while server.get(f"/api/v1/queue/{task}").get("step", 0) < 2:
        assert time.monotonic() < end
        time.sleep(0.05)
    server.post(f"/api/v1/queue/{task}/cancel")
    assert server.until(task, "cancelled", seconds=15)["status"] == "cancelled"
    assert not [video for video in server.get(OUTPUTS)["videos"] if video["id"] == task]


def test_a_worker_that_is_killed_costs_steps_and_no_job(server: Serving) -> None:
    task = server.submit(steps=60, seed=3)["task_id"]
    while server.get(f"/api/v1/queue/{task}").get("step", 0) < 8:
        time.sleep(0.02)
    os.kill(server.parts.worker_pids()[0], signal.SIGKILL)
    made = server.until(task, "completed", "failed")
    assert (made["status"], made["attempt"]) == ("completed", 2)
    kinds = [event["type"] for event in server.get(f"/api/v1/queue/{task}/events")["events"]]
    assert "requeued" in kinds
    assert "resumed" in kinds


def test_a_video_that_somebody_deleted_does_not_break_the_gallery(server: Serving) -> None:
    task = server.submit(seed=5)["task_id"]
    made = server.until(task, "completed", "failed")
    (server.parts.folder.outputs / made["output_path"]).unlink()
    assert next(video for video in server.get(OUTPUTS)["videos"] if video["id"] == task)["exists"] is False
    answer = server.client.get(f"{OUTPUTS}/{task}/download")
    assert (answer.status_code, answer.json()["code"]) == (410, "OUTPUT_MISSING")
    assert server.client.request("DELETE", f"{OUTPUTS}/{task}").json()["message"]
    assert server.client.get(f"{OUTPUTS}/{task}").status_code == 404


def test_a_link_in_the_folder_of_outputs_is_not_followed(server: Serving, tmp_path: Path) -> None:
    task = server.submit(seed=6)["task_id"]
    path = server.parts.folder.outputs / server.until(task, "completed", "failed")["output_path"]
    secret = tmp_path / "secret"
    secret.write_text("secret")
    path.unlink()
    path.symlink_to(secret)
    assert server.client.get(f"{OUTPUTS}/{task}/download").status_code == 410
