"""Networks whose blocks do not all fit on the GPU: they stay in host memory and pass through.

The large weights of each block lie in host memory as one slab. On the GPU is an arena of slabs: most of them keep one
block each, as many as there is room for; through the others, the lanes, the blocks in between pass. While one block
computes, the next one is copied on a stream of its own. The GPU waits for events, the host for nothing.

A network knows nothing of it: hooks of its blocks bind the weights to where they are at the moment. The numbers are the
same to the bit.
"""

import weakref
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import torch
from torch import Tensor, nn

from wanvideo.runtime.pinned import pin, unpin
from wanvideo.weights.giving_up import go_on_or_give_up

LEAST: Final = 1 << 20  # bytes of a tensor that is worth moving; smaller ones stay as long as their network works
_ALIGNMENT: Final = 512  # bytes; matrix products want their weights to begin at a multiple of this


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """One tensor of a network, and where it lies in the slab of its block."""

    owner: nn.Module
    name: str
    parameter: nn.Parameter | None  # None: it is a buffer
    dtype: torch.dtype
    shape: torch.Size
    start: int
    nbytes: int

    def view(self, slab: Tensor) -> Tensor:
        return slab[self.start : self.start + self.nbytes].view(self.dtype).view(self.shape)

    def bind(self, tensor: Tensor) -> None:
        """Let the module compute with `tensor`. A parameter that a LoRA has replaced is left alone."""
        if self.parameter is None:
            self.owner._buffers[self.name] = tensor
        else:
            self.parameter.data = tensor

    @property
    def tensor(self) -> Tensor:
        """The parameter or buffer itself."""
        tensor = self.owner._buffers[self.name] if self.parameter is None else self.parameter
        assert tensor is not None
        return tensor

    @property
    def bound(self) -> Tensor:
        """What it computes with at the moment."""
        return self.tensor.detach()


def large_tensors(block: nn.Module, least: int | None = None) -> list[Place]:
    """What of a block is worth moving, laid out as a slab: tensors of `least` bytes, or LEAST."""
    least = LEAST if least is None else least
    return _lay_out([block], lambda tensor: tensor.nbytes >= least)


def slab_bytes(places: Sequence[Place]) -> int:
    return max((place.start + place.nbytes for place in places), default=0)


