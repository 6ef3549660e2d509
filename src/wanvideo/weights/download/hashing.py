"""The two hashes that the hub knows files by."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from wanvideo.weights.download.hub import HashKind

_BLOCK_BYTES: Final = 4 << 20


class Hasher(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


def hasher(kind: HashKind, nbytes: int) -> Hasher:
    """SHA-256 of a content, or what git calls a blob of `nbytes`: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects"""
    if kind is HashKind.SHA256:
        return hashlib.sha256()
    return hashlib.sha1(b"blob %d\0" % nbytes, usedforsecurity=False)


def digest_of(path: Path, kind: HashKind, after_block: Callable[[int], None] = lambda _: None) -> str:
    """Of a whole file; `after_block` is called with the bytes of each block, and may raise to stop. Raises OSError."""
    with path.open("rb") as file:
        value = hasher(kind, path.stat().st_size)
        while block := file.read(_BLOCK_BYTES):
            value.update(block)
            after_block(len(block))
    return value.hexdigest()
