"""A video on its way to a file: what has come is kept, what is there at the end is checked."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx2

from wanvideo.client.errors import DownloadDamaged
from wanvideo.errors import OutputNotWritable

_BLOCK: Final = 1 << 20
_RANGE: Final = re.compile(r"bytes (\d+)-\d+/\d+")


class Arriving:
    """One file. Until it is whole and right it has another name beside it, under which a later call goes on."""

    def __init__(self, job: str, path: Path, sha256: str) -> None:
        self.path, self.part, self.sha256 = path, part_of(job, path), sha256
        self.size, self._digest = 0, hashlib.sha256()  # of what is here, in bytes

    def __enter__(self) -> Self:
        """Raises OutputNotWritable."""
        try:
            self._file = self.part.open("a+b")
            self._read_what_is_there()
        except OSError as error:
            raise self._not_writable(error) from None
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._file.close()
        if not self.size:
            self.part.unlink(missing_ok=True)

    @property
    def headers(self) -> Mapping[str, str]:
        """Of the request for what is missing."""
        return {"Range": f"bytes={self.size}-"} if self.size else {}

    def begin(self, answer: httpx2.Response) -> None:
        """The answer may be all of the file, whatever was asked for; or none, if more is here than there is."""
        found = _RANGE.fullmatch(answer.headers.get("content-range", ""))
        if answer.status_code == 206 and found is not None and int(found[1]) == self.size:
            return
        self._start_again()

    def write(self, data: bytes) -> None:
        """Raises OutputNotWritable."""
        try:
            self._file.write(data)
        except OSError as error:
            raise self._not_writable(error) from None
        self._add(data)

    @property
    def complete(self) -> bool:
        return self._digest.hexdigest() == self.sha256

    def finish(self) -> Path:
        """Give the file its name. Raises DownloadDamaged, and forgets what came, if it is not the video."""
        if not self.complete:
            self._start_again()
            raise DownloadDamaged(f"what was received for {self.path.name} is not the video: try again")
        self._file.close()
        try:
            self.part.replace(self.path)
        except OSError as error:
            raise self._not_writable(error) from None
        return self.path

    def _not_writable(self, error: OSError) -> OutputNotWritable:
        return OutputNotWritable(f"{self.path} cannot be written: {error.strerror}")

    def _read_what_is_there(self) -> None:
        self._file.seek(0)
        while block := self._file.read(_BLOCK):
            self._add(block)

    def _add(self, data: bytes) -> None:
        self._digest.update(data)
        self.size += len(data)

    def _start_again(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self.size, self._digest = 0, hashlib.sha256()


def part_of(job: str, path: Path) -> Path:
    """Where the video of a job lies on its way to `path`."""
    return path.with_name(f".{path.name}.{job[:12]}.part")
