import os
import re
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wanvideo.errors import EncodeFailed, InvalidFrames, InvalidMedia, InvalidRequest, InvalidSize, OutputNotWritable
from wanvideo.media.video import Frames, Video, VideoWriter, read_video

SETTINGS = {"app": "wanvideo", "params": {"prompt": "a heron lands, 冬の湖", "model": "t2v-A14B", "seed": 7}}
COLOURS = [(230, 40, 40), (40, 190, 70), (50, 80, 230), (240, 210, 40), (245, 245, 245), (15, 15, 15), (120, 120, 120)]


def flat(*colours: tuple[int, int, int], width: int = 64, height: int = 48) -> Frames:
    """One frame of each colour, [F, H, W, 3]."""
    return np.stack([np.full((height, width, 3), colour, np.uint8) for colour in colours])


def moving(frames: int, width: int = 64, height: int = 48) -> Frames:
    """A white bar that moves right over a soft gradient."""
    clip = np.zeros((frames, height, width, 3), np.uint8)
    clip[..., 2] = np.linspace(40, 160, height, dtype=np.uint8)[:, None]
    for index in range(frames):
        clip[index, :, index % width : index % width + 8] = 240
    return clip


def save(path: Path, clip: Frames, fps: float = 8) -> Path:
    Video(frames=clip, fps=fps, settings=SETTINGS).save(path)
    return path


def top_level_boxes(path: Path) -> list[bytes]:
    """The names of the MP4's outermost boxes, in file order."""
    data, position, names = path.read_bytes(), 0, []
    while position < len(data):
        names.append(data[position + 4 : position + 8])
        position += int.from_bytes(data[position : position + 4], "big")
    return names


# --- the file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [1, 2, 5, 17])
def test_a_clip_of_any_length_comes_back_in_shape_and_in_sight(tmp_path: Path, frames: int) -> None:
    clip = moving(frames)
    video = read_video(save(tmp_path / "a.mp4", clip))
    assert video.frames.shape == clip.shape
    assert (video.fps, video.settings) == (8.0, SETTINGS)
    assert (video.width, video.height, video.seconds) == (64, 48, frames / 8)
    error = np.mean((video.frames.astype(float) - clip) ** 2)
    assert 10 * np.log10(255**2 / error) > 34


def test_the_stream_is_what_every_player_takes(tmp_path: Path) -> None:
    path = save(tmp_path / "a.mp4", moving(9))
    with av.open(path) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt) == ("h264", "yuv420p")
        tags = (codec.colorspace, codec.color_primaries, codec.color_trc, codec.color_range)
        assert tags == (1, 1, 1, 1)  # BT.709 three times, limited range
    assert b"colrnclx" in path.read_bytes()  # the same tags in the container
    boxes = top_level_boxes(path)
    assert boxes.index(b"moov") < boxes.index(b"mdat")  # plays while it loads


@pytest.mark.parametrize("fps", [8, 16, 24, 30000 / 1001])
def test_frames_are_evenly_spaced_from_zero_and_the_last_one_lasts(tmp_path: Path, fps: float) -> None:
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(save(tmp_path / "a.mp4", moving(9), fps)) as container:
        stream = container.streams.video[0]
        assert (stream.average_rate, stream.frames) == (rate, 9)
        times = [Fraction(frame.pts or 0) * (frame.time_base or 0) for frame in container.decode(stream)]
        assert times == pytest.approx([float(index / rate) for index in range(9)], abs=1e-4)
        assert float((stream.duration or 0) * (stream.time_base or 0)) == pytest.approx(9 / fps, abs=1e-3)
        assert (container.duration or 0) / av.time_base == pytest.approx(9 / fps, abs=2e-3)


