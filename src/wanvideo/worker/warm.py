"""Models that stay loaded between jobs, as many as there is room for."""

import gc
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch

from wanvideo.families.protocol import InstalledModel, LoadOptions
from wanvideo.pipelines.base import VideoPipeline
from wanvideo.request import Tier
from wanvideo.weights.lora.library import LoraLibrary

log = logging.getLogger(__name__)

_SPARE: Final = 2 * 2**30  # bytes that are left to other programs


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A model in one form, ready to be used in one way."""

    model: str
    path: str
    precision: str
    tier: Tier
    memory_limit: int | None
    tile: int | None
    devices: tuple[str, ...]

    def shares_weights_with(self, other: "Wanted") -> bool:
        """Whether it is the same model, used in another way."""
        return (self.path, self.precision, self.devices[0]) == (other.path, other.precision, other.devices[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Bytes that could be had now, of the memory that is computed in and of the computer's. On a CPU they are one."""

    device: int
    host: int


class WarmModels:
    """Those that were not used for the longest time make room for others."""

    def __init__(self, library: LoraLibrary, room: Callable[[], Room], rank_patience: float | None = None) -> None:
        """room: asked again after every model that went. rank_patience: see `LoadOptions`."""
        self.library, self.room, self.rank_patience = library, room, rank_patience
        self._loaded: OrderedDict[Wanted, VideoPipeline] = OrderedDict()

    def get(self, model: InstalledModel, wanted: Wanted, needed: Room) -> VideoPipeline:
        """The model, with room for what a video needs in all; weights are read when they are first used.

        A model that does not fit even alone gets everything. Raises InvalidRequest for options that cannot be.
        """
        self._make_room(model, wanted, needed)
        if wanted not in self._loaded:
            options = LoadOptions(
                device=wanted.devices[0], devices=wanted.devices, tile=wanted.tile, tier=wanted.tier,
                memory_limit=wanted.memory_limit, library=self.library, rank_patience=self.rank_patience,
            )  # fmt: skip
            self._loaded[wanted] = model.load(options)
        self._loaded.move_to_end(wanted)
        return self._loaded[wanted]

    def names(self) -> list[str]:
        return [wanted.model for wanted in list(self._loaded)]

    def free(self) -> None:
        """Let go of all, and give the memory back."""
        for pipeline in self._loaded.values():
            pipeline.close()
        self._loaded.clear()
        self.settle()

    def settle(self) -> None:
        """What a job that has ended had for itself goes back, while the models stay."""
        gc.collect()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.empty_cache()

    def _make_room(self, model: InstalledModel, wanted: Wanted, needed: Room) -> None:
        for other in [each for each in self._loaded if each != wanted and each.shares_weights_with(wanted)]:
            self._let_go(other)  # the same weights twice are of no use
        # What it holds already it need not get.
        held = model.nbytes if wanted in self._loaded else 0
        while others := [each for each in self._loaded if each != wanted]:
            room = self.room()
            if needed.device - held + _SPARE <= room.device and needed.host - held + _SPARE <= room.host:
                return
            self._let_go(others[0])

    def _let_go(self, wanted: Wanted) -> None:
        log.info("%s makes room", wanted.model)
        self._loaded.pop(wanted).close()
        self.settle()
