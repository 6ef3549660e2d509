"""From a request to a file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.pipelines.conftest import ask, load, picture
from wanvideo.errors import DiskFull, OutputNotWritable
from wanvideo.media.info import read_settings
from wanvideo.media.video import VideoWriter, read_video
from wanvideo.pipelines.adapt import adapt
from wanvideo.pipelines.events import Resolved, Saved
from wanvideo.pipelines.pipeline import Pipeline
from wanvideo.pipelines.settings import parameters, settings
from wanvideo.pipelines.write import generate_to_file
from wanvideo.request import GenerationRequest, Phase, Progress, Solver
from wanvideo.weights.catalog import I2V_A14B, T2V_A14B

Pipelines = dict[str, Pipeline]


def test_a_video_is_written_and_remembers_its_settings(pipelines: Pipelines, tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    request = ask("t2v", width=70)
    events = list(generate_to_file(pipelines["t2v"], request, path))
    first, last = events[0], events[-1]
    assert isinstance(first, Resolved)
    assert isinstance(last, Saved)
    phases = [event.phase for event in events if isinstance(event, Progress)]
    assert list(dict.fromkeys(phases)) == list(Phase)
    info = read_settings(path)
    assert (info.frames, info.fps, info.width, info.height) == (5, 16, 64, 64)
    assert info.settings == last.settings
    assert last.settings["params"] == parameters(first.request)
    assert last.settings["adjustments"] == [
        {"field": "size", "asked": "70x64", "used": "64x64", "reason": first.request.adjustments[0].reason}
    ]
    written = read_video(path).frames.astype(float)
    assert np.abs(written - pipelines["t2v"](request).frames).mean() < 15  # noise in 4:2:0 chroma
    assert [file.name for file in tmp_path.iterdir()] == ["video.mp4"]


@pytest.mark.parametrize("name", ["video.mp4", "still.png", "still.jpg"])
def test_a_file_may_say_nothing_of_how_it_was_made(pipelines: Pipelines, tmp_path: Path, name: str) -> None:
    request = ask("t2v", frames=5 if name == "video.mp4" else 1)
    *_, last = generate_to_file(pipelines["t2v"], request, tmp_path / name, embed=False)
    assert isinstance(last, Saved)
    assert last.settings["params"]
    assert read_settings(tmp_path / name).settings is None
    assert request.prompt.encode() not in (tmp_path / name).read_bytes()


@pytest.mark.parametrize("name", ["still.png", "still.jpg", "still.mp4"])
def test_a_single_frame_may_be_a_picture_or_a_video(pipelines: Pipelines, tmp_path: Path, name: str) -> None:
    *_, last = generate_to_file(pipelines["t2v"], ask("t2v", frames=1), tmp_path / name)
    info = read_settings(tmp_path / name)
    assert isinstance(last, Saved)
    assert (info.frames, info.settings) == (1, last.settings)


def test_a_path_that_cannot_be_written_is_found_before_anything_is_loaded(tiny: Path, tmp_path: Path) -> None:
    with load(tiny / "t2v", device="cpu") as pipeline:
        for path in (tmp_path / "no folder" / "video.mp4", tmp_path, tmp_path / "video.avi"):
            with pytest.raises(OutputNotWritable):
                generate_to_file(pipeline, ask("t2v"), path)
        with pytest.raises(OutputNotWritable, match="there are 5 frames"):
            next(generate_to_file(pipeline, ask("t2v"), tmp_path / "still.png"))
        assert not pipeline._parts._loaded
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("phase", [Phase.DENOISE, Phase.DECODE])
def test_cancelling_leaves_no_file_and_keeps_an_older_one(pipelines: Pipelines, tmp_path: Path, phase: Phase) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(b"older")
    events = generate_to_file(pipelines["t2v"], ask("t2v"), path)
    for event in events:
        if isinstance(event, Progress) and event.phase is phase and event.step == 1:
            break
    events.close()
    assert path.read_bytes() == b"older"
    assert [file.name for file in tmp_path.iterdir()] == ["video.mp4"]


def test_a_full_disk_is_reported_and_leaves_nothing(
    pipelines: Pipelines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: VideoWriter, frames: object) -> None:
        raise DiskFull("no room")

    monkeypatch.setattr(VideoWriter, "write", full)
    with pytest.raises(DiskFull):
        list(generate_to_file(pipelines["t2v"], ask("t2v"), tmp_path / "video.mp4"))
    assert not list(tmp_path.iterdir())


def test_settings_say_all_that_the_result_depends_on_and_can_be_asked_for_again(tmp_path: Path) -> None:
    picture(832, 480).save(tmp_path / "first.png")
    request = GenerationRequest(
        prompt="a heron",
        image=tmp_path / "first.png",
        end_image=Image.new("RGB", (832, 480)),
        steps=6,
        guidance=2.5,
        solver=Solver.EULER,
        sigmas=(1.0, 0.5),
        seed=1,
    )
    resolved = adapt(I2V_A14B, request)
    values: dict[str, Any] = parameters(resolved)
    assert (values["image"], values["end_image"]) == ("first.png", "image")
    assert (values["guidance"], values["guidance_low"], values["sigmas"]) == (2.5, 2.5, [1.0, 0.5])
    about = settings(resolved, {Phase.DENOISE: 1.23456})
    assert about["timing"] == {"denoise": 1.235}
    assert about["schema"] == 1
    plain = adapt(T2V_A14B, GenerationRequest(prompt="a heron", seed=1, width=850, height=480))
    loaded = ("model", "task", "fps", "tier")  # of the model, not of the request
    fields = {key: value for key, value in parameters(plain).items() if key not in loaded}
    again = adapt(T2V_A14B, GenerationRequest(**fields))  # type: ignore[arg-type]
    assert parameters(again) == parameters(plain)
