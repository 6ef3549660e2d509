"""Ranks that exchange tensors, and what they exchange."""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import torch
import torch.distributed as dist
from torch import Tensor


class OthersLost(Exception):
    """Another rank has ended, or did not come in time: what this rank fails of is not its own."""


@contextmanager
def losing_others() -> Iterator[None]:
    """Raises OthersLost for what a transport raises while the block runs."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise OthersLost(str(error).partition("\n")[0]) from error


class Turns:
    """How far a rank has come: exchanges, and blocks between them. Who falls behind the others and stays there, hangs.

    What is given to a GPU counts when the GPU comes to it: the process may be far ahead of a GPU that hangs.
    """

    def __init__(self) -> None:
        self._host = self._device = 0
        self._given: deque[torch.cuda.Event] = deque()

    def take(self, device: torch.device) -> None:
        """One more, which `device` comes to after all that it was given before."""
        if device.type == "cuda":
            event = torch.cuda.Event()
            event.record(torch.cuda.current_stream(device))
            self._given.append(event)
        else:
            self._host += 1

    @property
    def count(self) -> int:
        """So far. To be asked by one thread."""
        # A GPU that failed is of no use any more, and whoever computes on it finds out.
        with suppress(RuntimeError):
            while self._given and self._given[0].query():
                self._given.popleft()
                self._device += 1
        return self._host + self._device

    @property
    def waits(self) -> bool:
        """Whether the GPU was given what it has not come to."""
        return bool(self._given)


@dataclass(frozen=True, slots=True, eq=False)
class Team:
    """Some ranks, seen from one of them. Every call is made by all of them, in the same order."""

    size: int
    place: int  # of this one
    group: dist.ProcessGroup | None  # None: nobody else is in it
    turns: Turns = field(default_factory=Turns)  # of this rank, in whatever team

    def exchange(self, given: Tensor, to: Sequence[int], of: Sequence[int]) -> Tensor:
        """given, flat: `to[i]` numbers for member i, one after the other -> `of[i]` numbers from each member i."""
        if self.group is None:
            return given
        width = given.element_size()
        self.turns.take(given.device)
        received = given.new_empty(sum(of))
        # As bytes: not every transport knows every type.
        with losing_others():
            dist.all_to_all_single(
                received.view(torch.uint8),
                given.view(torch.uint8),
                [count * width for count in of],
                [count * width for count in to],
                group=self.group,
            )
        return received

    def gather(self, part: Tensor, lengths: Sequence[int], dim: int) -> Tensor:
        """The parts of all members behind one another along `dim`, where they have `lengths`."""
        if self.group is None:
            return part
        shapes = [[*part.shape[:dim], length, *part.shape[dim + 1 :]] for length in lengths]
        sizes = [math.prod(shape) for shape in shapes]
        received = self.exchange(part.reshape(-1).repeat(self.size), [part.numel()] * self.size, sizes)
        return torch.cat([one.view(shape) for one, shape in zip(received.split(sizes), shapes, strict=True)], dim)


ALONE: Final = Team(1, 0, None)
