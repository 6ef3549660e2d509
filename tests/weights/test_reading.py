"""The ring that feeds a GPU, run without one: small buffers, many slices."""

import os
from pathlib import Path

import pytest
import torch

from tests.weights import dialects as d
from wanvideo.errors import ModelCorrupt
from wanvideo.weights.checkpoint import read_checkpoint
from wanvideo.weights.reading import Ring, read_tensors, stream_tensors
from wanvideo.weights.stored import StoredTensor

CPU = torch.device("cpu")


def stored(path: Path) -> list[StoredTensor]:
    file = read_checkpoint(path)
    return [StoredTensor(file=file, info=info) for info in file.tensors.values()]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    tensors = {
        "long": torch.randn(1000, 7),
        "scalar": torch.tensor(3.0),
        "bytes": torch.arange(101, dtype=torch.uint8),  # what follows begins at an odd byte
        "empty": torch.zeros(0, 3),
        "fp8": torch.randn(33, 5).to(torch.float8_e4m3fn),
    }
    return d.write(tmp_path / "mixed.safetensors", tensors)


@pytest.mark.parametrize("nbytes", [13, 256, 1 << 20])
def test_the_ring_brings_what_the_mapped_file_has(file: Path, nbytes: int) -> None:
    tensors = stored(file)
    mapped = dict(read_tensors(tensors, CPU))
    streamed = dict(stream_tensors(tensors, Ring.on(CPU, buffers=3, nbytes=nbytes)))
    assert streamed.keys() == mapped.keys() == set(range(len(tensors)))
    for i, tensor in streamed.items():
        assert (tensor.dtype, tensor.shape) == (mapped[i].dtype, mapped[i].shape)
        assert tensor.float().equal(mapped[i].float())


def test_numbers_that_begin_at_an_odd_byte_are_read(tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    header = (
        b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}}'
    )
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\x07" + torch.tensor([1.5, -2.0]).numpy().tobytes())
    _, b = (tensor for _, tensor in read_tensors(stored(path), CPU))
    assert b.tolist() == [1.5, -2.0]


def test_a_file_that_shrinks_while_it_is_read_is_corrupt(file: Path) -> None:
    tensors = stored(file)
    os.truncate(file, 5000)
    with pytest.raises(ModelCorrupt, match=r"cannot be read: it has 5000 bytes now"):
        list(stream_tensors(tensors, Ring.on(CPU, buffers=2, nbytes=100)))
    with pytest.raises(ModelCorrupt, match=r"cannot be read: it has 5000 bytes now"):
        list(read_tensors(tensors, CPU))
    file.unlink()
    with pytest.raises(ModelCorrupt, match="cannot be read"):
        list(stream_tensors(tensors, Ring.on(CPU)))


def test_files_are_closed_also_when_the_reader_stops_early(file: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    reading = stream_tensors(stored(file), Ring.on(CPU, buffers=2, nbytes=64))
    next(reading)
    reading.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.gpu
@pytest.mark.parametrize("nbytes", [100, 1 << 20])
def test_the_ring_brings_the_same_to_a_gpu(file: Path, nbytes: int) -> None:
    tensors, device = stored(file), torch.device("cuda")
    mapped = dict(read_tensors(tensors, CPU))
    for i, tensor in stream_tensors(tensors, Ring.on(device, buffers=3, nbytes=nbytes)):
        assert tensor.device.type == "cuda"
        assert tensor.cpu().float().equal(mapped[i].float())
