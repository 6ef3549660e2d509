"""Bytes of files -> tensors on a device, without a second copy in RAM.

For the CPU a tensor is a view of the memory-mapped file: its pages are read when they are first used, shared between
processes, and dropped when memory is short. For a GPU a few threads read slices of the file into a ring of page-locked
buffers, from which they are copied while the next ones are being read; so loading takes no more host memory than the
ring, however large the file is.
"""

import os
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from wanvideo.errors import ModelCorrupt
from wanvideo.weights.gguf import BLOCKS
from wanvideo.weights.headers import TensorInfo
from wanvideo.weights.stored import StoredTensor

BUFFERS: Final = 8
BUFFER_BYTES: Final = 16 << 20  # 8 of 16 MiB load at 9 to 10 GB/s on an H100, 4 of 64 MiB at 6

DTYPES: Final[Mapping[str, torch.dtype]] = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "I8": torch.int8, "U8": torch.uint8,
}  # fmt: skip


def stored_dtype(info: TensorInfo) -> torch.dtype:
    """Blocks are bytes."""
    return torch.uint8 if info.dtype in BLOCKS else DTYPES[info.dtype]


def stored_shape(info: TensorInfo) -> tuple[int, ...]:
    """The shape of the numbers, or of the bytes of blocks: [..., bytes of a row]."""
    if info.dtype not in BLOCKS:
        return info.shape
    numbers, nbytes = BLOCKS[info.dtype]
    return (*info.shape[:-1], info.shape[-1] // numbers * nbytes)


def read_tensors(tensors: Sequence[StoredTensor], device: torch.device) -> Iterator[tuple[int, Tensor]]:
    """Yield (index in `tensors`, tensor as stored), in the order of the files, which disks like best.

    On the CPU, for other devices than CUDA too, these are views of the mapped files: to be copied before the files are
    written to. Raises ModelCorrupt if a file is not as its header was.
    """
    if device.type == "cuda":
        largest = max((tensor.info.nbytes for tensor in tensors), default=0)
        yield from stream_tensors(tensors, Ring.on(device, nbytes=min(BUFFER_BYTES, max(largest, 1))))
        return
    mapped: dict[Path, torch.UntypedStorage] = {}
    for i in _in_file_order(tensors):
        path = tensors[i].file.path
        if path not in mapped:
            mapped.clear()
            mapped[path] = _map(path, max(t.info.start + t.info.nbytes for t in tensors if t.file.path == path))
        yield i, _view(mapped[path], tensors[i].info)


def _in_file_order(tensors: Sequence[StoredTensor]) -> list[int]:
    return sorted(range(len(tensors)), key=lambda i: (str(tensors[i].file.path), tensors[i].info.start))


def _map(path: Path, least: int) -> torch.UntypedStorage:
    """A private mapping of the whole file: what is written to it does not reach the file."""
    try:
        size = path.stat().st_size
        if size < least:
            raise _shrunk(path, size, least)
        storage = torch.UntypedStorage.from_file(str(path), shared=False, nbytes=size)
    except (OSError, RuntimeError) as error:
        raise ModelCorrupt(f"{path} cannot be read ({error}): delete it and download it again") from error
    assert isinstance(storage, torch.UntypedStorage)
    return storage


def _view(storage: torch.UntypedStorage, info: TensorInfo) -> Tensor:
    dtype, shape = stored_dtype(info), stored_shape(info)
    start, odd = divmod(info.start, dtype.itemsize)
    if not odd:
        strides = torch.empty(shape, device="meta").stride()
        return torch.empty(0, dtype=dtype).set_(storage, start, shape, strides)
    # Its numbers do not begin at a multiple of their size: they have to be moved.
    raw = torch.empty(0, dtype=torch.uint8).set_(storage, info.start, (info.nbytes,), (1,))
    return raw.clone().view(dtype).reshape(shape)


def _shrunk(path: Path, size: int, least: int) -> ModelCorrupt:
    return ModelCorrupt(
        f"{path} cannot be read: it has {size} bytes now and had at least {least}: delete it and download it again",
        facts={"file": str(path), "bytes": size, "expected_bytes": least},
    )


@dataclass(slots=True, eq=False)
class _Buffer:
    """One buffer of the ring, and when the copy out of it is done."""

    data: Tensor  # uint8
    copied: torch.cuda.Event | None = None


@dataclass(slots=True, eq=False)
class Ring:
    """The buffers between files and one device; without a stream, for tests on the CPU, copies are done at once."""

    device: torch.device
    buffers: list[_Buffer]
    stream: torch.cuda.Stream | None = None

    @classmethod
    def on(cls, device: torch.device, buffers: int = BUFFERS, nbytes: int = BUFFER_BYTES) -> "Ring":
        cuda = device.type == "cuda"
        made = [_Buffer(torch.empty(nbytes, dtype=torch.uint8, pin_memory=cuda)) for _ in range(buffers)]
        return cls(device, made, torch.cuda.Stream(device) if cuda else None)

    def fill(self, buffer: _Buffer, file: int, path: Path, start: int, count: int) -> None:
        """Read `count` bytes of a file; runs in a thread, and the interpreter is free while it reads."""
        if buffer.copied is not None:
            buffer.copied.synchronize()
        view = memoryview(buffer.data[:count].numpy())  # type: ignore[arg-type]  # a buffer, says numpy
        done = 0
        try:
            while done < count:
                got = os.preadv(file, [view[done:]], start + done)
                if got == 0:
                    raise _shrunk(path, start + done, start + count)
                done += got
        except OSError as error:
            raise ModelCorrupt(f"{path} cannot be read ({error.strerror})") from error

    def empty(self, buffer: _Buffer, target: Tensor) -> None:
        """Copy a buffer to the device, behind all that was asked of the device before."""
        source = buffer.data[: target.numel()]
        if self.stream is None:
            target.copy_(source)
            return
        # The memory of `target` may have been something else's a moment ago.
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.stream):
            target.copy_(source, non_blocking=True)
            buffer.copied = self.stream.record_event()

    def __enter__(self) -> "Ring":
        return self

    def __exit__(self, *_: object) -> None:
        """However it ends, memory that is let go must not be used again before the copies into it are done."""
        self.join()

    def join(self) -> None:
        """Let what is asked of the device from now on wait for the copies so far."""
        if self.stream is not None:
            torch.cuda.current_stream(self.device).wait_stream(self.stream)


