"""What a GGUF file holds, read from its header alone: no torch, no tensor data, nothing executed.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Every count and length is bounded before it is
followed, and every tensor is checked against the file, as in `headers`.
"""

import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

from wanvideo.errors import ModelCorrupt, ModelMismatch, ModelVersion
from wanvideo.weights.headers import TensorInfo, WeightFile, damaged, file_size, truncated

MAGIC: Final = b"GGUF"
# Type number -> name, numbers in a block, bytes of a block. Source: ggml.h and ggml-common.h.
_TYPES: Final[Mapping[int, tuple[str, int, int]]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 30: ("BF16", 1, 2), 28: ("F64", 1, 8),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8),
    2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
}  # fmt: skip
# Name -> numbers and bytes of a block, of the types that are blocks.
BLOCKS: Final[Mapping[str, tuple[int, int]]] = {name: (n, size) for name, n, size in _TYPES.values() if n > 1}

_SCALARS: Final[Mapping[int, str]] = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
_STRING, _ARRAY = 8, 9
_VERSIONS: Final = (2, 3)
_MOST_ENTRIES: Final = 1 << 16  # tensors, or keys
_MOST_ITEMS: Final = 1 << 21  # of one array; the vocabulary of UMT5 has 256,384
_LONGEST_STRING: Final = 1 << 20  # bytes
_MOST_DIMENSIONS: Final = 5  # one more than ggml itself knows: the patch embedding has five
_LARGEST: Final = 1 << 40  # of a dimension
_LARGEST_HEADER: Final = 100_000_000  # bytes
_ORIGINAL_SHAPE: Final = "comfy.gguf.orig_shape."  # of a tensor that was stored with another one

Scalar: TypeAlias = int | float | bool | str


def read_gguf(path: Path) -> WeightFile:
    """The tensors of a GGUF file, shapes in the order of PyTorch (GGUF stores them reversed).

    The metadata are its single values, as text. Raises ModelIncomplete if the file is missing, ModelCorrupt if it is
    truncated or damaged, ModelMismatch if it uses a type of block that is not read.
    """
    with _opened(path) as header:
        values = dict(header.entries(lambda key: key.startswith(_ORIGINAL_SHAPE)))
        alignment = _alignment(path, values)
        found = [header.tensor() for _ in range(header.tensor_count)]
        start = _aligned(header.position, alignment)
    reshaped = {
        key.removeprefix(_ORIGINAL_SHAPE): value for key, value in values.items() if key.startswith(_ORIGINAL_SHAPE)
    }
    tensors: dict[str, TensorInfo] = {}
    for tensor in found:
        if tensor.name in tensors:
            raise damaged(path, f"it has two tensors {tensor.name!r:.100}")
        tensors[tensor.name] = _reshaped(path, tensor, reshaped.get(tensor.name), start)
    _check_layout(path, tensors.values(), start, alignment)
    metadata = {key: str(value) for key, value in values.items() if not isinstance(value, list)}
    return WeightFile(path=path, tensors=tensors, metadata=metadata)


def read_gguf_arrays(path: Path, keys: frozenset[str]) -> Mapping[str, list[Scalar]]:
    """The arrays of a file's metadata that have one of these names, such as its vocabulary. Raises as `read_gguf`."""
    with _opened(path) as header:
        values = dict(header.entries(keys.__contains__))
    return {key: value for key, value in values.items() if isinstance(value, list)}


@contextmanager
def _opened(path: Path) -> Iterator["_Header"]:
    size = file_size(path)
    try:
        with path.open("rb") as file:
            yield _Header(path, file, size)
    except OSError as error:
        raise ModelCorrupt(f"{path} cannot be read: {error.strerror}") from error


