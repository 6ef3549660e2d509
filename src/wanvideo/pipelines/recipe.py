"""All that makes a pipeline, as one value that can be sent to another process. No torch."""

from dataclasses import dataclass, fields
from typing import Any

from wanvideo.request import LoraUse, Tier
from wanvideo.weights.catalog import ModelSpec
from wanvideo.weights.folder import ModelFolder
from wanvideo.weights.lora.library import LoraLibrary


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The arguments of `Pipeline`."""

    spec: ModelSpec
    folder: ModelFolder
    dtype: str | None
    vae_dtype: str | None
    tile: int | None
    batch_guidance: bool
    tier: Tier
    memory_limit: int | None
    library: LoraLibrary | None
    loras: tuple[LoraUse, ...]

    @property
    def arguments(self) -> dict[str, Any]:
        """By name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
