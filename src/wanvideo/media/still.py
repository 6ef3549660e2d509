"""A single frame as a PNG, JPEG or WebP file, with its settings inside."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin

from wanvideo.errors import EncodeFailed
from wanvideo.media import settings as settings_text
from wanvideo.media.output import STILL_SUFFIXES, publish, writing

# EXIF: where other programs look for text about a picture.
_IMAGE_DESCRIPTION = 0x010E
_EXIF_IFD = 0x8769
_USER_COMMENT = 0x9286
_ASCII, _UNICODE = b"ASCII\0\0\0", b"UNICODE\0"  # the first 8 bytes of a user comment name its character set


def save_image(
    path: str | os.PathLike[str], frame: npt.NDArray[np.uint8], settings: Mapping[str, object] | None = None
) -> None:
    """Write `frame`, uint8 [H, W, 3], in the format that the ending of `path` names; all of it or nothing.

    PNG is lossless and keeps the settings in its text chunks `Comment`, `Title` and `Description`; JPEG (4:4:4) and
    WebP keep them in the EXIF user comment. Raises `OutputNotWritable`, `DiskFull` or `EncodeFailed`.
    """
    path = Path(path)
    image = Image.fromarray(np.ascontiguousarray(frame))
    options = _options(path.suffix.lower(), settings or {})
    with publish(path, STILL_SUFFIXES) as part, writing(path), part.open("wb") as file:
        try:
            image.save(file, **options)
        except ValueError as reason:  # EXIF of a JPEG holds 64 KiB
            raise EncodeFailed(f"{path} cannot hold settings this long ({reason}): use .png") from reason


def picture_comment(image: Image.Image) -> str | None:
    """The settings, or whatever another program wrote in their place."""
    for key in ("Comment", "comment", "parameters"):
        value = image.info.get(key)
        if value:
            return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    comment = image.getexif().get_ifd(_EXIF_IFD).get(_USER_COMMENT)
    if not isinstance(comment, bytes):
        return comment or None
    text = comment[8:]
    encoding = "utf-8" if comment[:8] != _UNICODE else "utf-16-le" if text[1:2] in (b"\0", b"\xfe") else "utf-16-be"
    return text.decode(encoding, "replace").strip("\ufeff\0 ") or None


def _options(suffix: str, settings: Mapping[str, object]) -> dict[str, Any]:
    """What Pillow's `save` is told for this ending."""
    if suffix == ".png":
        return {"format": "PNG", "pnginfo": _png_text(settings)}
    if suffix == ".webp":
        return {"format": "WEBP", "quality": 95, "exif": _exif(settings)}
    return {"format": "JPEG", "quality": 95, "subsampling": 0, "exif": _exif(settings)}


def _png_text(settings: Mapping[str, object]) -> PngImagePlugin.PngInfo:
    chunks = PngImagePlugin.PngInfo()
    texts = {
        "Title": settings_text.title(settings),
        "Description": settings_text.description(settings),
        "Comment": settings_text.to_json(settings) if settings else "",
    }
    for key, text in texts.items():
        if text:
            chunks.add_text(key, text)
    return chunks


def _exif(settings: Mapping[str, object]) -> Image.Exif:
    exif = Image.Exif()
    if settings:
        exif[_IMAGE_DESCRIPTION] = settings_text.description(settings)
        exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = _ASCII + settings_text.to_json(settings, ascii_only=True).encode()
    return exif
