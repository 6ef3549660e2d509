"""Networks whose blocks do not all fit on the GPU: they stay in host memory and pass through.

The large weights of each block lie in host memory as one slab. On the GPU are some slots of a slab's size: most keep
one block each, as many as there is room for; through the others, two or more, the blocks in between pass. While one
block computes, the next one is copied on a stream of its own. The GPU waits for events, the host for nothing.

A network knows nothing of it: hooks of its blocks bind the weights to where they are at the moment. The numbers are the
same to the bit.
"""

import weakref
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from wanvideo.runtime.pinned import pin, unpin

LEAST: Final = 1 << 20  # bytes of a tensor that is worth moving; smaller ones stay on the GPU
_ALIGNMENT: Final = 512  # bytes; matrix products want the weights of a slab to begin at multiples of this


class Place(NamedTuple):
    """One tensor of a block, and where it lies in the slab."""

    owner: nn.Module
    name: str
    dtype: torch.dtype
    shape: torch.Size
    start: int
    nbytes: int

    def view(self, slab: Tensor) -> Tensor:
        return slab[self.start : self.start + self.nbytes].view(self.dtype).view(self.shape)

    def bind(self, tensor: Tensor) -> None:
        """Let the module find `tensor` under this name."""
        parameter = self.owner._parameters.get(self.name)
        if parameter is not None:
            parameter.data = tensor
        else:
            self.owner._buffers[self.name] = tensor

    @property
    def bound(self) -> Tensor:
        tensor = getattr(self.owner, self.name)
        assert isinstance(tensor, Tensor)
        return tensor.detach()


