"""What a safetensors file holds, read from its header alone: no torch, no tensor data, nothing executed.

Format: https://github.com/huggingface/safetensors#format. Every claim of a header is checked against the file, so that
a truncated download or a foreign file is found in milliseconds and named.
"""

import json
import math
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeGuard

from wanvideo.errors import ModelCorrupt, ModelIncomplete

_MAX_HEADER: Final = 100_000_000  # bytes, as in the reference implementation
_MAX_JSON: Final = 100_000_000
_BITS: Final[Mapping[str, int]] = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
}  # fmt: skip
_PICKLED: Final = frozenset({".bin", ".ckpt", ".pkl", ".pt", ".pth"})
_PICKLE_STARTS: Final = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_REDOWNLOAD: Final = "delete it and download it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorInfo:
    """One tensor of a file, unread."""

    name: str
    dtype: str  # in safetensors' spelling: "BF16", "F32", ...; or one of GGUF's block types: "Q4_K", ...
    shape: tuple[int, ...]
    start: int  # bytes, from the beginning of the file
    nbytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFile:
    """One safetensors or GGUF file whose header agrees with its bytes."""

    path: Path
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


def read_start(path: Path, count: int) -> bytes:
    """The first `count` bytes of a file, or all if it has fewer. Raises ModelIncomplete or ModelCorrupt."""
    return _read(path, min(count, file_size(path)))


def read_json(path: Path) -> Mapping[str, Any]:
    """The JSON object in a file. Raises ModelIncomplete if there is none, ModelCorrupt if it is anything else."""
    size = file_size(path)
    if size > _MAX_JSON:
        raise ModelCorrupt(f"{path} has {size} bytes, too many for a JSON file: {_REDOWNLOAD}")
    data = _read(path, size)
    value = _parse(data)
    if not isinstance(value, dict):
        raise ModelCorrupt(f"{path} is {what_it_is(data) or 'not a JSON object'}: {_REDOWNLOAD}")
    return value


def read_header(path: Path) -> WeightFile:
    """The tensors of a safetensors file.

    Raises ModelIncomplete if the file is missing, ModelCorrupt if it is truncated, damaged or of another format.
    """
    size = file_size(path)
    head = _read(path, min(size, 64))
    length = int.from_bytes(head[:8], "little")
    if size < 8 or length > _MAX_HEADER or head[8:9] != b"{":
        raise ModelCorrupt(f"{path} is {what_it_is(head) or 'no safetensors file'}: {_remedy(head)}")
    if 8 + length > size:
        raise truncated(path, size, 8 + length)
    header = _parse(_read(path, 8 + length)[8:])
    if not isinstance(header, dict):
        raise damaged(path, "its header is not JSON")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise damaged(path, "its metadata are not strings")
    tensors = {name: _tensor(path, name, entry, 8 + length) for name, entry in header.items()}
    _check_layout(path, list(tensors.values()), 8 + length, size)
    return WeightFile(path=path, tensors=tensors, metadata=metadata)


def read_weights(folder: Path, stem: str) -> tuple[WeightFile, ...]:
    """The files of one network: `<stem>.safetensors`, or the shards that `<stem>.safetensors.index.json` lists.

    Raises ModelIncomplete if a file is missing, ModelCorrupt if one is damaged or disagrees with the index.
    """
    single = folder / f"{stem}.safetensors"
    index = folder / f"{stem}.safetensors.index.json"
    if single.exists():
        return (read_header(single),)
    if not index.exists():
        raise _no_weights(folder, single)
    listed: dict[str, set[str]] = {}
    for tensor, shard in read_index(index).items():
        listed.setdefault(shard, set()).add(tensor)
    missing = sorted(shard for shard in listed if not (folder / shard).is_file())
    if missing:
        raise ModelIncomplete(
            f"{folder}: {len(missing)} of {len(listed)} weight files are missing ({some(missing)}): "
            "continue the download",
            facts={"folder": str(folder), "missing": len(missing)},
        )
    return tuple(_read_shard(folder / shard, listed[shard], index) for shard in sorted(listed))


def read_index(path: Path) -> Mapping[str, str]:
    """Tensor name -> shard, from an index file. A shard is a plain file name beside the index."""
    weight_map = read_json(path).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise damaged(path, "it has no weight_map")
    for shard in weight_map.values():
        if not isinstance(shard, str) or not _is_plain_name(shard):
            raise ModelCorrupt(
                f"{path} names the file {shard!r}, which is not a plain .safetensors name in its own folder: "
                "do not use this model"
            )
    return weight_map