class _Header:
    """Reads a header from its beginning; `position` is how far it has come, in bytes."""

    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        self.path, self.size, self.position = path, size, 0
        self._file = file
        if self._take(4) != MAGIC:
            raise damaged(path, "it is no GGUF file")
        version = self._number("I")
        if version not in _VERSIONS:
            raise ModelVersion(
                f"{path} is GGUF version {version}, and {_VERSIONS[0]} or {_VERSIONS[1]} in little-endian order is "
                "read: get a newer file of this model"
            )
        self.tensor_count = self._count("tensors", _MOST_ENTRIES, width=24)
        self._entry_count = self._count("keys", _MOST_ENTRIES, width=12)

    def entries(self, wanted: Callable[[str], bool]) -> Iterator[tuple[str, Scalar | list[Scalar]]]:
        """Every key with its value; arrays only where their key is wanted. To be used up before `tensor`."""
        for _ in range(self._entry_count):
            key, kind = self._string(), self._number("I")
            if kind == _ARRAY:
                values = self._array(keep=wanted(key))
                if values is not None:
                    yield key, values
            else:
                yield key, self._scalar(kind)

    def tensor(self) -> TensorInfo:
        """The next tensor; `start` counts from the beginning of the data."""
        name = self._string()
        dimensions = self._number("I")
        if dimensions > _MOST_DIMENSIONS:
            raise damaged(self.path, f"tensor {name!r:.100} is said to have {dimensions} dimensions")
        shape = tuple(self._number("Q") for _ in range(dimensions))[::-1]
        kind, start = self._number("I"), self._number("Q")
        if kind not in _TYPES:
            raise ModelMismatch(
                f"{self.path}: tensor {name!r:.100} has the GGUF type {kind}, which is not read: get the model as one "
                f"of {', '.join(BLOCKS)}",
                facts={"file": str(self.path), "type": kind},
            )
        dtype, numbers, nbytes = _TYPES[kind]
        if any(length > _LARGEST for length in shape):
            raise damaged(self.path, f"tensor {name!r:.100} is said to have the shape {list(shape)}")
        if (shape[-1] if shape else 1) % numbers:
            raise damaged(
                self.path, f"tensor {name!r:.100} {list(shape)} has no whole number of {dtype} blocks in a row"
            )
        return TensorInfo(name=name, dtype=dtype, shape=shape, start=start, nbytes=math.prod(shape) // numbers * nbytes)

    def _array(self, *, keep: bool) -> list[Scalar] | None:
        kind = self._number("I")
        count = self._count("items of an array", _MOST_ITEMS)
        if kind == _STRING:
            texts: list[Scalar] = []
            for _ in range(count):
                text = self._string()
                if keep:
                    texts.append(text)
            return texts if keep else None
        data = self._take(count * struct.calcsize(self._code(kind)))
        return list(struct.unpack(f"<{count}{self._code(kind)}", data)) if keep else None

    def _scalar(self, kind: int) -> Scalar:
        return self._string() if kind == _STRING else self._number(self._code(kind))

    def _code(self, kind: int) -> str:
        if kind not in _SCALARS:
            raise damaged(self.path, f"its header uses the unknown type of value {kind}")
        return _SCALARS[kind]

    def _string(self) -> str:
        length = self._number("Q")
        if length > _LONGEST_STRING:
            raise damaged(self.path, f"its header holds a text of {length} bytes")
        try:
            return self._take(length).decode("utf-8")
        except UnicodeDecodeError as error:
            raise damaged(self.path, "its header holds a text that is not UTF-8") from error

    def _count(self, what: str, most: int, width: int = 0) -> int:
        """A number of things, each of which takes at least `width` bytes of the file."""
        count = int(self._number("Q"))
        if count > most or count * width > self.size:
            raise damaged(self.path, f"its header speaks of {count} {what}")
        return count

    def _number(self, code: str) -> Any:
        return struct.unpack(f"<{code}", self._take(struct.calcsize(code)))[0]

    def _take(self, count: int) -> bytes:
        self.position += count
        if self.position > _LARGEST_HEADER:
            raise damaged(self.path, f"its header has more than {_LARGEST_HEADER} bytes")
        data = self._file.read(count) if self.position <= self.size else b""
        if len(data) != count:
            raise truncated(self.path, self.size, self.position)
        return data


def _alignment(path: Path, values: Mapping[str, object]) -> int:
    """Bytes: every tensor begins at a multiple of it."""
    alignment = values.get("general.alignment", 32)
    if type(alignment) is not int or not 0 < alignment <= 1 << 20 or alignment & (alignment - 1):
        raise damaged(path, f"general.alignment is {alignment!r:.100}")
    return alignment


def _aligned(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment


def _reshaped(path: Path, tensor: TensorInfo, shape: object, data_start: int) -> TensorInfo:
    """The tensor with its place in the file, and with the shape that it had before it was made to fit GGUF."""
    if shape is None:
        return replace(tensor, start=data_start + tensor.start)
    fits = isinstance(shape, list) and len(shape) <= 8 and all(type(n) is int and 0 <= n <= _LARGEST for n in shape)
    if not fits or not isinstance(shape, list) or math.prod(shape) != math.prod(tensor.shape) or tensor.dtype in BLOCKS:
        raise damaged(path, f"the original shape of tensor {tensor.name!r:.100} is said to be {shape!r:.100}")
    return replace(tensor, start=data_start + tensor.start, shape=tuple(shape))


def _check_layout(path: Path, tensors: Iterable[TensorInfo], data_start: int, alignment: int) -> None:
    """Tensors must follow one another, each at the next aligned byte, and end within the file."""
    end = data_start
    for tensor in sorted(tensors, key=lambda t: (t.start, t.nbytes)):
        if tensor.start != _aligned(end, alignment):
            raise damaged(path, f"tensor {tensor.name!r:.100} begins at byte {tensor.start}, not at {end}")
        end = tensor.start + tensor.nbytes
    size = file_size(path)
    if end > size:
        raise truncated(path, size, end)
    if size >= _aligned(end, alignment) + alignment:
        raise damaged(path, f"{size - end} bytes follow its last tensor")
