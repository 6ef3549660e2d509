import contextlib
import json
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file

from wanvideo.errors import ModelCorrupt, ModelIncomplete, WanVideoError
from wanvideo.weights.headers import read_header, read_index, read_json, read_weights

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(5, dtype=torch.bfloat16), "c": torch.zeros(())}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_file(TENSORS, tmp_path / "model.safetensors", metadata={"format": "pt"})
    return tmp_path / "model.safetensors"


def with_header(path: Path, header: object, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_a_header_tells_names_types_shapes_and_bytes(file: Path) -> None:
    header = read_header(file)
    assert {name: (t.dtype, t.shape) for name, t in header.tensors.items()} == {
        "a": ("F32", (2, 3)),
        "b": ("BF16", (5,)),
        "c": ("F32", ()),
    }
    assert header.nbytes == 24 + 10 + 4
    assert header.metadata == {"format": "pt"}
    a = header.tensors["a"]
    assert file.read_bytes()[a.start : a.start + a.nbytes] == TENSORS["a"].numpy().tobytes()


@pytest.mark.parametrize("keep", [9, 60, -1, -20])
def test_a_truncated_file_is_corrupt(file: Path, keep: int) -> None:
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ModelCorrupt, match=r"model\.safetensors is truncated: \d+ of \d+ bytes .* download it again"):
        read_header(file)


def test_extra_bytes_are_corrupt(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"more")
    with pytest.raises(ModelCorrupt, match="4 bytes follow"):
        read_header(file)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_changed_byte_is_found_or_harmless(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    content = bytearray(save(TENSORS))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("flipped") / "model.safetensors"
    path.write_bytes(content)
    with contextlib.suppress(ModelCorrupt):
        assert read_header(path).nbytes == 38


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"{nonsense", "not JSON"),
        (b"{" * 100_000, "not JSON"),
        ({"__metadata__": {"a": 1}}, "metadata"),
        ({"a": 3}, "'a' is malformed"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}, "'a' is malformed"),
        ({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, "'a' is malformed"),
        ({"a": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}}, "'a' is malformed"),
        ({"a": {"dtype": "F31", "shape": [1], "data_offsets": [0, 4]}}, "unknown type 'F31'"),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, r"F32 \[2\] is said to have 4 bytes"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, "said to have -4 bytes"),
        ({"a": {"dtype": "U8", "shape": [1], "data_offsets": [3, 4]}}, "begins at byte"),
        ({k: {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]} for k in "ab"}, "begins at byte"),
        ({"a": {"dtype": "U8", "shape": [10**12], "data_offsets": [0, 10**12]}}, "truncated"),
    ],
)
def test_a_header_that_contradicts_itself_is_corrupt(tmp_path: Path, header: object, message: str) -> None:
    path = with_header(tmp_path / "model.safetensors", header, data=b"1234")
    with pytest.raises(ModelCorrupt, match=message):
        read_header(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (bytes(1000), "zeros"),
        (b"\x80\x02}q\x00." + bytes(50), "pickle.*safetensors format"),
        (b"GGUF" + bytes(range(60)), "GGUF"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"<!DOCTYPE html><html><body>Not found</body></html>", "a web page"),
        (b"some words of text", "no safetensors file"),
    ],
)
def test_a_foreign_file_is_recognised(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelCorrupt, match=message):
        read_header(path)


def test_a_torch_checkpoint_under_another_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
    with pytest.raises(ModelCorrupt, match="pickle"):
        read_header(path)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ModelIncomplete, match="missing"):
        read_header(tmp_path / "model.safetensors")
    with pytest.raises(ModelCorrupt, match="not a file"):
        read_header(tmp_path)


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff\xfe", b"", b"1" * 5000, b"[" * 100_000])
def test_json_that_is_no_object_is_corrupt(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ModelCorrupt, match=r"config\.json"):
        read_json(tmp_path / "config.json")


def shard(folder: Path) -> Path:
    """Two shards and their index."""
    save_file({"a": TENSORS["a"]}, folder / "model-00001-of-00002.safetensors")
    save_file({"b": TENSORS["b"]}, folder / "model-00002-of-00002.safetensors")
    weight_map = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    return write_index(folder, weight_map)


def write_index(folder: Path, weight_map: object) -> Path:
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 34}, "weight_map": weight_map}), "utf-8")
    return path


def test_shards_are_read_through_their_index(tmp_path: Path) -> None:
    shard(tmp_path)
    assert [list(file.tensors) for file in read_weights(tmp_path, "model")] == [["a"], ["b"]]


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    shard(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ModelIncomplete, match=r"1 of 2 weight files are missing \(model-00002-of-00002"):
        read_weights(tmp_path, "model")


def test_a_shard_that_lacks_a_tensor_is_corrupt(tmp_path: Path) -> None:
    shard(tmp_path)
    write_index(tmp_path, dict.fromkeys(["a", "x"], "model-00001-of-00002.safetensors"))
    with pytest.raises(ModelCorrupt, match=r"lacks 1 tensors \(x\)"):
        read_weights(tmp_path, "model")


def test_a_shard_with_a_tensor_that_is_not_listed_is_corrupt(tmp_path: Path) -> None:
    shard(tmp_path)
    save_file({"a": TENSORS["a"], "x": TENSORS["b"]}, tmp_path / "model-00001-of-00002.safetensors")
    with pytest.raises(ModelCorrupt, match=r"unlisted, 1 tensors \(x\)"):
        read_weights(tmp_path, "model")


@pytest.mark.parametrize(
    "name",
    ["../x.safetensors", "/etc/x.safetensors", "a/b.safetensors", "..\\x.safetensors", "C:x.safetensors", "x.bin"],
)
def test_an_index_cannot_lead_out_of_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelCorrupt, match="do not use this model"):
        read_index(write_index(tmp_path, {"a": name}))


@pytest.mark.parametrize("weight_map", [None, {}, [], {"a": 3}, {"a": None}])
def test_a_malformed_index_is_corrupt(tmp_path: Path, weight_map: object) -> None:
    with pytest.raises(WanVideoError, match=r"index\.json"):
        read_index(write_index(tmp_path, weight_map))


def test_weights_in_pickle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelCorrupt, match=r"pickle \(pytorch_model\.bin\).*safetensors"):
        read_weights(tmp_path, "model")


def test_weights_that_are_not_there_are_missed(tmp_path: Path) -> None:
    with pytest.raises(ModelIncomplete, match=r"model\.safetensors is missing \(the folder is empty"):
        read_weights(tmp_path, "model")