@dataclass(slots=True, eq=False)
class _Slice:
    """A piece of a tensor on its way: the buffer is being filled."""

    filled: Future[None]
    buffer: _Buffer
    target: Tensor  # uint8, on the device
    finished: tuple[int, Tensor] | None  # the whole tensor, if this is its last piece


def stream_tensors(tensors: Sequence[StoredTensor], ring: Ring) -> Generator[tuple[int, Tensor], None, None]:
    """What `read_tensors` does with a ring: while one tensor is yielded, the next ones are already being read."""
    free, under_way = deque(ring.buffers), deque[_Slice]()

    def arrive() -> tuple[int, Tensor] | None:
        piece = under_way.popleft()
        piece.filled.result()
        ring.empty(piece.buffer, piece.target)
        free.append(piece.buffer)
        return piece.finished

    with _OpenFiles() as files, ring, ThreadPoolExecutor(len(ring.buffers)) as threads:
        for index in _in_file_order(tensors):
            path, info = tensors[index].file.path, tensors[index].info
            whole = torch.empty(stored_shape(info), dtype=stored_dtype(info), device=ring.device)
            if not info.nbytes:
                yield index, whole
                continue
            pieces = whole.view(-1).view(torch.uint8).split(ring.buffers[0].data.numel())
            start = info.start
            for number, target in enumerate(pieces, 1):
                while not free:
                    if finished := arrive():
                        ring.join()
                        yield finished
                buffer, count = free.popleft(), target.numel()
                filled = threads.submit(ring.fill, buffer, files.open(path), path, start, count)
                under_way.append(_Slice(filled, buffer, target, (index, whole) if number == len(pieces) else None))
                start += count
        while under_way:
            if finished := arrive():
                ring.join()
                yield finished


class _OpenFiles:
    """Descriptors by path, closed together."""

    def __init__(self) -> None:
        self._descriptors: dict[Path, int] = {}

    def __enter__(self) -> "_OpenFiles":
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)

    def open(self, path: Path) -> int:
        if path not in self._descriptors:
            try:
                self._descriptors[path] = os.open(path, os.O_RDONLY)
            except OSError as error:
                raise ModelCorrupt(f"{path} cannot be read ({error.strerror})") from error
        return self._descriptors[path]
