"""What every part of the benchmark is given: the machine, the choices of this run, and where results go."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import torch

from benchmarks.speed.ceilings import Ceilings
from benchmarks.speed.clock import free_memory
from benchmarks.speed.record import OURS, Log, Result, SkipPart
from benchmarks.speed.shapes import Shape
from wanvideo.request import Tier
from wanvideo.runtime.calibration import measure_calibration
from wanvideo.runtime.hardware import this_machine
from wanvideo.runtime.machine import Calibration

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Bench:
    device: torch.device
    log: Log
    shapes: tuple[Shape, ...]
    tiers: tuple[Tier, ...]
    caps: tuple[float, ...]  # GiB
    wholes: tuple[str, ...] = ("plain",)  # which pipelines the part memory runs, by their names in it
    peer: bool = True
    peer_compiled: bool = False
    quick: bool = False  # fewer repeats
    tiny: bool = False  # miniature networks, to see that everything runs
    failures: list[str] = field(default_factory=list)  # cases that broke

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and matrix products."""
        return torch.bfloat16 if self.on_gpu else torch.float32

    @property
    def repeats(self) -> int:
        """Of what takes seconds."""
        return 1 if self.tiny else 3 if self.quick else 5

    @cached_property
    def ceilings(self) -> Ceilings:
        return Ceilings(self.device, repeats=2 if self.tiny else 5 if self.quick else 10)

    @cached_property
    def rates(self) -> Calibration:
        """As the product measures them here the first time."""
        return measure_calibration(this_machine(str(self.device)))

    @contextmanager
    def case(self, part: str, case: str, subject: str, note: str = "") -> Iterator[dict[str, Any]]:
        """Fill in the numbers of one row. The row is written when the block ends, or the reason why there is none.

        A block that ends without any number leaves no row.
        """
        numbers: dict[str, Any] = {}
        reason, failed = None, False
        try:
            yield numbers
        except SkipPart as skip:
            reason = str(skip)
        except torch.OutOfMemoryError as error:
            reason = f"out of memory: {str(error).splitlines()[0]}"
        except Exception as error:  # noqa: BLE001 - the time of a GPU is paid for: one case must not lose the others
            traceback.print_exc()
            reason, failed = f"{type(error).__name__}: {error}".splitlines()[0], True
            self.failures.append(f"{part}, {case}, {subject}")
        if reason is not None:
            numbers = {}
        if numbers or reason is not None:
            self.log.add(
                Result(part=part, case=case, subject=subject, numbers=numbers, note=note, skipped=reason, failed=failed)
            )
        if self.on_gpu:
            free_memory()

    def prepare(self, part: str, case: str, make: Callable[[], T]) -> T | None:
        """What `make` gives, such as a network; a row with the reason and None if there is no memory for it."""
        made: list[T] = []
        with self.case(part, case, OURS):
            made.append(make())
        return made[0] if made else None
