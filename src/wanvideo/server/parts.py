"""What the addresses work with, made once when the server starts and closed when it stops."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from wanvideo.families.hardware import existing_part
from wanvideo.families.obtain import Offer, offer
from wanvideo.server.catalog import Catalog
from wanvideo.server.downloads import Downloads
from wanvideo.server.inputs import Inputs
from wanvideo.server.limits import LimitsFile
from wanvideo.server.machine import this_machine
from wanvideo.server.metrics import Metrics
from wanvideo.server.monitor import Monitor
from wanvideo.server.prompt import Enhancer
from wanvideo.server.settings import Settings
from wanvideo.weights.download.hub import Hub
from wanvideo.weights.download.plan import free_bytes
from wanvideo.weights.lora.library import LoraLibrary
from wanvideo.weights.pick import Hardware
from wanvideo.weights.places import Places

API_VERSION: Final = "2.2.0"  # of the contract that existing clients were written for


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where models and LoRAs come from; what the command line takes from the environment."""

    places: Places
    hubs: tuple[Hub, ...]
    library: LoraLibrary


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything that lives as long as the server."""

    settings: Settings
    sources: Sources
    catalog: Catalog
    inputs: Inputs
    limits: LimitsFile
    downloads: Downloads
    monitor: Monitor
    metrics: Metrics
    enhancer: Enhancer | None
    started: float = field(default_factory=time.monotonic)
    began: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def uptime(self) -> float:
        """Seconds."""
        return time.monotonic() - self.started

    @property
    def cache(self) -> Path:
        """Where downloads go."""
        return cache_of(self.sources.places)


def cache_of(places: Places) -> Path:
    assert places.hub_cache is not None, "the environment always names one"
    return places.hub_cache


def hardware_of(settings: Settings, places: Places) -> Hardware:
    """What this computer has, for choosing variants."""
    machine = this_machine(settings.device)
    return Hardware(
        gpu=machine.gpu,
        gpu_total=machine.gpu_total,
        gpu_free=machine.gpu_free,
        host_total=machine.host_total,
        host_available=machine.host_available,
        disk_free=free_bytes(existing_part(cache_of(places))),
    )


def offer_here(catalog: Catalog, settings: Settings, model: str, variant: str | None) -> Offer:
    """What to download of a model for this computer. Raises what `offer` raises, and UnknownModel."""
    return offer(catalog.families.resolve(model), hardware_of(settings, catalog.places), variant)


def package_version() -> str:
    try:
        return version("wanvideo")
    except PackageNotFoundError:
        return "from source"
