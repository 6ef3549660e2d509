"""Models that stay loaded between jobs, the last ones used."""

import gc
import logging
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from wanvideo.families.protocol import InstalledModel, LoadOptions
from wanvideo.pipelines.base import VideoPipeline
from wanvideo.request import Tier
from wanvideo.worker.settings import WorkerSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A model in one form, ready to be used in one way."""

    model: str
    path: str
    precision: str
    tier: Tier
    memory_limit: int | None
    tile: int | None
    device: str


class WarmModels:
    """At most `warm` of them; the one that was used longest ago makes room for another."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings
        self._loaded: OrderedDict[Wanted, VideoPipeline] = OrderedDict()

    def get(self, model: InstalledModel, wanted: Wanted) -> VideoPipeline:
        """Raises InvalidRequest for options that cannot be."""
        if wanted not in self._loaded:
            while len(self._loaded) >= self.settings.warm:
                _, oldest = self._loaded.popitem(last=False)
                oldest.close()
            _collect()
            options = LoadOptions(
                device=wanted.device, tile=wanted.tile, tier=wanted.tier, memory_limit=wanted.memory_limit,
                library=self.settings.library,
            )  # fmt: skip
            self._loaded[wanted] = model.load(options)
        self._loaded.move_to_end(wanted)
        return self._loaded[wanted]

    def names(self) -> list[str]:
        return [wanted.model for wanted in list(self._loaded)]

    def free(self) -> None:
        """Let go of all, and give the memory back."""
        _close(self._loaded.values())
        self._loaded.clear()
        _collect()

    def settle(self) -> None:
        """After a job that was given up: what it had on the GPU goes back, while the models stay."""
        _collect()


def _close(pipelines: Iterable[VideoPipeline]) -> None:
    for pipeline in pipelines:
        pipeline.close()


def _collect() -> None:
    gc.collect()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
