"""SentencePiece models, read without the library of that name: the few fields that a tokenizer needs.

Format: `sentencepiece_model.proto` in protocol buffers' wire format, a sequence of (field number, type, value).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from wanvideo.errors import ModelCorrupt, ModelMismatch

_UNIGRAM: Final = 1  # of the types of models
# Types of pieces; GGUF files use the same numbers.
_NORMAL: Final = 1
UNKNOWN: Final = 2
SPECIAL: Final = frozenset({UNKNOWN, 3, 4})  # with control symbols and what users defined
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_LONGEST_VARINT: Final = 10  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SentencePieceModel:
    """A vocabulary with scores: the numbers of its pieces are their places in the lists."""

    pieces: tuple[tuple[str, float], ...]
    special: tuple[str, ...]  # pieces that stand for no text, or are never split
    unknown_id: int
    normalisation: bytes  # table of characters to replace; empty: none


def read_sentencepiece(data: bytes, where: str) -> SentencePieceModel:
    """Raises ModelCorrupt, naming `where`, if it is no such model; ModelMismatch if it is not of the Unigram kind."""
    pieces: list[tuple[str, float]] = []
    special: list[str] = []
    unknown: list[int] = []
    normalisation, kind = b"", _UNIGRAM
    try:
        for field, value in _fields(data):
            if field == 1 and isinstance(value, bytes):
                text, score, type_ = _piece(value)
                unknown += [len(pieces)] if type_ == UNKNOWN else []
                special += [text] if type_ in SPECIAL else []
                pieces.append((text, score))
            elif field == 2 and isinstance(value, bytes):
                kind = next((v for f, v in _fields(value) if f == 3 and isinstance(v, int)), _UNIGRAM)
            elif field == 3 and isinstance(value, bytes):
                normalisation = next((v for f, v in _fields(value) if f == 2 and isinstance(v, bytes)), b"")
    except (IndexError, struct.error, UnicodeDecodeError, ValueError) as error:
        raise ModelCorrupt(f"{where} is no SentencePiece model ({error}): download it again") from error
    if not pieces or len(unknown) != 1:
        raise ModelCorrupt(f"{where} is no SentencePiece model: it has {len(pieces)} pieces: download it again")
    if kind != _UNIGRAM:
        raise ModelMismatch(f"{where} is a SentencePiece model of type {kind}, not Unigram as UMT5 has it")
    return SentencePieceModel(
        pieces=tuple(pieces), special=tuple(special), unknown_id=unknown[0], normalisation=normalisation
    )


def _piece(data: bytes) -> tuple[str, float, int]:
    """Text, score and type."""
    text, score, type_ = "", 0.0, _NORMAL
    for field, value in _fields(data):
        if field == 1 and isinstance(value, bytes):
            text = value.decode("utf-8")
        elif field == 2 and isinstance(value, bytes):
            (score,) = struct.unpack("<f", value)
        elif field == 3 and isinstance(value, int):
            type_ = value
    return text, score, type_


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of every field of a message; numbers of fixed width as their bytes."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        field, wire = key >> 3, key & 7
        if wire == _VARINT:
            number, position = _varint(data, position)
            yield field, number
            continue
        if wire == _BYTES:
            length, position = _varint(data, position)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"byte {position} has the wire type {wire}")
        if position + length > len(data):
            raise ValueError(f"it ends at byte {len(data)}, in the middle of a field")
        yield field, data[position : position + length]
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """The number there, and where the next thing begins."""
    number = 0
    for i in range(_LONGEST_VARINT):
        byte = data[position + i]
        number |= (byte & 127) << (7 * i)
        if byte < 128:
            return number, position + i + 1
    raise ValueError(f"byte {position} begins a number that does not end")