def _read_shard(path: Path, listed: set[str], index: Path) -> WeightFile:
    shard = read_header(path)
    lacking, extra = sorted(listed - shard.tensors.keys()), sorted(shard.tensors.keys() - listed)
    if lacking or extra:
        verb, names = ("lacks", lacking) if lacking else ("has, unlisted,", extra)
        raise ModelCorrupt(
            f"{path} and {index.name} do not belong together: the file {verb} {len(names)} tensors ({some(names)}): "
            "download both again"
        )
    return shard


def _tensor(path: Path, name: str, entry: object, data_start: int) -> TensorInfo:
    """One entry of a header, checked in itself."""
    fields = entry if isinstance(entry, dict) else {}
    dtype, shape, offsets = fields.get("dtype"), fields.get("shape"), fields.get("data_offsets")
    if not isinstance(dtype, str) or not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise damaged(path, f"the entry of tensor {name!r} is malformed")
    if dtype not in _BITS:
        raise damaged(path, f"tensor {name!r} has the unknown type {dtype!r}")
    start, end = offsets
    if (end - start) * 8 != math.prod(shape) * _BITS[dtype]:
        raise damaged(path, f"tensor {name!r} {dtype} {list(shape)} is said to have {end - start} bytes")
    return TensorInfo(name=name, dtype=dtype, shape=tuple(shape), start=data_start + start, nbytes=end - start)


def _check_layout(path: Path, tensors: list[TensorInfo], data_start: int, size: int) -> None:
    """Tensors must fill the rest of the file without gaps or overlaps."""
    end = data_start
    for tensor in sorted(tensors, key=lambda t: (t.start, t.nbytes)):
        if tensor.start != end:
            raise damaged(path, f"tensor {tensor.name!r} begins at byte {tensor.start}, not at {end}")
        end += tensor.nbytes
    if end > size:
        raise truncated(path, size, end)
    if end < size:
        raise damaged(path, f"{size - end} bytes follow its last tensor")


def _are_sizes(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _is_plain_name(name: str) -> bool:
    return name.endswith(".safetensors") and not name.startswith(".") and not set(name) & set("/\\:\0")


def file_size(path: Path) -> int:
    """Bytes of a regular file; anything else could block or never end."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise ModelIncomplete(f"{path} is missing: continue the download") from None
    except OSError as error:
        raise ModelCorrupt(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise ModelCorrupt(f"{path} is not a file: {_REDOWNLOAD}")
    return status.st_size


def _read(path: Path, count: int) -> bytes:
    """The first `count` bytes."""
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise ModelCorrupt(f"{path} cannot be read: {error.strerror}") from error


def _parse(data: bytes) -> object:
    """The JSON value, or None if there is none."""
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        return None


def what_it_is(head: bytes) -> str | None:
    """What a file is that should have been something else, from its first bytes."""
    if not head.strip(b"\0"):
        return "zeros where the content should be" if head else "empty"
    if is_pickle(head):
        return "a pickle checkpoint, which can run any code when it is opened"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself"
    if head.lstrip()[:1] == b"<":
        return "a web page"
    if head.startswith(b"GGUF"):
        return "a GGUF file"
    return None


def is_pickle(head: bytes) -> bool:
    """Whether a file that begins so could run code: a zip archive, as PyTorch writes, or a bare pickle.

    A safetensors header of 640 bytes begins like a pickle, too; but then comes a brace, which no pickle has there.
    """
    return head.startswith(_PICKLE_STARTS) and head[8:9] != b"{"


def _remedy(head: bytes) -> str:
    if head.startswith(b"version https://git-lfs"):
        return "run `git lfs pull` in its repository"
    if is_pickle(head):
        return "get the model in safetensors format"
    return _REDOWNLOAD


def truncated(path: Path, size: int, expected: int) -> ModelCorrupt:
    return ModelCorrupt(
        f"{path} is truncated: {size} of {expected} bytes are there: {_REDOWNLOAD}",
        facts={"file": str(path), "bytes": size, "expected_bytes": expected},
    )


def damaged(path: Path, how: str) -> ModelCorrupt:
    return ModelCorrupt(f"{path} is damaged: {how}: {_REDOWNLOAD}", facts={"file": str(path)})


def _no_weights(folder: Path, wanted: Path) -> ModelIncomplete | ModelCorrupt:
    """Say what lies there instead of the weights."""
    there = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    pickled = [name for name in there if Path(name).suffix in _PICKLED]
    if pickled:
        return ModelCorrupt(
            f"{folder} holds its weights as pickle ({some(pickled)}), which can run any code when it is opened: "
            "get the model in safetensors format"
        )
    found = f"found {some(there)}" if there else "the folder is empty or missing"
    return ModelIncomplete(f"{wanted} is missing ({found}): continue the download")


def some(names: Sequence[str]) -> str:
    """The first few names, for a message."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
