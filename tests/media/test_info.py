import json
import re
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from wanvideo.errors import InvalidMedia
from wanvideo.media.info import read_settings
from wanvideo.media.video import Video

SETTINGS = {"app": "wanvideo", "params": {"prompt": "a heron lands", "seed": 7}}


def noise(frames: int) -> Video:
    clip = np.random.default_rng(0).integers(0, 256, (frames, 48, 64, 3), np.uint8)
    return Video(frames=clip, fps=8, settings=SETTINGS)


def foreign(path: Path, *, format: str | None = None, codec: str = "mpeg4", comment: str = "") -> None:
    """A clip of three frames as another program may have written it."""
    with av.open(path, "w", format=format) as container:
        if comment:
            container.metadata["comment"] = comment
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"  # type: ignore[union-attr]
        for index in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((72, 64), np.uint8), format="yuv420p")
            frame.pts = index
            container.mux(stream.encode(frame))  # type: ignore[arg-type, union-attr]
        container.mux(stream.encode(None))  # type: ignore[union-attr]


def refused(path: Path) -> str:
    with pytest.raises(InvalidMedia) as caught:
        read_settings(path)
    assert str(path) in caught.value.message
    return caught.value.message


@pytest.mark.parametrize("frames", [1, 17])
def test_everything_about_our_own_video_is_read(tmp_path: Path, frames: int) -> None:
    noise(frames).save(tmp_path / "a.mp4")
    info = read_settings(str(tmp_path / "a.mp4"))
    assert (info.path, info.width, info.height, info.frames) == (tmp_path / "a.mp4", 64, 48, frames)
    assert (info.fps, info.seconds, info.codec, info.pix_fmt) == (8.0, frames / 8, "h264", "yuv420p")
    assert info.settings == SETTINGS
    assert json.loads(info.comment or "") == SETTINGS


@pytest.mark.parametrize("comment", ["", "holiday 2019"])
def test_a_video_of_another_program_has_facts_and_no_settings(tmp_path: Path, comment: str) -> None:
    foreign(tmp_path / "a.mp4", comment=comment)
    info = read_settings(tmp_path / "a.mp4")
    assert (info.width, info.height, info.frames, info.fps, info.codec) == (64, 48, 3, 25.0, "mpeg4")
    assert (info.comment, info.settings) == (comment or None, None)


def test_a_comment_that_is_no_utf8_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    foreign(tmp_path / "a.mp4", comment="caf\N{LATIN SMALL LETTER E WITH ACUTE} 1")
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(data.replace("caf\u00e9 1".encode(), b"caf\xe9 12"))
    assert read_settings(tmp_path / "a.mp4").comment == "caf\ufffd 12"


def test_a_picture_of_another_program_has_facts_and_its_comment(tmp_path: Path) -> None:
    Image.new("L", (40, 30)).save(tmp_path / "a.jpg", comment=b"scanned")
    info = read_settings(tmp_path / "a.jpg")
    assert (info.width, info.height, info.frames, info.codec, info.pix_fmt) == (40, 30, 1, "jpeg", "L")
    assert (info.comment, info.settings) == ("scanned", None)


@pytest.mark.parametrize("part", [0.001, 0.01, 0.02, 0.3, 0.6, 0.99, 0.9999])
def test_a_cut_off_video_is_refused(tmp_path: Path, part: float) -> None:
    noise(17).save(tmp_path / "a.mp4")
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(data[: int(len(data) * part)])
    assert re.search("cut off|damaged|no frames", refused(tmp_path / "a.mp4"))


def test_bytes_after_the_end_do_no_harm(tmp_path: Path) -> None:
    noise(5).save(tmp_path / "a.mp4")
    with (tmp_path / "a.mp4").open("ab") as file:
        file.write(b"\0\0\0")
    assert read_settings(tmp_path / "a.mp4").frames == 5


def test_a_cut_off_picture_is_refused(tmp_path: Path) -> None:
    noise(1).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
    assert "cut off" in refused(tmp_path / "a.png")


def test_files_without_a_video_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("#EXTM3U\nhttp://127.0.0.1/a.ts\n")
    foreign(tmp_path / "a.mkv", format="matroska")
    assert "does not exist" in refused(tmp_path / "missing.mp4")
    assert "is a folder" in refused(tmp_path)
    assert "is empty" in refused(tmp_path / "empty.mp4")
    assert "is a text file" in refused(tmp_path / "text.mp4")
    assert "a Matroska or WebM video: give an MP4, PNG, JPEG or WebP file" in refused(tmp_path / "a.mkv")


def test_a_sound_track_alone_is_refused(tmp_path: Path) -> None:
    with av.open(tmp_path / "a.mp4", "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert "no video" in refused(tmp_path / "a.mp4")
