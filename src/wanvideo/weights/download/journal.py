"""How much of a file has arrived, kept beside it such that it is true after a crash and after a power failure.

A file comes in segments, several at a time. For each, the journal holds two numbers of bytes from its beginning:

- written: handed to the system. That survives the death of the process, since the system still has the pages. It is
  believed only as long as the computer has not been started again.
- synced: on disk before this number was. Believed always.

So a killed process loses at most the bytes that were on their way to it, and a power failure what came since the last
`commit`. On disk a journal is one block of JSON, then 16 bytes per segment, each number within one sector, and all of
the space taken when the journal is made.
"""

import json
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from wanvideo.weights.download.disk import Disk

_HEADER_BYTES: Final = 512
_COUNTS: Final = struct.Struct("<QQ")  # written, synced
_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Bytes `start` to `end`, without `end`, of a file."""

    index: int
    start: int
    end: int

    @property
    def nbytes(self) -> int:
        return self.end - self.start


@dataclass(slots=True, kw_only=True)
class Journal:
    """The progress of one file.

    Only one process at a time may have it open; several threads may call `advance`, each with segments of its own.
    """

    disk: Disk
    nbytes: int  # of the whole file
    segments: tuple[Segment, ...]
    written: list[int]  # per segment
    _descriptor: int

    @classmethod
    def open(cls, path: Path, *, disk: Disk, digest: str, nbytes: int, segment_bytes: int, boot: str) -> Self:
        """Go on from what is there, if it is about the same file; else from nothing.

        Segments keep the length that they were begun with.
        """
        descriptor = disk.open(path)
        try:
            state = _read(descriptor, digest, nbytes, boot) or _nothing(nbytes, segment_bytes)
            _write(descriptor, disk, state, digest, nbytes, boot)
        except OSError:
            os.close(descriptor)
            raise
        return cls(
            disk=disk,
            nbytes=nbytes,
            segments=_segments(nbytes, state.segment_bytes),
            written=list(state.written),
            _descriptor=descriptor,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    @property
    def arrived(self) -> int:
        """Bytes, of all segments."""
        return sum(self.written)

    @property
    def front(self) -> int:
        """Bytes from the beginning of the file without a gap."""
        for segment in self.segments:
            if self.written[segment.index] < segment.nbytes:
                return segment.start + self.written[segment.index]
        return self.nbytes

    @property
    def reach(self) -> int:
        """Bytes that the file must have for the journal to be true."""
        return max((s.start + self.written[s.index] for s in self.segments if self.written[s.index]), default=0)

    def advance(self, segment: Segment, written: int) -> None:
        """The first `written` bytes of the segment have been handed to the system."""
        self.written[segment.index] = written
        self.disk.write(self._descriptor, written.to_bytes(8, "little"), _offset(segment.index))

    def forget(self) -> None:
        """Begin again from nothing."""
        self.written = [0] * len(self.segments)
        self.disk.write(self._descriptor, bytes(_COUNTS.size * len(self.segments)), _HEADER_BYTES)

    def commit(self, data: int) -> None:
        """Put on disk all that has been written to the file of descriptor `data`, and then that it is there."""
        written = tuple(self.written)
        self.disk.sync(data)
        for index, count in enumerate(written):
            self.disk.write(self._descriptor, count.to_bytes(8, "little"), _offset(index) + 8)
        self.disk.sync(self._descriptor)


def arrived(path: Path, *, digest: str, nbytes: int, boot: str) -> int:
    """Bytes that a journal vouches for, without touching it; 0 if there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return 0
    try:
        state = _read(descriptor, digest, nbytes, boot)
    finally:
        os.close(descriptor)
    return 0 if state is None else sum(state.written)


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """What a journal says."""

    segment_bytes: int
    written: tuple[int, ...]
    synced: tuple[int, ...]


def _nothing(nbytes: int, segment_bytes: int) -> _State:
    zeros = (0,) * len(_segments(nbytes, segment_bytes))
    return _State(segment_bytes=segment_bytes, written=zeros, synced=zeros)


def _segments(nbytes: int, segment_bytes: int) -> tuple[Segment, ...]:
    starts = range(0, nbytes, segment_bytes)
    return tuple(
        Segment(index=i, start=start, end=min(start + segment_bytes, nbytes)) for i, start in enumerate(starts)
    )


def _offset(index: int) -> int:
    return _HEADER_BYTES + index * _COUNTS.size


def _write(descriptor: int, disk: Disk, state: _State, digest: str, nbytes: int, boot: str) -> None:
    """The counts come first: under a header of before the computer was started, only the synced ones are believed."""
    counts = b"".join(map(_COUNTS.pack, state.written, state.synced))
    header = {
        "version": _VERSION,
        "digest": digest,
        "bytes": nbytes,
        "segment_bytes": state.segment_bytes,
        "boot": boot,
    }
    disk.write(descriptor, counts, _HEADER_BYTES)
    disk.write(descriptor, json.dumps(header).encode("ascii").ljust(_HEADER_BYTES), 0)
    disk.truncate(descriptor, _HEADER_BYTES + len(counts))
    disk.sync(descriptor)


def _read(descriptor: int, digest: str, nbytes: int, boot: str) -> _State | None:
    """None if this is no journal of that file."""
    data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    try:
        header = json.loads(data[:_HEADER_BYTES])
    except ValueError:
        return None
    wanted = {"version": _VERSION, "digest": digest, "bytes": nbytes}
    if not isinstance(header, dict) or any(header.get(key) != value for key, value in wanted.items()):
        return None
    segment_bytes = header.get("segment_bytes")
    if type(segment_bytes) is not int or segment_bytes <= 0:
        return None
    segments = _segments(nbytes, segment_bytes)
    if len(data) != _offset(len(segments)):
        return None
    written = tuple(count for count, _ in _COUNTS.iter_unpack(data[_HEADER_BYTES:]))
    synced = tuple(count for _, count in _COUNTS.iter_unpack(data[_HEADER_BYTES:]))
    if boot == "" or header.get("boot") != boot:
        written = synced
    if any(count > segment.nbytes for count, segment in zip(written, segments, strict=True)):
        return None
    return _State(segment_bytes=segment_bytes, written=written, synced=synced)
