"""Pictures of strangers, decoded in a child."""

import os
import struct
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from wanvideo.errors import InvalidImage
from wanvideo.server.inputs import Inputs
from wanvideo.server.sandbox import Sandbox

MOST = 1 << 20


def picture(format: str, **options: object) -> BytesIO:
    file = BytesIO()
    Image.new("RGB", (64, 48), "teal").save(file, format, **options)
    file.seek(0)
    return file


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_a_picture_is_kept_as_a_clean_png_under_its_hash(tmp_path: Path, format: str) -> None:
    inputs = Inputs(tmp_path, Sandbox())
    name = inputs.keep(picture(format, comment=b"<script>") if format == "JPEG" else picture(format), MOST)
    with Image.open(inputs.path(name)) as kept:
        assert kept.size == (64, 48)
    assert b"script" not in inputs.path(name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


def test_the_same_picture_is_kept_once(tmp_path: Path) -> None:
    inputs = Inputs(tmp_path, Sandbox())
    assert inputs.keep(picture("PNG"), MOST) == inputs.keep(picture("PNG"), MOST)


def bomb() -> bytes:
    """A PNG of 300 bytes that says it is 60000 x 60000."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a" + bytes(20), b"<svg/>", bomb(), picture("PNG").getvalue()[:90], b"\x80\x04."],
    ids=["empty", "gif", "svg", "bomb", "cut", "pickle"],
)  # fmt: skip
def test_what_is_no_picture_is_refused_and_leaves_nothing(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InvalidImage) as caught:
        Inputs(tmp_path, Sandbox()).keep(BytesIO(data), MOST)
    assert str(tmp_path) not in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_more_bytes_than_allowed_are_not_looked_at(tmp_path: Path) -> None:
    with pytest.raises(InvalidImage, match="more than"):
        Inputs(tmp_path, Sandbox()).keep(BytesIO(bytes(MOST + 1)), MOST)


@pytest.mark.parametrize("name", ["../x", "x.png", "/etc/passwd", "a" * 64, f"{'a' * 64}.png", f"{'a' * 64}.png\0"])
def test_only_names_that_were_given_lead_to_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidImage, match="no stored picture"):
        Inputs(tmp_path, Sandbox()).path(name)


def test_a_picture_goes_when_nobody_needs_it_for_days(tmp_path: Path) -> None:
    inputs = Inputs(tmp_path, Sandbox())
    day = 86_400.0
    used, unused, fresh, asked = (f"{digit * 64}.png" for digit in "0123")
    for name in (used, unused, fresh, asked):
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (0, 0))
    (tmp_path / "notes.txt").write_text("of somebody else")
    os.utime(tmp_path / "notes.txt", (0, 0))
    (tmp_path / fresh).touch()
    inputs.path(asked)
    assert inputs.remove_unused(lambda: {used}, day) == [unused]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([used, fresh, asked, "notes.txt"])


def test_a_picture_that_is_asked_for_while_others_are_looked_for_stays(tmp_path: Path) -> None:
    inputs = Inputs(tmp_path, Sandbox())
    name = f"{'a' * 64}.png"
    (tmp_path / name).write_bytes(b"")
    os.utime(tmp_path / name, (0, 0))

    def used() -> set[str]:
        inputs.path(name)  # by a request that will store its job in a moment
        return set()

    assert inputs.remove_unused(used, 60) == []
    assert (tmp_path / name).exists()
