"""Pictures that requests begin with: re-encoded, and kept under the hash of what came out."""

import hashlib
import os
import re
import secrets
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from wanvideo.errors import InvalidImage
from wanvideo.server.sandbox import Sandbox

NAME: Final = re.compile(r"[0-9a-f]{64}\.png")
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Inputs:
    """A folder of pictures, each under a name that says nothing but what is in it."""

    folder: Path
    sandbox: Sandbox

    def path(self, name: str) -> Path:
        """Where a stored picture lies. Raises InvalidImage if there is none of that name."""
        path = self.folder / name
        if not NAME.fullmatch(name) or not path.is_file():
            raise InvalidImage(f"there is no stored picture {name!r:.80}: upload it again")
        return path

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
        finally:
            raw.unlink(missing_ok=True)
            clean.unlink(missing_ok=True)
        return name


def _copy(upload: BinaryIO, target: Path, most: int) -> None:
    """Into a file that nobody else can read, and on disk before a job may name it."""
    count = 0
    with open(target, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        while block := upload.read(_BLOCK):
            count += len(block)
            if count > most:
                raise InvalidImage(f"the image has more than {most / 2**20:.0f} MiB: scale it down first")
            file.write(block)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    return digest
