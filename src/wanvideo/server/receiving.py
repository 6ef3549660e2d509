"""Forms with one large file, which is written once, as it arrives, and to where it is to stay."""

import errno
import os
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from anyio import to_thread
from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from wanvideo.errors import DiskFull, OutputNotWritable
from wanvideo.server.errors import BadRequest, TooLarge

PREFIX: Final = ".upload-"  # of folders, which are hidden, and left over only by a server that was killed
FILE: Final = "file"  # the field
_FIELDS: Final = 10
_FIELD_BYTES: Final = 1024
_BLOCK: Final = 1 << 20


@dataclass(slots=True, kw_only=True)
class Upload:
    """A file that has arrived whole."""

    path: Path  # in a folder of its own, on the disk where it is to stay
    name: str = ""  # as the client calls it; says nothing about a place
    fields: dict[str, str] = field(default_factory=dict)


@asynccontextmanager
async def one_file(request: Request, folder: Path, most: int) -> AsyncIterator[Upload]:
    """The file of a form, in `folder`. What is still there when the block ends is removed.

    Raises BadRequest for another form, TooLarge beyond `most` bytes, and DiskFull or OutputNotWritable.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise BadRequest("send the file as multipart/form-data")
    place = folder / f"{PREFIX}{secrets.token_hex(8)}"
    try:
        await to_thread.run_sync(lambda: place.mkdir(mode=0o700, parents=True))
        upload = Upload(path=place / "arrived")
        with open(upload.path, "xb", opener=_private) as file:
            form = _Form(boundary, upload, file, most)
            await _feed(form, request)
            await to_thread.run_sync(os.fsync, file.fileno())
        yield upload
    except OSError as error:
        raise _unwritable(error) from error
    finally:
        await to_thread.run_sync(lambda: shutil.rmtree(place, ignore_errors=True))


def remove_left_over(folder: Path) -> None:
    """What uploads left that a server did not outlive."""
    for place in folder.glob(f"{PREFIX}*"):
        shutil.rmtree(place, ignore_errors=True)


class _Form:
    """Takes a form apart: texts are kept, and the file is written on."""

    def __init__(self, boundary: bytes, upload: Upload, file: BinaryIO, most: int) -> None:
        """Raises BadRequest."""
        self.upload, self.file, self.most = upload, file, most
        self.found = self.whole = False
        self._header = self._value = self._text = b""
        self._disposition: dict[bytes, bytes] = {}
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._on_header,
                    "on_header_value": self._on_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._check,
                    "on_part_data": self._on_data,
                    "on_part_end": self._end,
                    "on_end": self._finish,
                },
            )
        except FormParserError as error:
            raise _unreadable() from error

    def write(self, data: bytes) -> None:
        """Raises BadRequest or TooLarge."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise _unreadable() from error

    @property
    def _is_file(self) -> bool:
        return b"filename" in self._disposition

    @property
    def _name(self) -> str:
        return self._disposition.get(b"name", b"").decode("utf-8", "replace")

    def _begin(self) -> None:
        self._text, self._disposition = b"", {}

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, self._disposition = parse_options_header(self._value)
        self._header = self._value = b""

    def _check(self) -> None:
        if self._is_file and (self._name != FILE or self.found):
            raise BadRequest(f"this form has one file, {FILE!r}, and no other")

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if not self._is_file:
            self._text += data[start:end]
            if len(self._text) > _FIELD_BYTES:
                raise TooLarge(f"a text of this form may have {_FIELD_BYTES} bytes")
            return
        if self.file.tell() + end - start > self.most:
            raise TooLarge(f"the file may have {self.most / 2**20:.0f} MiB")
        self.file.write(data[start:end])

    def _end(self) -> None:
        if self._is_file:
            self.found = True
            self.upload.name = self._disposition[b"filename"].decode("utf-8", "replace")
            return
        if len(self.upload.fields) >= _FIELDS:
            raise BadRequest(f"this form has more than {_FIELDS} texts")
        self.upload.fields[self._name] = self._text.decode("utf-8", "replace")

    def _finish(self) -> None:
        self.whole = True


async def _feed(form: _Form, request: Request) -> None:
    """In large blocks, so that the disk is waited for in a thread."""
    block = bytearray()
    async for data in request.stream():
        block += data
        if len(block) >= _BLOCK:
            await to_thread.run_sync(form.write, bytes(block))
            block.clear()
    await to_thread.run_sync(form.write, bytes(block))
    if not form.whole:
        raise _unreadable()
    if not form.found:
        raise BadRequest(f"the file is missing: send it as {FILE!r}")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _unreadable() -> BadRequest:
    return BadRequest("the form cannot be read: it is cut off, or no form")


def _unwritable(error: OSError) -> DiskFull | OutputNotWritable:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull("the disk is full: make room, and send the file again")
    return OutputNotWritable(f"the upload cannot be stored: {error.strerror}")
