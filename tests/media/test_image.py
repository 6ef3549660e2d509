import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from wanvideo.errors import InvalidImage
from wanvideo.media import image as image_module
from wanvideo.media.image import cover, load_image, to_array


def colour(image: Image.Image) -> tuple[int, ...]:
    """The pixel in the middle."""
    return tuple(int(value) for value in to_array(image)[image.height // 2, image.width // 2])


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_16_bit(path: Path, values: npt.NDArray[np.uint16]) -> Path:
    """A 16-bit PNG of `values` [H, W, 1 to 4]; Pillow cannot write colour at this depth."""
    height, width, channels = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(data)
    return path


def gradient(width: int = 48, height: int = 32) -> Image.Image:
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - x], axis=-1).astype(np.uint8))


# --- what is read ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.jpg", "wrong-ending.txt"])
def test_the_three_formats_are_read_whatever_the_file_is_called(tmp_path: Path, name: str) -> None:
    kind = {"a.webp": "WEBP", "a.jpg": "JPEG"}.get(name, "PNG")
    gradient().save(tmp_path / name, kind, quality=95, lossless=True)
    loaded = load_image(tmp_path / name)
    assert (loaded.mode, loaded.size) == ("RGB", (48, 32))
    assert np.abs(to_array(loaded).astype(int) - to_array(gradient())).mean() < (3 if kind == "JPEG" else 1e-9)


def test_a_path_may_be_text(tmp_path: Path) -> None:
    gradient().save(tmp_path / "a.png")
    assert load_image(str(tmp_path / "a.png")).size == (48, 32)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_the_picture_upright(tmp_path: Path, orientation: int) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    upright = gradient()
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(to_array(load_image(tmp_path / "a.png")), to_array(upright))


def test_broken_exif_does_not_spoil_a_good_picture(tmp_path: Path) -> None:
    gradient().save(tmp_path / "a.jpg", exif=b"Exif\0\0this is no TIFF header")
    assert load_image(tmp_path / "a.jpg").size == (48, 32)


@pytest.mark.parametrize(("alpha", "expected"), [(255, (200, 0, 0)), (0, (255, 255, 255)), (128, (227, 127, 127))])
def test_transparency_is_laid_over_white(tmp_path: Path, alpha: int, expected: tuple[int, int, int]) -> None:
    Image.new("RGBA", (32, 32), (200, 0, 0, alpha)).save(tmp_path / "a.png")
    assert colour(load_image(tmp_path / "a.png")) == pytest.approx(expected, abs=1)


def test_a_transparent_palette_entry_becomes_white(tmp_path: Path) -> None:
    picture = Image.new("P", (32, 32), 1)
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.save(tmp_path / "opaque.png")
    picture.save(tmp_path / "clear.png", transparency=1)
    picture.save(tmp_path / "half.png", transparency=bytes([255, 128]))
    assert colour(load_image(tmp_path / "opaque.png")) == (200, 100, 50)
    assert colour(load_image(tmp_path / "clear.png")) == (255, 255, 255)
    assert colour(load_image(tmp_path / "half.png")) == pytest.approx((227, 177, 152), abs=1)


def test_a_colour_that_stands_for_transparent_becomes_white(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32), (1, 2, 3)).save(tmp_path / "a.png", transparency=(1, 2, 3))
    assert colour(load_image(tmp_path / "a.png")) == (255, 255, 255)


@given(st.integers(0, 65535))
@example(0)
@example(257 * 255)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_16_bit_gray_is_scaled_and_not_clipped(tmp_path: Path, value: int) -> None:
    path = png_16_bit(tmp_path / "a.png", np.full((16, 16, 1), value, np.uint16))
    assert colour(load_image(path)) == (round(value / 257),) * 3


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_16_bit_colour_and_alpha_are_scaled_and_not_clipped(tmp_path: Path, channels: int) -> None:
    values = np.full((16, 16, channels), 65535, np.uint16)
    values[..., 0] = 100 * 257
    expected = (100,) * 3 if channels == 2 else (100, 255, 255)
    assert colour(load_image(png_16_bit(tmp_path / "a.png", values))) == expected


