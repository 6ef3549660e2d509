"""Plans: what a video will take, and what it would with other settings."""

from typing import Literal

from pydantic import Field

from wanvideo.server.schemas.common import AdjustmentView, Body, JsonObject, Wire
from wanvideo.server.schemas.queue import LoraBody


class PlanBody(Body):
    """What to plan for. What is left out gets the model's default."""

    model_type: str = Field(default="auto", max_length=100)
    variant: str | None = Field(default=None, max_length=40)
    resolution: str | None = Field(default=None, pattern=r"^\d{1,5}x\d{1,5}$")
    frames: int | None = Field(default=None, ge=1, le=10_000)
    seconds: float | None = Field(default=None, gt=0, le=600)
    steps: int | None = Field(default=None, ge=1, le=1000)
    image: bool = Field(default=False, description="The video begins with a picture.")
    tier: Literal["exact", "fast"] | None = None
    step_cache: float | None = Field(default=None, ge=0, le=1)
    loras: list[LoraBody] = Field(default_factory=list, max_length=16, description="Those that are here count.")
    memory_limit_gb: float | None = Field(default=None, ge=1, le=1024)


class PlannedPhase(Wire):
    phase: str
    seconds: float
    peak_mb: float


class QualityView(Wire):
    """What a lossy setting costs, measured on a demo model against the same clips made exactly."""

    setting: str
    model: str
    clips: int
    psnr_db: float = Field(description="To the exact clips, over all frames: the median.")
    right_percent: float = Field(description="Of the clips, those in which all that was asked for can be read.")
    exact_right_percent: float


class PlanAlternative(Wire):
    change: str
    patch: JsonObject = Field(description="Fields of the request to change.")
    quality: list[QualityView] = Field(description="Of each lossy setting in it that was measured.")
    fits: bool
    seconds: float
    peak_mb: float
    short_mb: float


class PlanView(Wire):
    """What a video will take. Predicted, from sizes and rates; nothing is loaded."""

    model: str
    model_type: str
    precision: str
    on_disk: bool
    download_bytes: int | None = Field(default=None, description="What has to be downloaded first.")
    fits: bool
    short_mb: float = Field(description="How much memory is missing.")
    device: str
    gpus: int = Field(description="How many would make it together if it began now; memory is that of each.")
    tier: str
    width: int
    height: int
    frames: int
    steps: int
    step_cache: float | None = None
    quality: list[QualityView] = Field(description="Of each lossy setting in use that was measured.")
    seconds: float
    minutes: float
    peak_mb: float = Field(description="Of GPU memory; of host memory where the CPU does everything.")
    host_mb: float
    streamed_blocks: int
    tile: int | None = Field(default=None, description="The longer side of the decoder's tiles, if it needs any.")
    tiles: str | None = Field(default=None, description="Their width x height.")
    phases: list[PlannedPhase]
    rates: str
    notes: list[str]
    adjustments: list[AdjustmentView]
    alternatives: list[PlanAlternative]
