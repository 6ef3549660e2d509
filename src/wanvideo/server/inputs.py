"""Pictures that requests begin with: re-encoded, and kept under the hash of what came out."""

import hashlib
import os
import re
import secrets
import struct
import threading
import time
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from wanvideo.errors import ImageTooLarge, InvalidImage
from wanvideo.jobs.files import Files
from wanvideo.server.sandbox import Sandbox

NAME: Final = re.compile(r"[0-9a-f]{64}\.png")
_BLOCK: Final = 1 << 20
_FRESH: Final = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Inputs:
    """A folder of pictures, each under a name that says nothing but what is in it."""

    folder: Path
    sandbox: Sandbox
    files: Files | None = None  # who passes pictures on to other machines; None: there are none
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def path(self, name: str) -> Path:
        """Where a stored picture lies. Raises InvalidImage if there is none of that name."""
        path = self.folder / name
        with self._lock:
            if self.files is not None and NAME.fullmatch(name):
                self.files.picture(name)
            if not NAME.fullmatch(name) or not path.is_file() or path.is_symlink():
                raise InvalidImage(f"there is no stored picture {name!r:.80}: upload it again")
            if time.time() - path.stat().st_mtime > _FRESH:
                os.utime(path)  # it is used, and whoever looks for unused ones must not remove it now
                if self.files is not None:
                    self.files.share_picture(name)
        return path

    def remove_unused(self, used: Callable[[], Container[str]], seconds: float) -> list[str]:
        """Remove what nobody asked for in the last `seconds`, and what is not `used`; the names of what is gone."""
        old = [path for path in self.folder.iterdir() if NAME.fullmatch(path.name) and _age(path) > seconds]
        shared = [] if self.files is None else self.files.old_pictures(seconds)
        names = used() if old or shared else ()
        removed = []
        for path in old:
            with self._lock:
                if path.name not in names and _age(path) > seconds:
                    path.unlink(missing_ok=True)
                    removed.append(path.name)
        if self.files is not None:
            for name in shared:
                if name not in names:
                    self.files.remove_picture(name)
        return removed

    def size(self, name: str) -> tuple[int, int]:
        """Width and height of a stored picture, in pixels. Raises InvalidImage."""
        with self.path(name).open("rb") as file:
            width, height = struct.unpack(">II", file.read(24)[16:])  # the first chunk of a PNG
        return width, height

    def keep(self, upload: BinaryIO, most: int) -> str:
        """Store a picture and give its name. Blocks while a child decodes it. Raises InvalidImage."""
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / f".{secrets.token_hex(8)}"
        raw, clean = draft.with_suffix(".raw"), draft.with_suffix(".part")
        try:
            _copy(upload, raw, most)
            self.sandbox.reencode(raw, clean)
            name = f"{_digest(clean)}.png"
            clean.replace(self.folder / name)
            if self.files is not None:
                self.files.share_picture(name)
        finally:
            raw.unlink(missing_ok=True)
            clean.unlink(missing_ok=True)
        return name


def _age(path: Path) -> float:
    """Seconds since it was last stored or asked for."""
    return time.time() - path.lstat().st_mtime


def _copy(upload: BinaryIO, target: Path, most: int) -> None:
    """Into a file that nobody else can read, and on disk before a job may name it."""
    count = 0
    with open(target, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        while block := upload.read(_BLOCK):
            count += len(block)
            if count > most:
                raise ImageTooLarge(f"the image has more than {most / 2**20:.0f} MiB: scale it down first")
            file.write(block)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    return digest
