"""Asking for videos."""

import json
from typing import Literal

from pydantic import AliasChoices, Field, field_validator

from wanvideo.server.catalog import WireType
from wanvideo.server.schemas.common import AdjustmentView, LenientBody, Wire
from wanvideo.server.schemas.plans import PlanView
from wanvideo.server.schemas.queue import LoraBody, TaskStatus, TaskView


def _listed(name: str, value: object) -> object:
    """A form has texts alone: JSON in one of them."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value or "[]")
    except (ValueError, RecursionError):
        raise ValueError(f"{name} must be a JSON list") from None


class Submit(LenientBody):
    """A video to make. Existing clients send the first six; all else is optional."""

    model_type: str = Field(
        default="auto",
        max_length=100,
        validation_alias=AliasChoices("model_type", "modelType", "model"),
        description="A type or a model, in any spelling; auto: the best that is ready.",
    )
    prompt: str = Field(max_length=64 * 1024)
    resolution: str | None = Field(
        default=None, pattern=r"^\d{1,5}x\d{1,5}$", description="Default: the model's, or the shape of the picture."
    )
    steps: int | None = Field(default=None, ge=1, le=1000)
    lora_path: str = Field(
        default="",
        max_length=200,
        validation_alias=AliasChoices("lora_path", "loraPath"),
        description="`path` of a LoRA in the library; empty: none.",
    )
    lora_strength: float = Field(
        default=1.0, ge=-10, le=10, validation_alias=AliasChoices("lora_strength", "loraStrength")
    )

    variant: str | None = Field(default=None, max_length=40)
    negative_prompt: str | None = Field(default=None, max_length=64 * 1024, description="Empty: really none.")
    frames: int | None = Field(default=None, ge=1, le=10_000, validation_alias=AliasChoices("frames", "num_frames"))
    width: int | None = Field(
        default=None, ge=1, le=99_999, description="Without the height: the shape of the picture, so wide."
    )
    height: int | None = Field(default=None, ge=1, le=99_999)
    seconds: float | None = Field(default=None, gt=0, le=600)
    guidance: float | None = Field(default=None, ge=0, le=100)
    guidance_low: float | None = Field(default=None, ge=0, le=100)
    shift: float | None = Field(default=None, gt=0, le=100)
    solver: Literal["unipc", "euler", "dpm++"] | None = None
    step_cache: float | None = Field(default=None, ge=0, le=1)
    seed: int | None = Field(default=None, ge=0, lt=2**63, description="Default: drawn.")
    loras: list[LoraBody] = Field(default_factory=list, max_length=16)
    lora_policy: Literal["warn", "fail"] = "warn"
    tier: Literal["exact", "fast"] | None = None
    fallback: Literal["auto", "demo", "off"] | None = None
    image_name: str | None = Field(
        default=None, max_length=80, description="A picture that is stored already: `image_path` of another task."
    )
    end_image_name: str | None = Field(default=None, max_length=80)
    count: int = Field(default=1, ge=1, le=64, description="So many jobs, each with a seed of its own.")
    priority: int = Field(default=0, ge=-1000, le=1000)
    held: bool = Field(default=False, description="Not before it is released.")
    embed_settings: bool | None = Field(
        default=None, description="Whether the file, and its name, say what it was made with. Default: the server's."
    )
    webhook_url: str | None = Field(
        default=None,
        max_length=2000,
        description="An address of `WANVIDEO_WEBHOOK_ALLOWED`, which is told when the job has ended.",
    )
    webhook_events: list[Literal["job.succeeded", "job.failed", "job.cancelled"]] | None = Field(
        default=None, min_length=1, max_length=3, description="Of which it is told. Default: all."
    )
    force: bool = Field(default=False, description="Also what the plan says does not fit.")

    @field_validator("loras", mode="before")
    @classmethod
    def _from_a_form(cls, value: object) -> object:
        return _listed("loras", value)

    @field_validator("webhook_events", mode="before")
    @classmethod
    def _events_of_a_form(cls, value: object) -> object:
        return _listed("webhook_events", value)


class PictureView(Wire):
    """A stored picture."""

    name: str = Field(description="What `image_name` and `end_image_name` of a request mean.")
    width: int
    height: int
    url: str


class Submitted(Wire):
    task_id: str
    status: TaskStatus
    message: str
    estimated_time_minutes: int | None = None
    estimated_time: float | None = Field(default=None, description="Seconds.")
    task_ids: list[str]
    model: str
    model_type: WireType
    demo: bool
    reason: str | None = Field(default=None, description="Why this model, where none was named.")
    replayed: bool = Field(default=False, description="The same request, with the same key, was taken before.")
    adjustments: list[AdjustmentView]
    plan: PlanView | None = None
    tasks: list[TaskView]


class BatchBody(LenientBody):
    """Videos to make, all of them or none."""

    requests: list[Submit] = Field(
        min_length=1,
        max_length=1000,
        description="`image_name` and `end_image_name` may also name a file of the form. In a form: JSON.",
    )

    @field_validator("requests", mode="before")
    @classmethod
    def _from_a_form(cls, value: object) -> object:
        return _listed("requests", value)


class BatchSubmitted(Wire):
    message: str
    task_ids: list[str] = Field(description="Of all requests, in their order.")
    replayed: bool = Field(default=False, description="The same requests, with the same key, were taken before.")
    requests: list[Submitted]


class Requirements(Wire):
    requires_image: bool
    supports_end_image: bool
    estimated_vram_gb: float
    estimated_time_per_frame: float = Field(description="Seconds, of a usual video, as planned here.")
    max_resolution: str
    recommended_steps: int


class Detected(Wire):
    detected_model_type: WireType
    confidence: float = Field(
        ge=0, le=1, description="The share of this type among those that take the inputs; no probability."
    )
    explanation: list[str]
    requirements: Requirements
    alternatives: list[WireType]


class Features(Wire):
    negative_prompt: bool
    seed: bool
    loras: bool
    end_image: bool
    batches: bool
    plan: bool
    resume: bool


class ModelInfo(Wire):
    id: str
    title: str
    good_at: str
    ready: bool
    demo: bool
    inputs: list[str]
    resolutions: list[str]
    frames: int
    fps: int
    steps: int


class GenerationCapabilities(Wire):
    supported_models: list[WireType]
    models_info: dict[str, ModelInfo]
    supported_resolutions: list[str]
    supported_formats: list[str]
    max_steps: int
    min_steps: int
    default_steps: int
    max_prompt_length: int = Field(description="Bytes.")
    max_image_size_mb: float
    supported_image_formats: list[str]
    features: Features
