"""`wan info`."""

from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Wan
from wanvideo.media.video import Video

SETTINGS = {"app": "wanvideo", "schema": 1, "params": {"prompt": "一只鹭 lands", "seed": 7}}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "heron.mp4"
    Video(frames=np.zeros((5, 64, 64, 3), np.uint8), fps=16, settings=SETTINGS).save(path)
    return path


def test_a_video_shows_what_made_it(clip: Path, wan: Wan) -> None:
    ended = wan("info", clip)
    assert ended.code == 0
    assert "64x64" in ended.out
    assert "5 frames at 16 fps" in ended.out
    assert "params.prompt" in ended.out
    assert "一只鹭 lands" in ended.out


def test_json_has_the_settings_as_they_stand_in_the_file(clip: Path, wan: Wan) -> None:
    (event,) = wan("info", clip, "--json").events
    assert event["event"] == "file"
    assert event["settings"] == SETTINGS
    assert (event["width"], event["height"], event["frames"], event["fps"]) == (64, 64, 5, 16)


def test_a_picture_shows_what_made_it(tmp_path: Path, wan: Wan) -> None:
    path = tmp_path / "heron.png"
    Video(frames=np.zeros((1, 64, 64, 3), np.uint8), fps=16, settings=SETTINGS).save(path)
    (event,) = wan("info", path, "--json").events
    assert event["settings"] == SETTINGS
    assert event["fps"] is None
    assert "一只鹭 lands" in wan("info", path).out


def test_a_video_without_settings_says_so(tmp_path: Path, wan: Wan) -> None:
    path = tmp_path / "bare.mp4"
    Video(frames=np.zeros((1, 64, 64, 3), np.uint8), fps=16).save(path)
    assert "no settings inside" in wan("info", path).out


def test_a_model_shows_its_architecture_defaults_and_limits(wan: Wan) -> None:
    ended = wan("info", "Wan2.2-T2V-A14B")
    assert ended.code == 0
    for text in ("14.29 billion parameters", "switched at 0.875", "832x480, 81 frames at 16 fps", "multiples of 16"):
        assert text in ended.out


def test_json_of_a_model_has_the_numbers(wan: Wan) -> None:
    (event,) = wan("info", "ti2v-5b", "--json").events
    assert event["event"] == "model"
    assert event["parameters"]["transformer"] == 4_999_787_712
    assert event["defaults"]["fps"] == 24
    assert event["limits"]["size_multiple"] == 32
    assert event["architecture"]["vae"]["z_dim"] == 48


def test_a_folder_of_a_model_shows_that_model(tiny: Path, wan: Wan) -> None:
    (event,) = wan("info", tiny / "t2v", "--json").events
    assert event["state"] == "ready"
    assert event["path"] == str(tiny / "t2v")
    assert event["bytes"] > 0
    assert event["boundary"] == 0.8
    assert "on disk" in wan("info", tiny / "t2v").out


@pytest.mark.parametrize(
    ("name", "code", "error", "message"),
    [
        ("t2v-14", 2, "MODEL_UNKNOWN", "did you mean"),
        ("nowhere.mp4", 2, "INPUT_MEDIA_BAD", "does not exist"),
        ("notes.txt", 2, "INPUT_MEDIA_BAD", "a text file"),
        ("empty.mp4", 2, "INPUT_MEDIA_BAD", "empty"),
        ("cut.mp4", 2, "INPUT_MEDIA_BAD", "cut off"),
        (".", 1, "MODEL_INCOMPLETE", "model_index.json"),
        ("", 2, "MODEL_UNKNOWN", "''"),
        ("x" * 5000, 2, "MODEL_UNKNOWN", "no model is called"),
    ],
)
def test_what_cannot_be_shown_is_an_error_that_says_why(
    name: str, code: int, error: str, message: str, clip: Path, wan: Wan
) -> None:
    Path("notes.txt").write_text("no video")
    Path("empty.mp4").touch()
    Path("cut.mp4").write_bytes(clip.read_bytes()[:400])
    ended = wan("info", "--json", name)
    assert ended.code == code
    assert ended.error["code"] == error
    assert message in ended.error["message"]
