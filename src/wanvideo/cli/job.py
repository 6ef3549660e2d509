"""What one call of `wan generate` asks for."""

from dataclasses import dataclass
from pathlib import Path

from wanvideo.media.naming import NameTemplate
from wanvideo.request import GenerationRequest, Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one call of `wan generate` asks for."""

    request: GenerationRequest
    model: str | None  # a name or a folder; None: to be chosen
    variant: str | None  # of a model that is named
    yes: bool  # download what is named and missing, without asking
    out: str | None  # a file or a folder; None: the current folder
    names: NameTemplate  # of a file in a folder
    device: str
    dtype: str | None
    tile: int | None
    tier: Tier
    memory_limit: int | None
    gpus: int
    save_state: Path | None
    resume: Path | None
    local: bool  # also if a server runs
