"""Videos in the words of OpenAI's API, as its clients send and read them."""

from typing import Literal

from pydantic import AliasChoices, Field, field_validator

from wanvideo.server.schemas.common import JsonObject, LenientBody, Wire
from wanvideo.server.schemas.queue import LoraBody

VideoStatus = Literal["queued", "in_progress", "completed", "failed"]


class CreateVideo(LenientBody):
    """A video to make. What OpenAI's own API does not know is an extension, the same names as others use."""

    prompt: str = Field(max_length=64 * 1024)
    model: str = Field(default="auto", max_length=100, description="Any spelling; auto: the best that is ready.")
    seconds: float | None = Field(default=None, gt=0, le=600)
    size: str | None = Field(default=None, pattern=r"^\d{1,5}x\d{1,5}$")
    input_reference: JsonObject | None = Field(
        default=None, description='The first frame: a file of the form, or {"image_url": "data:image/png;base64,..."}.'
    )
    input_reference_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("input_reference[image_url]", "input_reference_url"),
        description="The same as a field of a form; a data URL.",
    )
    width: int | None = Field(default=None, ge=1, le=100_000)
    height: int | None = Field(default=None, ge=1, le=100_000)
    num_frames: int | None = Field(default=None, ge=1, le=10_000)
    num_inference_steps: int | None = Field(default=None, ge=1, le=1000)
    guidance_scale: float | None = Field(
        default=None, ge=0, le=100, description="Of the high-noise expert, or of the only one, as in diffusers."
    )
    guidance_scale_2: float | None = Field(default=None, ge=0, le=100, description="Of the low-noise expert.")
    flow_shift: float | None = Field(default=None, gt=0, le=100)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    negative_prompt: str | None = Field(default=None, max_length=64 * 1024)
    tier: Literal["exact", "fast"] | None = None
    lora: list[LoraBody] = Field(default_factory=list, max_length=16)

    @field_validator("input_reference", "lora", mode="before")
    @classmethod
    def _from_a_form(cls, value: object) -> object:
        """A form has texts alone: JSON in one of them."""
        if isinstance(value, str):
            import json

            try:
                return json.loads(value)
            except ValueError:
                raise ValueError("must be JSON, or a file") from None
        return value


class RemixVideo(LenientBody):
    prompt: str = Field(max_length=64 * 1024)


class VideoError(Wire):
    code: str
    message: str


class VideoResource(Wire):
    """One video. Every key is there; what does not apply is null."""

    id: str
    object: Literal["video"] = "video"
    model: str
    status: VideoStatus
    progress: int = Field(ge=0, le=100)
    created_at: int = Field(description="Seconds since 1970.")
    completed_at: int | None = None
    expires_at: int | None = None
    prompt: str
    size: str
    seconds: str
    remixed_from_video_id: str | None = None
    error: VideoError | None = None


class VideoList(Wire):
    object: Literal["list"] = "list"
    data: list[VideoResource]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool


class VideoDeleted(Wire):
    id: str
    object: Literal["video.deleted"] = "video.deleted"
    deleted: bool = True


class ModelResource(Wire):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    ready: bool = Field(description="Its files are here and in order.")
    demo: bool
    inputs: list[str]
    resolutions: list[str]
    frames: int
    fps: int


class ModelList(Wire):
    object: Literal["list"] = "list"
    data: list[ModelResource]


class ErrorBody(Wire):
    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorEnvelope(Wire):
    """How errors look under /v1."""

    error: ErrorBody