def test_cmyk_is_converted(tmp_path: Path) -> None:
    Image.new("CMYK", (32, 32), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    assert colour(load_image(tmp_path / "a.jpg")) == pytest.approx((255, 0, 0), abs=3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "I;16"])
def test_pil_images_of_every_ranged_mode_become_rgb(mode: str) -> None:
    loaded = load_image(Image.new(mode, (32, 32)))
    assert (loaded.mode, loaded.size) == ("RGB", (32, 32))


def test_a_pil_image_is_left_as_it_was() -> None:
    given_image = Image.new("RGBA", (32, 32), (1, 2, 3, 4))
    load_image(given_image).putpixel((0, 0), (9, 9, 9))
    assert given_image.getpixel((0, 0)) == (1, 2, 3, 4)
    rgb = Image.new("RGB", (32, 32))
    load_image(rgb).putpixel((0, 0), (9, 9, 9))
    assert rgb.getpixel((0, 0)) == (0, 0, 0)


def linear_rgb_profile() -> bytes:
    """An ICC profile with sRGB's primaries and a gamma of 1, made from Pillow's own sRGB profile."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    curve = profile.index(b"para", 132 + 12 * struct.unpack_from(">I", profile, 128)[0])
    profile[24:36] = bytes(12)  # made at no time, so that every run sees the same bytes
    struct.pack_into(">4sIHHi", profile, curve, b"para", 0, 0, 0, 1 << 16)  # Y = X ** 1
    return bytes(profile).replace(b"s\0R\0G\0B", b"l\0i\0n\0e").replace(b"sRGB", b"line")


def test_an_embedded_colour_profile_is_applied(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32), (55, 55, 55)).save(tmp_path / "a.png", icc_profile=linear_rgb_profile())
    assert colour(load_image(tmp_path / "a.png")) == pytest.approx((128, 128, 128), abs=2)


def test_srgb_and_broken_profiles_leave_the_colours_alone(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"no profile at all", srgb[:200]):
        Image.new("RGB", (32, 32), (55, 66, 77)).save(tmp_path / "a.png", icc_profile=profile)
        assert colour(load_image(tmp_path / "a.png")) == (55, 66, 77)


def test_the_second_picture_of_a_phone_jpeg_is_ignored(tmp_path: Path) -> None:
    gradient().save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[Image.new("RGB", (16, 16))])
    assert load_image(tmp_path / "a.jpg").size == (48, 32)


# --- what is refused -------------------------------------------------------------------------------------------------


def refused(source: object) -> str:
    with pytest.raises(InvalidImage) as caught:
        load_image(source)  # type: ignore[arg-type]
    return caught.value.message


def test_a_missing_file_is_named_with_the_folder_that_exists(tmp_path: Path) -> None:
    message = refused(tmp_path / "photos" / "cat.png")
    assert str(tmp_path / "photos" / "cat.png") in message
    assert "does not exist" in message
    assert message.endswith(f"{tmp_path})")


def test_a_folder_an_empty_file_and_a_device_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    assert "is a folder" in refused(tmp_path)
    assert "empty (0 bytes)" in refused(tmp_path / "empty.png")
    assert "device or a pipe" in refused("/dev/zero")


@pytest.mark.parametrize("source", [b"a.png", 7, None, np.zeros((4, 4, 3), np.uint8)])
def test_what_is_neither_path_nor_pil_image_is_named(source: object) -> None:
    assert type(source).__name__ in refused(source)


@pytest.mark.parametrize(
    ("source", "word"), [("", "empty"), ("a\0.png", "character"), ("https://a.b/c.png", "address")]
)
def test_paths_that_cannot_be_files_are_explained(source: str, word: str) -> None:
    assert word in refused(source)


def test_a_path_too_long_for_the_system_is_refused() -> None:
    assert "too long" in refused("x" * 5000)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"hello, this is my picture\n", "a text file"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        (b"<!doctype html><HTML><body>Not found</body>", "a web page"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "an HEIC image"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", "an AVIF image"),
        (b"\0\0\0\x18ftypisom\0\0\2\0isom", "an MP4 video"),
        (b"GIF89a\x10\0\x10\0\0\0\0", "a GIF image"),
        (b"II*\0\x08\0\0\0", "a TIFF or camera raw image"),
        (b'\x10\0\0\0\0\0\0\0{"a":1}     ', "a safetensors model file"),
        (bytes(range(256)), "a file of an unknown kind"),
    ],
)
def test_other_files_are_named_for_what_they_are(tmp_path: Path, content: bytes, kind: str) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    assert refused(path) == f"{path} is {kind}: give a PNG, JPEG or WebP file"


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_animations_are_refused_with_the_number_of_frames(tmp_path: Path, name: str) -> None:
    gradient().save(tmp_path / name, save_all=True, append_images=[gradient().rotate(90)])
    assert "is animated (2 frames)" in refused(tmp_path / name)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
@pytest.mark.parametrize("part", [0.05, 0.5, 0.9])
def test_a_cut_off_file_is_refused(tmp_path: Path, name: str, part: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * part)])
    assert "damaged or cut off" in refused(tmp_path / name)


@pytest.mark.parametrize(("size", "word"), [((1, 1), "only 1 x 1"), ((15, 40), "at least 16"), ((30, 301), "10:1")])
def test_sizes_that_make_no_video_are_refused(tmp_path: Path, size: tuple[int, int], word: str) -> None:
    Image.new("RGB", size).save(tmp_path / "a.png")
    assert word in refused(tmp_path / "a.png")
    assert word in refused(Image.new("RGB", size))


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    for width in (8193, 60_000):  # past our limit, and past the one at which Pillow itself warns
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 8192, 8, 2, 0, 0, 0))
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
        assert "67.1 million" in refused(tmp_path / "a.png")


def test_a_file_of_too_many_bytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    gradient().save(tmp_path / "a.png")
    with (tmp_path / "a.png").open("rb+") as file:
        file.truncate(image_module.MAX_BYTES + 1)  # sparse
    assert "128 MiB" in refused(tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["I", "F", "LAB"])
def test_pixel_modes_without_a_range_are_refused(mode: str) -> None:
    assert f"mode {mode}" in refused(Image.new(mode, (32, 32)))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_bytes_give_a_picture_or_a_typed_error(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    gradient().save(buffer, kind, exif=exif, icc_profile=linear_rgb_profile())
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "a").write_bytes(content)
    with suppress(InvalidImage):
        assert load_image(tmp_path / "a").mode == "RGB"


# --- cover and to_array ----------------------------------------------------------------------------------------------


@given(st.integers(16, 90), st.integers(16, 90), st.integers(8, 120), st.integers(8, 120))
@settings(max_examples=50)
def test_cover_fills_the_asked_size_exactly(width: int, height: int, to_width: int, to_height: int) -> None:
    covered = cover(Image.new("RGB", (width, height), (9, 99, 199)), to_width, to_height)
    assert covered.size == (to_width, to_height)
    assert (to_array(covered) == (9, 99, 199)).all()  # no border was invented


def test_cover_keeps_the_aspect_and_crops_about_the_centre() -> None:
    wide = Image.new("RGB", (128, 32), "black")
    wide.paste("white", (48, 0, 80, 32))  # a square in the middle
    assert (to_array(cover(wide, 32, 32)) == 255).all()
    halved = to_array(cover(wide, 32, 16))
    assert (halved[:, 9:23] > 250).all()
    assert (halved[:, :6] < 5).all()


def test_cover_to_the_same_size_changes_nothing() -> None:
    np.testing.assert_array_equal(to_array(cover(gradient(), 48, 32)), to_array(gradient()))


def test_to_array_has_rows_first_and_may_be_written_to() -> None:
    array = to_array(gradient(48, 32))
    assert array.shape == (32, 48, 3)
    assert array.dtype == np.uint8
    array[0, 0] = 7