@pytest.mark.parametrize("colour", COLOURS)
def test_the_pixels_really_are_bt709(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    """Y'CbCr decoded by the formulas of ITU-R BT.709, not by the library that encoded it."""
    with av.open(save(tmp_path / "a.mp4", flat(colour))) as container:
        planes = next(container.decode(video=0)).to_ndarray()
    luma, cb, cr = planes[:48].mean(), planes[48:60].mean(), planes[60:].mean()
    y, b_y, r_y = (luma - 16) / 219, (cb - 128) / 224 * 1.8556, (cr - 128) / 224 * 1.5748
    green = (y - 0.2126 * (r_y + y) - 0.0722 * (b_y + y)) / 0.7152
    assert (255 * np.array([r_y + y, green, b_y + y])) == pytest.approx(colour, abs=2.5)


@pytest.mark.parametrize("colour", COLOURS)
def test_colours_survive_the_round_trip(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    video = read_video(save(tmp_path / "a.mp4", flat(colour)))
    assert np.abs(video.frames.astype(int) - colour).max() <= 2


def test_the_tags_are_where_players_look_for_them(tmp_path: Path) -> None:
    path = save(tmp_path / "a.mp4", moving(1))
    with av.open(path) as container:
        assert container.metadata["title"] == "a heron lands, 冬の湖"
        assert container.metadata["description"] == "model t2v-A14B, seed 7"
        assert container.metadata["comment"].startswith('{"app": "wanvideo"')
    data = path.read_bytes()
    assert all(atom in data for atom in (b"\xa9nam", b"\xa9cmt", b"desc"))


def test_long_settings_survive(tmp_path: Path) -> None:
    settings = {"prompt": "a heron lands " * 10_000}
    Video(frames=moving(1), fps=8, settings=settings).save(tmp_path / "a.mp4")
    assert read_video(tmp_path / "a.mp4").settings == settings


def test_without_settings_there_are_no_tags(tmp_path: Path) -> None:
    Video(frames=moving(1), fps=8).save(tmp_path / "a.mp4")
    with av.open(tmp_path / "a.mp4") as container:
        assert {"title", "comment", "description"}.isdisjoint(container.metadata)
    assert read_video(tmp_path / "a.mp4").settings == {}


def test_the_same_frames_make_the_same_bytes_however_they_are_streamed(tmp_path: Path) -> None:
    clip = moving(9)
    save(tmp_path / "whole.mp4", clip)
    with VideoWriter(tmp_path / "parts.mp4", width=64, height=48, fps=8, settings=SETTINGS) as writer:
        for part in (clip[:1], clip[1:1], clip[1:5], clip[5:]):
            writer.write(part)
        assert writer.frames == 9
    assert (tmp_path / "whole.mp4").read_bytes() == (tmp_path / "parts.mp4").read_bytes()


def test_frames_need_not_be_contiguous(tmp_path: Path) -> None:
    channels_first = np.ascontiguousarray(moving(2).transpose(0, 3, 1, 2))
    save(tmp_path / "a.mp4", channels_first.transpose(0, 2, 3, 1))
    save(tmp_path / "b.mp4", moving(2))
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 4))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_even_size_works(tmp_path: Path, half_width: int, half_height: int, frames: int) -> None:
    clip = moving(frames, 2 * half_width, 2 * half_height)
    assert read_video(save(tmp_path / "a.mp4", clip)).frames.shape == clip.shape


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_one_frame_may_be_a_picture_and_more_may_not(tmp_path: Path, name: str) -> None:
    save(tmp_path / name, moving(1))
    with pytest.raises(OutputNotWritable, match=r"name it \.mp4"):
        save(tmp_path / "more" / name, moving(5))


def test_a_file_name_is_never_taken_for_a_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(Path("pipe:1.mp4"), moving(1))
    assert read_video("pipe:1.mp4").frames.shape == (1, 48, 64, 3)
    assert list(Path().iterdir()) == [Path("pipe:1.mp4")]


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frames",
    [np.zeros((1, 48, 64, 3), np.float32), np.zeros((48, 64, 3), np.uint8), np.zeros((1, 3, 48, 64), np.uint8)],
)
def test_frames_of_another_type_or_layout_are_refused(tmp_path: Path, frames: Frames) -> None:
    with pytest.raises(InvalidFrames, match=re.escape(str(list(frames.shape)))):
        Video(frames=frames, fps=8)
    with pytest.raises(InvalidFrames), VideoWriter(tmp_path / "a.mp4", width=64, height=48, fps=8) as writer:
        writer.write(frames)
    assert list(tmp_path.iterdir()) == []


def test_frames_of_another_size_are_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(InvalidFrames, match="32 x 16"),
        VideoWriter(tmp_path / "a.mp4", width=64, height=48, fps=8) as w,
    ):
        w.write(np.zeros((1, 16, 32, 3), np.uint8))


@pytest.mark.parametrize(("width", "height"), [(63, 48), (64, 47), (0, 48)])
def test_odd_sizes_are_refused(tmp_path: Path, width: int, height: int) -> None:
    with pytest.raises(InvalidSize, match="even"):
        VideoWriter(tmp_path / "a.mp4", width=width, height=height, fps=8)


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_impossible_rates_are_refused(tmp_path: Path, fps: float) -> None:
    with pytest.raises(InvalidRequest, match="frames per second"):
        VideoWriter(tmp_path / "a.mp4", width=64, height=48, fps=fps)


