import hashlib
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from PIL import Image

from tests.worker.conftest import CREATED, Worker, spec
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.spec import Fallback
from wanvideo.media.naming import NameTemplate
from wanvideo.media.video import read_video
from wanvideo.worker.attempt import STATE
from wanvideo.worker.settings import WorkerSettings


def test_a_job_becomes_a_video_with_its_settings_and_a_thumbnail(worker: Worker) -> None:
    worker.run("a" * 32, spec())
    result = worker.end()["result"]
    path = worker.settings.data.outputs / result["file"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == result["sha256"]
    assert path.stat().st_size == result["bytes"]
    video = read_video(path)
    assert len(video.frames) == result["frames"] == 5
    assert video.settings == result["settings"]
    with Image.open(worker.settings.data.thumbnail("a" * 32)) as picture:
        assert picture.size[0] <= 320
        assert picture.size[1] <= 180
    assert set(result["phases"]) == {"load", "encode", "denoise", "decode", "write"}
    steps = [(event["step"], event["steps"]) for event in worker.events("step") if event["phase"] == "denoise"]
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert [event["step"] for event in worker.events("checkpoint")][-1] == 3
    assert worker.events("preview")
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_video_goes_to_the_chosen_folder_under_the_chosen_name(
    settings: WorkerSettings, start: Callable[[WorkerSettings], Worker], tmp_path: Path
) -> None:
    data = DataFolder(settings.data.root, tmp_path / "my videos")
    data.make()
    worker = start(replace(settings, data=data, names=NameTemplate("{date} {model} {seed}")))
    worker.run("b" * 32, spec(frames=1))
    made = datetime.fromtimestamp(CREATED).strftime("%Y-%m-%d")
    assert worker.end()["result"]["file"] == f"{made} t2v-a14b-demo 3-bbbbbbbbbbbb.png"
    assert [path.suffix for path in (tmp_path / "my videos").iterdir()] == [".png"]


def test_models_stay_warm_until_they_are_unloaded(worker: Worker) -> None:
    worker.run("a" * 32, spec())
    first = worker.end()["result"]
    worker.run("b" * 32, spec())
    second = worker.end()["result"]
    assert second["sha256"] != first["sha256"] or second["file"] != first["file"]
    assert second["phases"]["load"] < first["phases"]["load"]
    assert worker.until("heartbeat")["loaded"] == ["t2v-A14B-demo"]
    worker.handle.send({"type": "unload"})
    worker.until("heartbeat", enough=lambda message: message["loaded"] == [])
    worker.handle.send({"type": "probe"})
    assert worker.until("probed")["ok"]


def test_a_job_that_was_killed_goes_on_and_gives_the_same_bits(start: Callable[[], Worker]) -> None:
    chance, what = random.Random(0), spec(steps=8)
    whole = start()
    whole.run("a" * 32, what)
    frames = read_video(whole.settings.data.outputs / whole.end()["result"]["file"]).frames
    for number in range(2):
        job = f"{number}" * 32
        steps, worker = chance.randint(0, 8), start()
        worker.run(job, what)
        worker.until("event", enough=lambda m, n=steps: m["event"].get("step", -1) >= n)  # type: ignore[misc]
        time.sleep(chance.random() * 0.1)
        assert worker.handle.pid is not None
        os.kill(worker.handle.pid, signal.SIGKILL)
        again = start()
        again.run(job, what, attempt=2)
        path = again.settings.data.outputs / again.end()["result"]["file"]
        assert (read_video(path).frames == frames).all()
        again.handle.kill()


def test_a_job_that_is_given_up_decodes_nothing(worker: Worker) -> None:
    worker.run("a" * 32, spec(steps=40))
    worker.until("event", enough=lambda m: m["event"].get("phase") == "denoise" and m["event"]["step"] >= 2)
    worker.handle.send({"type": "cancel", "job": "a" * 32, "attempt": 1})
    assert worker.end()["type"] == "cancelled"
    assert not [event for event in worker.events("phase") if event["phase"] == "decode"]
    assert not list(worker.settings.data.outputs.iterdir())
    worker.run("b" * 32, spec())
    assert worker.end()["type"] == "done"


def test_a_state_that_is_damaged_is_a_warning(worker: Worker) -> None:
    folder = worker.settings.data.job("a" * 32)
    folder.mkdir(parents=True)
    (folder / STATE).write_bytes(b"nothing")
    worker.run("a" * 32, spec(), attempt=2)
    result = worker.end()["result"]
    assert "cannot be read, and the job begins anew" in result["warnings"][0]


def test_a_state_of_other_settings_is_a_warning(worker: Worker) -> None:
    worker.run("a" * 32, spec())
    worker.end()
    other = worker.settings.data.job("b" * 32)
    shutil.copytree(worker.settings.data.job("a" * 32), other)
    worker.run("b" * 32, spec(seed=4), attempt=2)
    result = worker.end()["result"]
    assert "cannot be used, and the job begins anew" in result["warnings"][0]
    assert result["settings"]["params"]["seed"] == 4


def test_what_is_wrong_with_a_request_is_said(worker: Worker) -> None:
    worker.run("a" * 32, spec(width=2))
    failure = worker.end()["failure"]
    assert (failure["code"], failure["category"], failure["model"]) == ("INPUT_SIZE", "input", "t2v-A14B-demo")
    assert "width: 2 cannot be used" in failure["message"]


def test_a_missing_picture_is_said(worker: Worker) -> None:
    worker.run("a" * 32, spec(model="i2v-A14B-demo", image="0" * 64 + ".png"))
    assert worker.end()["failure"]["code"] == "INPUT_IMAGE_BAD"


def test_a_model_that_is_not_here_is_said(worker: Worker) -> None:
    worker.run("a" * 32, spec(model="t2v-A14B", fallback=Fallback.OFF, width=None, height=None))
    failure = worker.end()["failure"]
    assert (failure["code"], failure["model"], failure["phase"]) == ("MODEL_MISSING", "t2v-A14B", None)


def test_the_worker_ends_when_its_server_is_gone(worker: Worker) -> None:
    worker.run("a" * 32, spec(steps=100))
    worker.until("event", enough=lambda m: m["event"].get("phase") == "denoise")
    assert worker.handle._to is not None
    worker.handle._to.close()
    until = time.monotonic() + 20
    while worker.handle.exitcode is None and time.monotonic() < until:
        time.sleep(0.05)
    assert worker.handle.exitcode == 0


def test_a_disk_that_is_full_is_said_and_what_was_done_is_kept(worker: Worker) -> None:
    import resource

    assert worker.handle.pid is not None
    worker.run("a" * 32, spec())
    worker.end()
    # Files may grow to 20 kB: the state of so small a video fits, its file does not.
    state = worker.settings.data.job("a" * 32) / STATE
    limit = state.stat().st_size + 1
    resource.prlimit(worker.handle.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    worker.run("b" * 32, spec(frames=33, seed=5))
    failure = worker.end()["failure"]
    assert failure["code"] == "DISK_FULL"
    resource.prlimit(worker.handle.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    worker.run("b" * 32, spec(frames=33, seed=5), attempt=2)
    assert worker.end()["type"] == "done"


def test_settings_survive_json(settings: WorkerSettings) -> None:
    assert WorkerSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


@pytest.mark.parametrize("fallback", list(Fallback))
def test_a_demo_model_stands_in_only_where_that_is_allowed(worker: Worker, fallback: Fallback) -> None:
    what = spec(model="t2v-A14B", fallback=fallback, width=None, height=None, steps=2)
    worker.run("a" * 32, what)
    end = worker.end()
    if fallback is not Fallback.DEMO:
        assert end["failure"]["code"] == "MODEL_MISSING"
        return
    result = end["result"]
    assert result["model"] == "t2v-A14B-demo"
    assert worker.events("fallback")[0]["to"].startswith("t2v-A14B-demo")
    assert result["settings"]["adjustments"][0]["field"] == "model"
    assert "instead of t2v-A14B" in result["warnings"][0]