def large_tensors(block: nn.Module, least: int = LEAST) -> list[Place]:
    """What of a block is worth moving, laid out as a slab."""
    places: list[Place] = []
    start = 0
    for owner in block.modules():
        for name, tensor in (*owner._parameters.items(), *owner._buffers.items()):
            if tensor is None or tensor.nbytes < least:
                continue
            places.append(Place(owner, name, tensor.dtype, tensor.shape, start, tensor.nbytes))
            start += -(-tensor.nbytes // _ALIGNMENT) * _ALIGNMENT
    return places


def slab_bytes(places: Sequence[Place]) -> int:
    return max((place.start + place.nbytes for place in places), default=0)


class Slots:
    """Memory on a device for blocks, that several networks may use in turn."""

    def __init__(self, count: int, nbytes: int, device: torch.device) -> None:
        self.device = device
        self.slabs = [torch.empty(nbytes, dtype=torch.uint8, device=device) for _ in range(count)]
        self.user: BlockStream | None = None


@dataclass(slots=True, eq=False)
class _Lane:
    """A slot that blocks pass through."""

    slab: Tensor
    holds: int | None = None  # the block that is in it, or on its way
    sent: Future[None] | None = None  # the copy has been asked for
    arrived: torch.cuda.Event | None = None
    left: torch.cuda.Event | None = None  # the block before has been computed


@dataclass(slots=True, eq=False)
class _HostBlock:
    """One block in host memory."""

    places: list[Place]
    slab: Tensor | None  # pinned; None: every tensor lies where it was loaded, in a mapped file perhaps
    tensors: list[Tensor] = field(default_factory=list)  # in host memory, in the order of `places`

    def bind_home(self) -> None:
        for place, tensor in zip(self.places, self.tensors, strict=True):
            place.bind(tensor)


class BlockStream:
    """The blocks of one network, in host memory, on their way through the slots of a device.

    blocks: in the order in which they compute, with all tensors in host memory.
    lanes: how many of the slots blocks pass through; the others keep one block each.
    pinned: make one page-locked slab of each block, from which the GPU copies by itself. Otherwise tensors stay where
    they are, and a thread brings them to the GPU through two page-locked buffers: for mapped files that do not fit into
    memory.
    """

    def __init__(
        self, blocks: Sequence[nn.Module], slots: Slots, *, lanes: int = 2, pinned: bool = True, least: int = LEAST
    ) -> None:
        self.slots, self.device = slots, slots.device
        self._blocks = [_HostBlock(large_tensors(block, least), None) for block in blocks]
        for block in blocks:
            _settle(block, self.device, least)
        for host in self._blocks:
            _take_home(host, pinned)
        keep = min(len(blocks), len(slots.slabs) - lanes)
        keep = len(blocks) if len(slots.slabs) >= len(blocks) else keep
        self._passing = spread(len(blocks), len(blocks) - keep)
        self._kept = [i for i in range(len(blocks)) if i not in set(self._passing)]
        self._lanes = [_Lane(slab) for slab in slots.slabs[len(self._kept) :]] if self._passing else []
        self._copies = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
        self._thread = None if pinned else ThreadPoolExecutor(1, thread_name_prefix="block-stream")
        self._staging = [] if pinned else [_Staging(torch.empty_like(slots.slabs[0], device="cpu")) for _ in range(2)]
        own = (*(host.slab for host in self._blocks), *(staging.slab for staging in self._staging))
        self._unpin = weakref.finalize(
            self, unpin, [slab for slab in own if slab is not None and pin(slab, self.device)]
        )
        self._sent = 0  # blocks asked for since the beginning
        self._handles = [hook for i, block in enumerate(blocks) for hook in self._hook(i, block)]

    @property
    def passing(self) -> int:
        """How many blocks are not kept on the device."""
        return len(self._passing)

    def start(self) -> None:
        """Take the slots, and begin to fill them. The network before is out of them afterwards."""
        if self.slots.user is self:
            return
        if self.slots.user is not None:
            self.slots.user.stop()
        self.slots.user = self
        if self._copies is not None:
            self._copies.wait_stream(torch.cuda.current_stream(self.device))
        for slab, index in zip(self.slots.slabs, self._kept, strict=False):
            self._send(index, slab)
            for place in self._blocks[index].places:
                place.bind(place.view(slab))
        if self._kept and self._copies is not None:
            torch.cuda.current_stream(self.device).wait_stream(self._copies)
        for turn, lane in enumerate(self._lanes):
            self._fill(lane, turn)

    def stop(self) -> None:
        """Leave the slots to another network."""
        if self.slots.user is not self:
            return
        for lane in self._lanes:
            if lane.sent is not None:
                lane.sent.result()
            lane.holds = lane.sent = lane.arrived = lane.left = None
        if self._copies is not None:
            torch.cuda.current_stream(self.device).wait_stream(self._copies)
        for host in self._blocks:
            host.bind_home()
        self.slots.user = None

    def close(self) -> None:
        """Let go of host memory too. The network cannot be used any more."""
        self.stop()
        for handle in self._handles:
            handle.remove()
        if self._thread is not None:
            self._thread.shutdown()
        self._blocks.clear()
        self._lanes.clear()
        self._unpin()
        self._staging.clear()

    # --- while a network computes ------------------------------------------------------------------------------------

    def _hook(self, index: int, block: nn.Module) -> Iterator[Any]:
        if index not in set(self._passing):
            if index == 0:
                yield block.register_forward_pre_hook(lambda *_: self.start())
            return
        turn = self._passing.index(index)
        yield block.register_forward_pre_hook(lambda *_: self._enter(turn))
        yield block.register_forward_hook(lambda *_: self._leave(turn))

    def _enter(self, turn: int) -> None:
        self.start()
        lane, index = self._lanes[turn % len(self._lanes)], self._passing[turn]
        if lane.holds != index:  # a forward was broken off, or this is the first
            self._fill(lane, turn)
        if lane.sent is not None:
            lane.sent.result()
        if lane.arrived is not None:
            torch.cuda.current_stream(self.device).wait_event(lane.arrived)
        for place in self._blocks[index].places:
            place.bind(place.view(lane.slab))

    def _leave(self, turn: int) -> None:
        lane = self._lanes[turn % len(self._lanes)]
        if self._copies is not None:
            lane.left = torch.cuda.current_stream(self.device).record_event()
        count, lanes = len(self._passing), len(self._lanes)
        # The next block for this lane; where turns do not come out even, the beginning of the next forward.
        following = turn + lanes if turn + lanes < count else turn % lanes
        if self._passing[following] != lane.holds:
            self._fill(lane, following)

    def _fill(self, lane: _Lane, turn: int) -> None:
        """Bring the block of a turn into a lane, once the block in it has been computed."""
        index = self._passing[turn]
        if lane.sent is not None:
            lane.sent.result()
        lane.holds = index
        if self._copies is not None and lane.left is not None:
            self._copies.wait_event(lane.left)
        if self._thread is None:
            self._send(index, lane.slab)
            lane.arrived = None if self._copies is None else self._copies.record_event()
        else:
            lane.sent = self._thread.submit(self._send_staged, index, lane)

    def _send(self, index: int, slab: Tensor) -> None:
        """Copy one block to the device, in the order of the stream for copies."""
        host = self._blocks[index]
        with torch.cuda.stream(self._copies):
            if host.slab is not None:
                slab[: host.slab.numel()].copy_(host.slab, non_blocking=True)
                return
            for place, tensor in zip(host.places, host.tensors, strict=True):
                place.view(slab).copy_(tensor, non_blocking=True)

    def _send_staged(self, index: int, lane: _Lane) -> None:
        """In the thread: read a block, from the disk if need be, into a page-locked buffer, and copy it from there."""
        host = self._blocks[index]
        staging = self._staging[self._sent % len(self._staging)]
        self._sent += 1
        if staging.copied is not None:
            staging.copied.synchronize()
        for place, tensor in zip(host.places, host.tensors, strict=True):
            place.view(staging.slab).copy_(tensor)
        with torch.cuda.stream(self._copies):
            size = slab_bytes(host.places)
            lane.slab[:size].copy_(staging.slab[:size], non_blocking=True)
            if self._copies is not None:
                staging.copied = lane.arrived = self._copies.record_event()


@dataclass(slots=True, eq=False)
class _Staging:
    """A page-locked buffer between mapped files and the device."""

    slab: Tensor
    copied: torch.cuda.Event | None = None


def spread(count: int, chosen: int) -> list[int]:
    """`chosen` of `count` places, evenly, so that a copy has as much computing to hide behind as there can be."""
    return [(2 * i + 1) * count // (2 * chosen) for i in range(chosen)]


def _settle(block: nn.Module, device: torch.device, least: int) -> None:
    """Small tensors go to the device for good."""
    for owner in block.modules():
        for parameter in owner._parameters.values():
            if parameter is not None and parameter.nbytes < least:
                parameter.data = parameter.data.to(device)
        for name, buffer in owner._buffers.items():
            if buffer is not None and buffer.nbytes < least:
                owner._buffers[name] = buffer.to(device)


def _take_home(host: _HostBlock, pinned: bool) -> None:
    """Make one slab of a block's tensors, which are let go one by one; or remember where they are."""
    if not pinned:
        host.tensors = [place.bound for place in host.places]
        return
    slab = torch.empty(slab_bytes(host.places), dtype=torch.uint8)
    for place in host.places:
        view = place.view(slab)
        view.copy_(place.bound)
        place.bind(view)
        host.tensors.append(view)
    host.slab = slab


def stream_blocks(
    network: nn.Module,
    blocks: Iterable[nn.Module],
    slots: Slots,
    *,
    lanes: int = 2,
    pinned: bool = True,
    least: int = LEAST,
) -> BlockStream:
    """A network in host memory, ready to compute on the device of `slots`: all but its blocks goes there for good."""
    blocks = list(blocks)
    in_blocks = {id(tensor) for block in blocks for tensor in (*block.parameters(), *block.buffers())}
    for owner in network.modules():
        for parameter in owner._parameters.values():
            if parameter is not None and id(parameter) not in in_blocks:
                parameter.data = parameter.data.to(slots.device)
        for name, buffer in owner._buffers.items():
            if buffer is not None and id(buffer) not in in_blocks:
                owner._buffers[name] = buffer.to(slots.device)
    return BlockStream(blocks, slots, lanes=lanes, pinned=pinned, least=least)
