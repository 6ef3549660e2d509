"""GGUF headers: what the `gguf` package writes is read, and no mutation of it does more than raise a typed error."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.weights import dialects as d
from wanvideo.errors import ModelCorrupt, ModelIncomplete, ModelMismatch, WanVideoError
from wanvideo.weights.checkpoint import read_checkpoint
from wanvideo.weights.gguf import read_gguf, read_gguf_arrays


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    blocks = np.zeros((4, 2 * 34), dtype=np.uint8)
    return d.write_gguf(
        tmp_path_factory.mktemp("gguf") / "small.gguf",
        {"five.d": torch.zeros(2, 3, 1, 2, 2), "q": ("Q8_0", blocks), "bias": torch.arange(5.0)},
        strings={"general.name": "wän"},
        arrays={"numbers": [1, 2, 3], "texts": ["a", "", "ü"]},
        file_type=7,
    )


def test_names_shapes_and_places_are_those_that_were_written(file: Path) -> None:
    read = read_gguf(file)
    assert {name: (t.dtype, t.shape, t.nbytes) for name, t in read.tensors.items()} == {
        "five.d": ("F32", (2, 3, 1, 2, 2), 96),
        "q": ("Q8_0", (4, 64), 4 * 68),
        "bias": ("F32", (5,), 20),
    }
    bias = read.tensors["bias"]
    assert file.read_bytes()[bias.start :][: bias.nbytes] == np.arange(5, dtype=np.float32).tobytes()
    assert read.metadata["general.architecture"] == "wan"
    assert read.metadata["general.name"] == "wän"
    assert read.metadata["general.file_type"] == "7"


def test_arrays_are_read_when_they_are_asked_for(file: Path) -> None:
    keys = frozenset({"texts", "numbers", "nothing"})
    assert read_gguf_arrays(file, keys) == {"texts": ["a", "", "ü"], "numbers": [1, 2, 3]}


@given(data=st.data())
def test_every_mutation_is_read_or_raises_a_typed_error(file: Path, data: st.DataObject) -> None:
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(content) - 1))
        content[position] = data.draw(st.integers(0, 255))
    mutated = file.with_name("mutated.gguf")
    mutated.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    try:
        read = read_checkpoint(mutated)
    except (ModelCorrupt, ModelIncomplete, ModelMismatch):
        return
    size = mutated.stat().st_size
    assert all(t.start >= 0 and t.start + t.nbytes <= size for t in read.tensors.values())


@pytest.mark.parametrize("missing", [1, 100, 400])
def test_a_truncated_file_is_named_with_the_bytes_that_are_there(file: Path, tmp_path: Path, missing: int) -> None:
    content = file.read_bytes()
    # The writer pads the last tensor, which need not be there.
    end = max(t.start + t.nbytes for t in read_gguf(file).tensors.values())
    path = tmp_path / "cut.gguf"
    path.write_bytes(content[: end - missing])
    with pytest.raises(ModelCorrupt, match=rf"cut\.gguf is truncated: {end - missing} of \d+ bytes"):
        read_checkpoint(path)


def header(*fields: bytes, version: int = 3, tensors: int = 0, entries: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, entries) + b"".join(fields)


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def tensor(name: bytes, shape: tuple[int, ...], kind: int, start: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, start)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (header(version=1), ModelMismatch, "GGUF version 1"),
        (header(version=3 << 24), ModelMismatch, "little-endian"),
        (header(tensors=2**40), ModelCorrupt, r"speaks of 1099511627776 tensors"),
        (header(entries=60000), ModelCorrupt, r"speaks of 60000 keys"),
        (header(text(b"k"), struct.pack("<I", 99), entries=1) + bytes(64), ModelCorrupt, "unknown type of value 99"),
        (header(struct.pack("<Q", 2**62), entries=1) + bytes(64), ModelCorrupt, r"a text of \d+ bytes"),
        (header(text(b"\xff\xfe") + bytes(64), entries=1), ModelCorrupt, "not UTF-8"),
        (
            header(text(b"k") + struct.pack("<IIQ", 9, 4, 2**30), entries=1) + bytes(64),
            ModelCorrupt,
            r"speaks of 1073741824 items",
        ),
        (header(tensor(b"t", (1,) * 6, 0), tensors=1), ModelCorrupt, "6 dimensions"),
        (header(tensor(b"t", (2**60,), 0), tensors=1), ModelCorrupt, r"shape \[1152921504606846976\]"),
        (header(tensor(b"t", (256,), 20), tensors=1), ModelMismatch, "GGUF type 20, which is not read"),
        (header(tensor(b"t", (40,), 8), tensors=1), ModelCorrupt, "no whole number of Q8_0 blocks"),
        (header(tensor(b"t", (2**36, 2**36), 0), tensors=1) + bytes(64), ModelCorrupt, "truncated"),
        (header(tensor(b"t", (2,), 0, start=32), tensors=1) + bytes(128), ModelCorrupt, "begins at byte"),
        (header(tensor(b"t", (2,), 0) * 2, tensors=2) + bytes(64), ModelCorrupt, "two tensors 't'"),
        (header(tensor(b"t", (2,), 0), tensors=1) + bytes(128), ModelCorrupt, "follow its last tensor"),
        (
            header(text(b"general.alignment") + struct.pack("<II", 4, 24), entries=1) + bytes(64),
            ModelCorrupt,
            "alignment is 24",
        ),
    ],
)
def test_claims_that_cannot_be_true_are_named(
    tmp_path: Path, content: bytes, error: type[WanVideoError], message: str
) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(error, match=message):
        read_checkpoint(path)
