"""What a group of ranks and the process that started it say to one another: JSON, and bytes beside it. No torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Final, TypeAlias

LARGEST: Final = 2**31 - 1  # bytes of one part of a message
Blob: TypeAlias = bytes | memoryview


class Gone(Exception):
    """The other side has ended, or says what is no message."""


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """One thing said."""

    kind: str
    values: Mapping[str, Any] = field(default_factory=dict)  # JSON
    blobs: tuple[Blob, ...] = ()

    def send(self, pipe: Connection) -> None:
        """Raises Gone."""
        head = {"kind": self.kind, "values": dict(self.values), "blobs": len(self.blobs)}
        try:
            for part in (json.dumps(head, separators=(",", ":"), allow_nan=False).encode(), *self.blobs):
                pipe.send_bytes(part)
        except OSError as error:
            raise Gone(str(error)) from error

    @classmethod
    def receive(cls, pipe: Connection) -> "Message":
        """Blocks until there is one. Raises Gone."""
        try:
            head = json.loads(pipe.recv_bytes(LARGEST))
            blobs = tuple(pipe.recv_bytes(LARGEST) for _ in range(head["blobs"]))
        except (OSError, EOFError) as error:
            raise Gone(str(error) or "the pipe was closed") from error
        return cls(head["kind"], head["values"], blobs)