def _lay_out(modules: Iterable[nn.Module], wanted: Callable[[Tensor], bool]) -> list[Place]:
    places: list[Place] = []
    start = 0
    for module in modules:
        for owner in module.modules():
            for name, tensor in (*owner._parameters.items(), *owner._buffers.items()):
                if tensor is None or not wanted(tensor):
                    continue
                parameter = tensor if isinstance(tensor, nn.Parameter) else None
                places.append(Place(owner, name, parameter, tensor.dtype, tensor.shape, start, tensor.nbytes))
                start += -(-tensor.nbytes // _ALIGNMENT) * _ALIGNMENT
    return places


class Arena:
    """Memory on a device for the blocks of several networks, which take turns in it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.slabs: list[Tensor] = []
        self.lanes = 0
        self.user: BlockStream | None = None

    def open(self, nbytes: int, *, resident: int, lanes: int) -> None:
        """Have room for `resident` blocks of up to `nbytes` that stay, and `lanes` that others pass through."""
        count = resident + lanes
        if len(self.slabs) == count and self.lanes == lanes and all(slab.numel() >= nbytes for slab in self.slabs):
            return
        self.close()
        self.slabs = [torch.empty(nbytes, dtype=torch.uint8, device=self.device) for _ in range(count)]
        self.lanes = lanes

    def close(self) -> None:
        """Give the memory back."""
        if self.user is not None:
            self.user.stop()
        self.slabs.clear()


@dataclass(slots=True, eq=False)
class _Lane:
    """A slab that blocks pass through."""

    slab: Tensor
    holds: int | None = None  # the block that is in it, or on its way
    sent: "Future[None] | None" = None  # a thread has asked for the copy
    arrived: torch.cuda.Event | None = None
    left: torch.cuda.Event | None = None  # the block in it has been computed


class HostMemory:
    """Where the slabs of one network lie, one after the other: here, in memory of this process alone."""

    def take(self, nbytes: int) -> tuple[Tensor, bool]:
        """The next slab [nbytes], uint8, and whether somebody else fills it with the same."""
        return torch.empty(nbytes, dtype=torch.uint8), False

    def finish(self) -> None:
        """No more are taken, and those are filled."""


@dataclass(slots=True, eq=False)
class _HostBlock:
    """One block in host memory."""

    places: list[Place]
    slab: Tensor | None = None  # None: every tensor lies where it was loaded, in a mapped file perhaps
    tensors: list[Tensor] = field(default_factory=list)  # in the order of `places`

    def take_home(self, memory: "HostMemory | None") -> None:
        """Make one slab of the tensors, which are let go one by one; without `memory`, remember where they are."""
        filled = False
        if memory is not None:
            self.slab, filled = memory.take(slab_bytes(self.places))
        for place in self.places:
            tensor = place.bound
            if self.slab is not None:
                home = place.view(self.slab)
                tensor = home if filled else home.copy_(tensor)
                place.bind(tensor)
            self.tensors.append(tensor)

    def bind_home(self) -> None:
        for place, tensor in zip(self.places, self.tensors, strict=True):
            place.bind(tensor)


@dataclass(slots=True, eq=False)
class _Staging:
    """A page-locked buffer between mapped files and the device."""

    slab: Tensor
    copied: torch.cuda.Event | None = None


class BlockStream:
    """A network in host memory that computes on the device of an arena.

    blocks: in the order in which they compute; each is asked for when the one before lies in host memory. Everything
    else of the network goes to the device as long as it works, but for the modules `staying`.
    memory: make one page-locked slab of each block there, from which the GPU copies by itself. Without, tensors stay
    where they are, and a thread brings them to the GPU through two page-locked buffers: for mapped files that do not
    fit into memory.
    """

    def __init__(
        self,
        network: nn.Module,
        blocks: Iterable[nn.Module],
        arena: Arena,
        *,
        memory: HostMemory | None,
        least: int | None = None,
        staying: Collection[nn.Module] = (),
    ) -> None:
        self.arena, self.device = arena, arena.device
        self._blocks: list[_HostBlock] = []
        self._handles = []
        for index, block in enumerate(blocks):
            go_on_or_give_up()
            host = _HostBlock(large_tensors(block, least))
            host.take_home(memory)
            self._blocks.append(host)
            self._handles.append(block.register_forward_pre_hook(partial(self._enter, index)))
            self._handles.append(block.register_forward_hook(partial(self._leave, index)))
        if memory is not None:
            memory.finish()
        apart = (*(place for host in self._blocks for place in host.places), *_lay_out(staying, lambda _: True))
        elsewhere = {id(place.tensor) for place in apart}
        self._rest = _HostBlock(_lay_out([network], lambda tensor: id(tensor) not in elsewhere))
        self._rest.take_home(None)
        self._copies = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="block-stream") if memory is None else None
        through = 2 if memory is None else 0
        self._staging = [_Staging(torch.empty(self.slab_bytes, dtype=torch.uint8)) for _ in range(through)]
        own = [host.slab for host in self._blocks if host.slab is not None] + [s.slab for s in self._staging]
        self._unpin = weakref.finalize(self, unpin, [slab for slab in own if pin(slab, self.device)])
        self._staged = 0  # blocks so far
        self._lanes: list[_Lane] = []
        self._passing: list[int] = []  # the blocks that have no slab of their own
        self._turns: dict[int, int] = {}  # of these

    @property
    def slab_bytes(self) -> int:
        """Of the largest block."""
        return max(slab_bytes(host.places) for host in self._blocks)

    @property
    def host_bytes(self) -> int:
        """In slabs of host memory; what lies in mapped files is not counted."""
        return sum(host.slab.nbytes for host in self._blocks if host.slab is not None)

    @property
    def passing(self) -> int:
        """How many blocks have no slab of their own."""
        return len(self._passing)

    def start(self) -> None:
        """Take the arena, which has to be open, and begin to fill it. The network before is out of it afterwards."""
        if self.arena.user is self:
            return
        if self.arena.user is not None:
            self.arena.user.stop()
        self.arena.user = self
        count, slabs = len(self._blocks), self.arena.slabs
        self._passing = [] if len(slabs) >= count else spread(count, count - len(slabs) + self.arena.lanes)
        self._turns = {index: turn for turn, index in enumerate(self._passing)}
        kept = [index for index in range(count) if index not in self._turns]
        self._lanes = [_Lane(slab) for slab in slabs[len(kept) :]] if self._passing else []
        for place, tensor in zip(self._rest.places, self._rest.tensors, strict=True):
            place.bind(tensor.to(self.device))
        if self._copies is not None:
            self._copies.wait_stream(torch.cuda.current_stream(self.device))
        for slab, index in zip(slabs, kept, strict=False):
            self._send(index, slab)
            for place in self._blocks[index].places:
                place.bind(place.view(slab))
        if self._copies is not None:
            torch.cuda.current_stream(self.device).wait_stream(self._copies)
        for turn, lane in enumerate(self._lanes):
            self._fill(lane, turn)

    def stop(self) -> None:
        """Leave the arena to another network."""
        if self.arena.user is not self:
            return
        for lane in self._lanes:
            if lane.sent is not None:
                lane.sent.result()
        self._lanes.clear()
        if self._copies is not None:
            torch.cuda.current_stream(self.device).wait_stream(self._copies)
        for host in (*self._blocks, self._rest):
            host.bind_home()
        self.arena.user = None

    def close(self) -> None:
        """Let go of host memory too. The network cannot be used any more."""
        self.stop()
        for handle in self._handles:
            handle.remove()
        if self._thread is not None:
            self._thread.shutdown()
        self._unpin()
        self._blocks.clear()
        self._staging.clear()

    # --- while the network computes ----------------------------------------------------------------------------------

    def _enter(self, index: int, *_: object) -> None:
        if index == 0:
            self.start()
        turn = self._turns.get(index)
        if turn is None:
            return
        lane = self._lanes[turn % len(self._lanes)]
        if lane.holds != index:  # the forward before was broken off
            self._fill(lane, turn)
        if lane.sent is not None:
            lane.sent.result()
        if lane.arrived is not None:
            torch.cuda.current_stream(self.device).wait_event(lane.arrived)
        for place in self._blocks[index].places:
            place.bind(place.view(lane.slab))

    def _leave(self, index: int, *_: object) -> None:
        turn = self._turns.get(index)
        if turn is None:
            return
        count, lanes = len(self._passing), len(self._lanes)
        lane = self._lanes[turn % lanes]
        if self._copies is not None:
            lane.left = torch.cuda.current_stream(self.device).record_event()
        following = turn + lanes if turn + lanes < count else turn % lanes  # the latter in the next forward
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
        staging = self._staging[self._staged % len(self._staging)]
        self._staged += 1
        if staging.copied is not None:
            staging.copied.synchronize()
        for place, tensor in zip(host.places, host.tensors, strict=True):
            place.view(staging.slab).copy_(tensor)
        with torch.cuda.stream(self._copies):
            size = slab_bytes(host.places)
            lane.slab[:size].copy_(staging.slab[:size], non_blocking=True)
            if self._copies is not None:
                staging.copied = lane.arrived = self._copies.record_event()


def spread(count: int, chosen: int) -> list[int]:
    """`chosen` of `count` places, evenly, so that a copy has as much computing to hide behind as there can be."""
    return [(2 * i + 1) * count // (2 * chosen) for i in range(chosen)]
