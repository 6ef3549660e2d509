"""Jobs, as existing clients see them (tasks) and with all that is known besides."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from wanvideo.failure import KINDS
from wanvideo.server.catalog import WireType
from wanvideo.server.schemas.common import Action, AdjustmentView, Body, JsonObject, LenientBody, Time, Wire

TaskStatus = Literal["pending", "processing", "completed", "failed", "cancelled"]
JobState = Literal["queued", "held", "running", "succeeded", "failed", "cancelled"]
TaskId = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_-]{1,64}$")]


class FailureView(Wire):
    """Why a job failed: the same words as an HTTP error."""

    category: str
    code: str = Field(
        description="Stable; for programs. Families of models may have more than these.", examples=sorted(KINDS)
    )
    title: str
    message: str
    phase: str | None = None
    model: str | None = None
    kept: str | None = None
    retryable: bool
    suggestions: list[str]
    actions: list[Action]
    facts: JsonObject


class LoraUseView(Wire):
    name: str
    strength: float
    strength_low: float | None = None
    expert: str | None = None


class ResultView(Wire):
    """What came out, and what it took."""

    frames: int
    fps: float
    width: int
    height: int
    seconds: float = Field(description="Length of the clip.")
    bytes: int
    sha256: str
    phases: dict[str, float] = Field(description="Seconds of each.")
    peak_vram_mb: float | None = None
    peak_ram_mb: float | None = None
    adaptations: list[Any]
    warnings: list[Any]


class TaskView(Wire):
    """A job. The first fields are those of existing clients."""

    id: str
    model_type: WireType
    prompt: str
    image_path: str | None = None
    end_image_path: str | None = None
    resolution: str
    steps: int
    lora_path: str | None = None
    lora_strength: float
    status: TaskStatus
    progress: int = Field(ge=0, le=100)
    created_at: Time
    started_at: Time | None = None
    completed_at: Time | None = None
    output_path: str | None = None
    error_message: str | None = None
    estimated_time_minutes: int | None = None

    state: JobState
    model: str
    demo: bool
    variant: str | None = None
    phase: str | None = Field(default=None, description="download, load, encode, denoise, decode or write.")
    step: int | None = None
    step_count: int | None = None
    seconds_per_step: float | None = None
    eta_seconds: float | None = None
    received_bytes: int | None = Field(default=None, description="Of a download of its model, on the disk.")
    total_bytes: int | None = Field(default=None, description="Of that download.")
    message: str | None = Field(default=None, description="What it is doing, or waits for.")
    position: int | None = Field(default=None, description="In the queue; 1 is next.")
    priority: int
    attempt: int = Field(description="How often it was begun.")
    negative_prompt: str | None = None
    frames: int | None = None
    fps: int | None = None
    seed: int | None = None
    guidance: float | None = None
    guidance_low: float | None = None
    solver: str | None = None
    shift: float | None = None
    tier: str
    fallback: str
    loras: list[LoraUseView]
    adjustments: list[AdjustmentView]
    warnings: list[Any]
    failure: FailureView | None = None
    result: ResultView | None = None
    thumbnail_url: str | None = None
    video_url: str | None = None
    replaces: str | None = Field(default=None, description="The model that was asked for, if another one made it.")


class QueueView(Wire):
    total_tasks: int
    pending_tasks: int
    processing_tasks: int
    completed_tasks: int
    failed_tasks: int
    cancelled_tasks: int
    tasks: list[TaskView] = Field(description="The newest first.")
    paused: bool
    held_tasks: int
    next_cursor: str | None = None


class ModelQueue(Wire):
    model: str
    pending: int
    held: int
    processing: int


class ModelQueues(Wire):
    models: list[ModelQueue] = Field(description="That jobs wait for or run with, the busiest first.")


class PolledTask(Wire):
    id: str
    status: TaskStatus
    progress: int
    model_type: WireType
    prompt: str
    created_at: Time
    started_at: Time | None = None
    completed_at: Time | None = None
    error_message: str | None = None


class QueuePoll(Wire):
    timestamp: Time
    pending_count: int
    processing_count: int
    active_tasks: list[PolledTask]
    has_active_tasks: bool


class TaskDone(Wire):
    """Something was done to a job."""

    message: str
    task_id: str
    status: TaskStatus


class Cleared(Wire):
    message: str
    removed: int


class Paused(Wire):
    message: str
    paused: bool


class ReorderBody(LenientBody):
    task_ids: list[TaskId] = Field(max_length=5000, description="In their new order; others stay behind them.")


class MoveBody(Body):
    to: Literal["first", "last", "before", "after"]
    other: TaskId | None = Field(default=None, description="Before or after which one.")


class FavouriteBody(Body):
    favourite: bool = True


class PriorityBody(Body):
    priority: int = Field(ge=-1000, le=1000)


class LoraBody(Body):
    name: str = Field(min_length=1, max_length=200)
    strength: float = Field(default=1.0, ge=-10, le=10)
    strength_low: float | None = Field(default=None, ge=-10, le=10)
    expert: Literal["high", "low", "both"] | None = None


class Changes(Body):
    """Settings of a job to change. What is left out stays; null means the model's default."""

    model_type: str | None = Field(default=None, max_length=100)
    variant: str | None = Field(default=None, max_length=40)
    prompt: str | None = Field(default=None, min_length=1, max_length=16 * 1024)
    negative_prompt: str | None = Field(default=None, max_length=16 * 1024)
    resolution: str | None = Field(default=None, pattern=r"^\d{1,5}x\d{1,5}$")
    frames: int | None = Field(default=None, ge=1, le=10_000)
    seconds: float | None = Field(default=None, gt=0, le=600)
    steps: int | None = Field(default=None, ge=1, le=1000)
    guidance: float | None = Field(default=None, ge=0, le=100)
    guidance_low: float | None = Field(default=None, ge=0, le=100)
    shift: float | None = Field(default=None, gt=0, le=100)
    solver: Literal["unipc", "euler", "dpm++"] | None = None
    step_cache: float | None = Field(default=None, ge=0, le=1)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    loras: list[LoraBody] | None = Field(default=None, max_length=16)
    lora_policy: Literal["warn", "fail"] | None = None
    image_name: str | None = Field(default=None, max_length=80, description="A picture that is stored already.")
    end_image_name: str | None = Field(default=None, max_length=80)
    tier: Literal["exact", "fast"] | None = None
    fallback: Literal["auto", "demo", "off"] | None = None
    tile: int | None = Field(default=None, ge=128, le=512, description="Pixels a side, in which frames are decoded.")
    device: Literal["cpu"] | None = Field(default=None, description="cpu: not the GPU of the worker.")


class RetryBody(Body):
    changes: Changes = Field(default=Changes(), description="Such as an action of the failure names.")


class RerunBody(Body):
    changes: Changes = Changes()
    keep_seed: bool = Field(default=False, description="Otherwise a new one is drawn, unless the changes name one.")
    count: int = Field(default=1, ge=1, le=64)


class JobEventView(Wire):
    """One thing that happened to a job."""

    seq: int
    type: str
    at: Time
    data: JsonObject


class JobEvents(Wire):
    task_id: str
    events: list[JobEventView]
