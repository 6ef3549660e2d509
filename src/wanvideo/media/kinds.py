"""What a file holds, told by its first bytes and never by its name."""

import codecs
import os
import stat
from pathlib import Path
from typing import Final

from wanvideo.errors import InvalidRequest

PNG: Final = "a PNG image"
JPEG: Final = "a JPEG image"
WEBP: Final = "a WebP image"
MP4: Final = "an MP4 video"

HEAD_BYTES: Final = 4096

# (offset, bytes, what it is), tried in this order.
_SIGNATURES: Final = (
    (0, b"\x89PNG\r\n\x1a\n", PNG),
    (0, b"\xff\xd8\xff", JPEG),
    (8, b"WEBP", WEBP),
    (8, b"AVI ", "an AVI video"),
    (8, b"WAVE", "a sound file"),
    (4, b"ftypavi", "an AVIF image"),
    (4, b"ftyphe", "an HEIC image"),
    (4, b"ftypmif1", "an HEIC image"),
    (4, b"ftypmsf1", "an HEIC image"),
    (4, b"ftypcrx", "a camera raw image"),
    (4, b"ftypM4A", "a sound file"),
    (4, b"ftyp", MP4),
    (0, b"GIF8", "a GIF image"),
    (0, b"BM", "a BMP image"),
    (0, b"II*\0", "a TIFF or camera raw image"),
    (0, b"MM\0*", "a TIFF or camera raw image"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"v/1\x01", "an OpenEXR image"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (0, b"\0\0\x01\0", "an icon file"),
    (0, b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"GGUF", "a GGUF model file"),
    (8, b'{"', "a safetensors model file"),
)


def kind_of(head: bytes) -> str:
    """What a file that begins with `head` is, in words with an article."""
    if _is_text(head):
        if b"<svg" in head:
            return "an SVG drawing"
        return "a web page" if b"<html" in head.lower() else "a text file"
    for offset, magic, kind in _SIGNATURES:
        if head[offset : offset + len(magic)] == magic:
            return kind
    return "a file of an unknown kind"


def file_kind(path: Path, error: type[InvalidRequest]) -> str:
    """What the file at `path` holds; `error` is raised, in words, when there is no content to read."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise error(f"{path} is a folder: give the file inside it", facts={"path": str(path)})
        if not stat.S_ISREG(status.st_mode):
            raise error(f"{path} is a device or a pipe: give a regular file", facts={"path": str(path)})
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except (OSError, ValueError) as reason:  # ValueError: a NUL character in the name
        raise error(_unreadable(path, reason), facts={"path": str(path)}) from reason
    if not head:
        raise error(f"{path} is empty (0 bytes): download or export it again", facts={"path": str(path)})
    return kind_of(head)


def _unreadable(path: Path, reason: OSError | ValueError) -> str:
    if "://" in os.fspath(path) or os.fspath(path).startswith(("http:", "https:")):
        return f"{path} is a web address: download the file first and give its path"
    if isinstance(reason, FileNotFoundError):
        near = next(parent for parent in path.absolute().parents if parent.exists())
        return f"{path} does not exist: check the spelling (the path is right up to {near})"
    if isinstance(reason, PermissionError):
        return f"{path} cannot be read, permission denied: change its permissions or copy it"
    cause = reason.strerror if isinstance(reason, OSError) else "the name holds a character that no file name has"
    return f"{path!s:.200} cannot be read: {cause}"


def _is_text(head: bytes) -> bool:
    """UTF-8, its last character perhaps cut, without control characters other than white space."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return all(char >= " " or char in "\t\n\r\f" for char in text)
