"""What one call of `wan generate` asks for."""

from dataclasses import dataclass
from pathlib import Path

from wanvideo.cli.output import Output
from wanvideo.media.naming import NameTemplate
from wanvideo.request import GenerationRequest, Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one call of `wan generate` asks for."""

    requests: tuple[GenerationRequest, ...]  # one for each video
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

    @property
    def request(self) -> GenerationRequest:
        """The first one; all of them have the same kind of input."""
        return self.requests[0]


def say_which(output: Output, number: int, job: Job) -> None:
    """Of several videos, which one comes now."""
    if len(job.requests) > 1:
        output.say(f"[{number}/{len(job.requests)}] {' '.join(job.requests[number - 1].prompt.split())}")
        output.event("next", number=number, count=len(job.requests))