def test_a_video_is_not_hidden_in_a_file_named_as_a_picture(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputNotWritable, match=r"ends in \.png"),
        VideoWriter(tmp_path / "a.png", width=64, height=48, fps=8),
    ):
        pass


def test_a_video_without_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidFrames):
        Video(frames=np.zeros((0, 48, 64, 3), np.uint8), fps=8)
    with pytest.raises(EncodeFailed, match="no frame"), VideoWriter(tmp_path / "a.mp4", width=64, height=48, fps=8):
        pass
    assert list(tmp_path.iterdir()) == []


# --- all of it or nothing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("written", [0, 1, 40])
def test_an_interrupted_video_leaves_nothing_behind(tmp_path: Path, error: type[BaseException], written: int) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"older")

    def fail_half_way() -> None:
        with VideoWriter(path, width=64, height=48, fps=8) as writer:
            writer.write(moving(written))
            raise error

    with pytest.raises(error):
        fail_half_way()
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_appears_only_at_the_end(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", width=64, height=48, fps=8) as writer:
        writer.write(moving(40))
        assert not (tmp_path / "a.mp4").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def run(code: str, *arguments: object, before: tuple[str, ...] = ()) -> "subprocess.Popen[str]":
    """A Python process that runs `code` with this one's import path."""
    command = [*before, sys.executable, "-c", code, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


WRITE_FOREVER = """
import sys, numpy as np
from wanvideo.media.video import VideoWriter
noise = np.random.default_rng(0).integers(0, 256, (4, 128, 128, 3), np.uint8)
with VideoWriter(sys.argv[1], width=128, height=128, fps=8) as writer:
    while True:
        writer.write(noise)
"""


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    child = run(WRITE_FOREVER, tmp_path / "a.mp4")
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in tmp_path.iterdir()):
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert list(tmp_path.iterdir()) == []


SAVE_NOISE = """
import os, resource, sys, numpy as np
from wanvideo.errors import DiskFull
from wanvideo.media.video import Video
folder, kind, limit = sys.argv[1:]
path = os.path.join(folder, "a." + kind)
if limit != "0":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
if kind == "mp4":
    clip = np.random.default_rng(0).integers(0, 256, (30, 64, 64, 3), np.uint8)
else:
    clip = np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), np.uint8)
try:
    Video(frames=clip, fps=8, settings={"prompt": "x" * 3000}).save(path)
except DiskFull as error:
    print(error.code, error.facts["free_bytes"] >= 0, path in error.message, os.listdir(folder))
"""
DISK_FULL = "DISK_FULL True True []\n"


@pytest.mark.parametrize("kind", ["mp4", "png", "jpg", "webp"])
@pytest.mark.parametrize("limit", [1000, 30_000])
def test_a_file_that_may_not_grow_is_a_typed_error_and_leaves_nothing(tmp_path: Path, kind: str, limit: int) -> None:
    assert run(SAVE_NOISE, tmp_path, kind, limit).communicate() == (DISK_FULL, "")


ON_SMALL_DISK = 'mount -t tmpfs -o size="$0" tmpfs "$1" && shift && exec "$@"'


@pytest.mark.parametrize(("kind", "size"), [("mp4", "16k"), ("mp4", "64k"), ("png", "16k")])
def test_a_full_disk_is_a_typed_error_and_leaves_nothing(tmp_path: Path, kind: str, size: str) -> None:
    """A real file system without room, in a mount namespace that goes away with the process."""
    private = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--mount", "--map-root-user")
    before = (*private, "sh", "-c", ON_SMALL_DISK, size, str(tmp_path))
    try:
        subprocess.run([*before, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("file systems cannot be mounted here")
    assert run(SAVE_NOISE, tmp_path, kind, 0, before=before).communicate() == (DISK_FULL, "")


# --- reading ---------------------------------------------------------------------------------------------------------


def test_what_is_no_mp4_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("not a video")
    with pytest.raises(InvalidMedia, match="a text file"):
        read_video(tmp_path / "a.mp4")


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_bytes_give_a_video_or_a_typed_error(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.mp4"
    if not path.exists():
        save(path, moving(5))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "damaged.mp4").write_bytes(content)
    try:
        assert read_video(tmp_path / "damaged.mp4").frames.ndim == 4
    except InvalidMedia:
        return
