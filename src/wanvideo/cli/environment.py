"""What the command line takes from the environment. Nothing below it reads environment variables."""

import os
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from wanvideo.pipelines.loras import usual_library
from wanvideo.weights.download.hub import Hub, usual_hubs
from wanvideo.weights.lora.library import LoraLibrary
from wanvideo.weights.places import Places, hub_cache
from wanvideo.weights.registry import usual_registry

MODELS_VARIABLE: Final = "WAN_MODELS"  # folders that hold one folder per model, separated like PATH
LORAS_VARIABLE: Final = "WAN_LORAS"  # folders that hold LoRAs, such as ComfyUI's `models/loras`, separated like PATH
NAME_TEMPLATE_VARIABLE: Final = "WANVIDEO_NAME_TEMPLATE"  # of finished files; servers read it too
DEBUG_VARIABLE: Final = "WAN_DEBUG"  # anything but "" and "0" shows tracebacks and all log messages


def places(environment: Mapping[str, str] = os.environ) -> Places:
    """Where models are looked for: what was added, the folders in `WAN_MODELS`, the cache of the Hugging Face hub."""
    roots = environment.get(MODELS_VARIABLE, "").split(os.pathsep)
    return Places(
        roots=tuple(Path(root).expanduser() for root in roots if root),
        hub_cache=hub_cache(environment, Path.home()),
        registry=usual_registry(),
    )


def hubs(endpoint: str | None = None, environment: Mapping[str, str] = os.environ) -> tuple[Hub, ...]:
    """Where to download from, best first; `endpoint` comes before what the environment names."""
    return usual_hubs(environment, Path.home(), endpoint)


def lora_library(environment: Mapping[str, str] = os.environ) -> LoraLibrary:
    """The user's own LoRAs, the folders in `WAN_LORAS`, and what comes with the package."""
    roots = environment.get(LORAS_VARIABLE, "").split(os.pathsep)
    return usual_library([Path(root).expanduser() for root in roots if root])


def hub_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The cache of the Hugging Face hub."""
    return hub_cache(environment, Path.home())


def debugging(environment: Mapping[str, str] = os.environ) -> bool:
    return environment.get(DEBUG_VARIABLE, "") not in ("", "0")


def package_version(package: str = "wanvideo") -> str | None:
    """None: not installed, or run from the bare source."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
