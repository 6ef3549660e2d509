import hashlib
import json
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

from tests.worker.conftest import CREATED, JOB, OTHER, Worker, faulty, spec
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


def test_a_job_that_is_given_up_decodes_nothing(worker: Worker) -> None:
    worker.run("a" * 32, spec(steps=40))
    worker.until("event", enough=lambda m: m["event"].get("phase") == "denoise" and m["event"]["step"] >= 2)
    worker.handle.send({"type": "cancel", "job": "a" * 32, "attempt": 1})
    assert worker.end()["type"] == "cancelled"
    assert not [event for event in worker.events("phase") if event["phase"] == "decode"]
    assert not list(worker.settings.data.outputs.iterdir())
    worker.run("b" * 32, spec())
    assert worker.end()["type"] == "done"


def test_a_job_that_loads_its_model_is_given_up_in_the_middle_of_it(worker: Worker) -> None:
    worker.run(JOB, faulty("large load slow"))
    worker.until("event", enough=lambda m: m["event"].get("phase") == "load" and m["event"].get("steps", 0) > 0)
    worker.handle.send({"type": "cancel", "job": JOB, "attempt": 1})
    began = time.monotonic()
    assert worker.end()["type"] == "cancelled"
    assert time.monotonic() - began < 5
    assert worker.done(spec(), OTHER)


def test_a_worker_is_heard_before_it_is_ready(start: Callable[..., Worker]) -> None:
    kinds = [message["type"] for message in start().heard]
    assert kinds[0] == "heartbeat"
    assert kinds[-1] == "ready"


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


def test_a_model_that_is_not_here_is_said(worker: Worker) -> None:
    worker.run("a" * 32, spec(model="t2v-A14B", fallback=Fallback.OFF, width=None, height=None))
    failure = worker.end()["failure"]
    assert (failure["code"], failure["model"], failure["phase"]) == ("MODEL_MISSING", "t2v-A14B", None)


def test_settings_survive_json(settings: WorkerSettings) -> None:
    assert WorkerSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


@pytest.mark.parametrize("fallback", list(Fallback))
def test_a_demo_model_stands_in_only_where_that_is_allowed(worker: Worker, fallback: Fallback) -> None:
    # With a picture, which no model of the faulty family takes.
    Image.new("RGB", (64, 64), "red").save(worker.settings.data.inputs / "red.png")
    what = spec(model="i2v-A14B", fallback=fallback, width=None, height=None, steps=2, image="red.png")
    worker.run(JOB, what)
    end = worker.end()
    if fallback is not Fallback.DEMO:
        assert end["failure"]["code"] == "MODEL_MISSING"
        return
    result = end["result"]
    assert result["model"] == "i2v-A14B-demo"
    assert worker.events("fallback")[0]["to"].startswith("i2v-A14B-demo")
    assert result["settings"]["adjustments"][0]["field"] == "model"
    assert "instead of i2v-A14B" in result["warnings"][0]


def test_models_stay_warm_until_they_are_unloaded(worker: Worker) -> None:
    worker.handle.send({"type": "unload"})
    first = worker.done(spec())
    second = worker.done(spec(), OTHER)
    assert second["sha256"] != first["sha256"] or second["file"] != first["file"]
    assert second["phases"]["load"] < first["phases"]["load"]
    assert worker.until("heartbeat")["loaded"] == ["t2v-A14B-demo"]
    worker.handle.send({"type": "unload"})
    worker.until("heartbeat", enough=lambda message: message["loaded"] == [])
    worker.handle.send({"type": "probe"})
    assert worker.until("probed")["ok"]


def test_a_job_that_was_killed_goes_on_and_gives_the_same_bits(worker: Worker, start: Callable[..., Worker]) -> None:
    """At some moment after each phase began: the last one is that of publishing."""
    chance, what, outputs = random.Random(0), spec(steps=8), worker.settings.data.outputs
    frames = read_video(outputs / worker.done(what)["file"]).frames
    for number, phase in enumerate(("load", "encode", "denoise", "decode", "write")):
        job, victim = f"{number}" * 32, start(worker.settings)
        victim.run(job, what)
        victim.until("event", enough=lambda m, p=phase: m["event"].get("phase") == p)  # type: ignore[misc]
        time.sleep(chance.random() * 0.1)
        victim.handle.kill()
        assert victim.handle.exitcode == -signal.SIGKILL
        result = worker.done(what, job, attempt=2)
        assert (read_video(outputs / result["file"]).frames == frames).all()
    whole = {f"{path.stem.rpartition('-')[2]}" for path in outputs.glob("*.mp4")}
    assert len(whole) == 6


def test_a_worker_ends_when_its_server_is_gone_and_when_it_is_told_to(start: Callable[..., Worker]) -> None:
    deserted, dismissed = start(), start()
    deserted.run(JOB, spec(steps=100))
    deserted.until("event", enough=lambda m: m["event"].get("phase") == "denoise")
    assert deserted.handle._to is not None
    deserted.handle._to.close()
    dismissed.handle.send({"type": "stop"})
    until = time.monotonic() + 20
    while None in (deserted.handle.exitcode, dismissed.handle.exitcode) and time.monotonic() < until:
        time.sleep(0.05)
    assert (deserted.handle.exitcode, dismissed.handle.exitcode) == (0, 0)
