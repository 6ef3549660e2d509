"""The place of this process among those that compute one video, and its ways to reach the others."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import Store

from wanvideo.parallel.board import Board
from wanvideo.parallel.shared import SharedMemory
from wanvideo.parallel.team import ALONE, Team, Turns, losing_others
from wanvideo.runtime.mesh import Mesh, mesh_for
from wanvideo.runtime.streaming import HostMemory

LOADING: Final = timedelta(hours=1)  # that one may need longer than another to read its weights
# That an exchange may take. Who is late is found sooner by who started the ranks; this is for what nobody can see, such
# as GPUs that all wait.
LONGEST: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """What this rank does in one arrangement."""

    team: Team  # which shares the tokens of a branch
    branch: int  # of guidance
    branches: Team  # the ranks in the same place of the other branches, and this one


class Ranks:
    """Every method is called by all ranks, in the same order."""

    def __init__(
        self,
        rank: int,
        size: int,
        device: torch.device,
        store: Store | None,
        works: Sequence[Work],
        turns: Turns,
        board: Board | None,
    ) -> None:
        """works: without and with guidance. board: None for one rank alone."""
        self.rank, self.size, self.device, self.turns, self.board = rank, size, device, turns, board
        self._store, self._works = store, tuple(works)
        self._meetings = self._shared = 0

    @classmethod
    def alone(cls, device: torch.device) -> "Ranks":
        """One process that computes everything."""
        work = Work(ALONE, 0, ALONE)
        return cls(0, 1, device, None, (work, work), Turns(), None)

    def work(self, *, guided: bool) -> Work:
        """guided: whether both branches of guidance are wanted."""
        return self._works[guided]

    def least(self, numbers: Sequence[int]) -> list[int]:
        """The smallest that any rank has, of each."""
        if self.size == 1:
            return list(numbers)
        self.turns.take(self.device)
        tensor = torch.tensor(list(numbers), dtype=torch.int64, device=self.device)
        with losing_others():
            dist.all_reduce(tensor, dist.ReduceOp.MIN)
        return tensor.tolist()

    def meet(self) -> None:
        """Wait until all are here, however long that takes: after what need not take the same time on each."""
        if self._store is None:
            return
        self._meetings += 1
        with losing_others():
            if self._store.add(f"meeting {self._meetings}", 1) == self.size:
                self._store.set(f"met {self._meetings}", "all")
            self._store.wait([f"met {self._meetings}"], LOADING)

    def host_memory(self) -> HostMemory:
        """For one network, which all ranks load."""
        if self._store is None:
            return HostMemory()
        self._shared += 1
        name = f"memory {self._shared}"
        if self.rank == 0:
            file = os.memfd_create("wanvideo-weights")
            self._store.set(name, f"/proc/{os.getpid()}/fd/{file}")
        else:
            with losing_others():
                path = self._store.get(name).decode()
            file = os.open(path, os.O_RDWR)
        return SharedMemory(file, self.rank, self.size, self.meet)


@contextmanager
def joined(rank: int, size: int, device: torch.device, folder: Path, board: int, turns: Turns) -> Iterator[Ranks]:
    """Find the other ranks through files in `folder`, which nobody else can write, and be one of them.

    board: the number of the open file that is their `Board`.
    """
    store = dist.FileStore(str(folder / "rendezvous"), size)  # type: ignore[attr-defined]
    store.set_timeout(LOADING)
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // size))
    with losing_others():
        dist.init_process_group(
            "nccl" if on_gpu else "gloo", store=store, rank=rank, world_size=size, timeout=LONGEST,
            device_id=device if on_gpu else None,
        )  # fmt: skip
        works = [_work(mesh_for(size, guided=guided), rank, turns) for guided in (False, True)]
    yield Ranks(rank, size, device, store, works, turns, Board(board, rank, size, turns))
    dist.destroy_process_group()


def _work(mesh: Mesh, rank: int, turns: Turns) -> Work:
    """Every rank makes every group, those that it is not in as well."""
    teams = [_team(ranks, rank, mesh.size, turns) for ranks in mesh.teams]
    counterparts = [_team(ranks, rank, mesh.size, turns) for ranks in mesh.counterparts]
    branch = mesh.branch(rank)
    return Work(teams[branch], branch, counterparts[rank % mesh.width])


def _team(ranks: tuple[int, ...], rank: int, size: int, turns: Turns) -> Team:
    if len(ranks) == 1:
        return Team(1, 0, None, turns)
    group = dist.group.WORLD if len(ranks) == size else dist.new_group(list(ranks), timeout=LONGEST)
    return Team(len(ranks), ranks.index(rank) if rank in ranks else 0, group, turns)
