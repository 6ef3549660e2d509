from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from wanvideo.errors import EncodeFailed, OutputNotWritable
from wanvideo.media.info import read_settings
from wanvideo.media.still import save_image

SETTINGS = {"app": "wanvideo", "params": {"prompt": "a heron on a frozen lake, 冬", "model": "t2v-A14B", "seed": 7}}


@pytest.fixture
def frame() -> npt.NDArray[np.uint8]:
    """A smooth picture, [32, 48, 3]."""
    x, y = np.meshgrid(np.linspace(0, 255, 48), np.linspace(0, 255, 32))
    return np.stack([x, y, 255 - x], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.JPEG", "a.webp"])
def test_the_settings_come_back_out_of_every_format(tmp_path: Path, frame: npt.NDArray[np.uint8], name: str) -> None:
    save_image(tmp_path / name, frame, SETTINGS)
    info = read_settings(tmp_path / name)
    assert info.settings == SETTINGS
    assert (info.width, info.height, info.frames, info.fps) == (48, 32, 1, None)
    assert info.codec == {"a.png": "png", "a.webp": "webp"}.get(name, "jpeg")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_png_keeps_every_pixel_and_readable_texts(tmp_path: Path, frame: npt.NDArray[np.uint8]) -> None:
    save_image(tmp_path / "a.png", frame, SETTINGS)
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), frame)
        assert image.info["Title"] == "a heron on a frozen lake, 冬"
        assert image.info["Description"] == "model t2v-A14B, seed 7"


@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
def test_the_lossy_formats_stay_close(tmp_path: Path, frame: npt.NDArray[np.uint8], name: str) -> None:
    save_image(tmp_path / name, frame)
    with Image.open(tmp_path / name) as image:
        assert np.abs(np.asarray(image).astype(int) - frame).mean() < 3
        assert image.getexif() == {}


def test_without_settings_nothing_is_embedded(tmp_path: Path, frame: npt.NDArray[np.uint8]) -> None:
    save_image(tmp_path / "a.png", frame)
    assert read_settings(tmp_path / "a.png").comment is None


def test_settings_too_long_for_jpeg_are_refused_with_a_way_out(tmp_path: Path, frame: npt.NDArray[np.uint8]) -> None:
    settings = {"prompt": "x" * 70_000}
    with pytest.raises(EncodeFailed, match=r"use \.png"):
        save_image(tmp_path / "a.jpg", frame, settings)
    assert list(tmp_path.iterdir()) == []
    save_image(tmp_path / "a.png", frame, settings)
    assert read_settings(tmp_path / "a.png").settings == settings


def test_a_missing_folder_is_a_typed_error(tmp_path: Path, frame: npt.NDArray[np.uint8]) -> None:
    with pytest.raises(OutputNotWritable, match="no folder"):
        save_image(tmp_path / "clips" / "a.png", frame)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_comments_of_other_programs_are_read_in_any_byte_order(tmp_path: Path, encoding: str) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + "steps: 20".encode(encoding)
    Image.new("RGB", (16, 16)).save(tmp_path / "a.jpg", exif=exif)
    info = read_settings(tmp_path / "a.jpg")
    assert (info.comment, info.settings) == ("steps: 20", None)
