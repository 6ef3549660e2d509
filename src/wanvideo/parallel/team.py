"""Ranks that exchange tensors, and what they exchange."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Team:
    """Some ranks, seen from one of them. Every call is made by all of them, in the same order."""

    size: int
    place: int  # of this one
    group: dist.ProcessGroup | None  # None: nobody else is in it

    def exchange(self, given: Tensor, to: Sequence[int], of: Sequence[int]) -> Tensor:
        """given, flat: `to[i]` numbers for member i, one after the other -> `of[i]` numbers from each member i."""
        if self.group is None:
            return given
        width = given.element_size()
        received = given.new_empty(sum(of))
        # As bytes: not every transport knows every type.
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
        part = part.movedim(dim, 0)
        rest = part.shape[1:]
        room = part.new_zeros(max(lengths), *rest)  # as long as the longest one: such are exchanged at once
        room[: part.shape[0]] = part
        everything = room.new_empty(self.size, *room.shape)
        dist.all_gather_into_tensor(everything.view(-1), room.view(-1), group=self.group)
        whole = torch.cat([one[:length] for one, length in zip(everything, lengths, strict=True)])
        return whole.movedim(0, dim)
