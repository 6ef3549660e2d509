"""The LoRA library."""

from typing import Literal

from pydantic import Field

from wanvideo.server.schemas.common import Body, LenientBody, Time, Wire


class LoraView(Wire):
    name: str
    filename: str
    path: str = Field(description="What to send as `lora_path`; a name, not a place.")
    size_mb: float
    modified_time: Time
    created_at: Time
    models: list[str] = Field(description="The models that it fits, by id.")
    compatible_models: list[str] = Field(description="Their types, as existing clients ask for them.")
    is_loaded: bool = Field(description="In use by the job that runs.")
    is_applied: bool
    current_strength: float = 0.0
    pair: bool = Field(description="Two files, one for each expert.")
    removable: bool
    base: str | None = Field(default=None, description="What it was made for.")
    rank: int | None = None
    trigger_words: list[str]
    notes: str | None = None
    problem: str | None = Field(default=None, description="Why it cannot be used.")


class LoraUploadForm(LenientBody):
    """A safetensors file, whatever its name."""

    name: str | None = Field(default=None, max_length=100, description="Default: that of the file.")


class Loras(Wire):
    loras: list[LoraView]
    total_count: int
    total_size_mb: float


class LoraUploaded(Wire):
    success: bool
    message: str
    lora_name: str
    file_path: str
    size_mb: float
    name: str
    filename: str
    path: str


class LoraRemoved(Wire):
    success: bool
    message: str
    freed_mb: float


class LoraStatus(Wire):
    name: str
    exists: bool
    path: str | None = None
    size_mb: float | None = None
    is_loaded: bool
    is_applied: bool
    current_strength: float
    modified_time: Time | None = None


class MemoryImpact(Wire):
    lora_name: str
    name: str
    file_size_mb: float
    estimated_memory_mb: float
    estimated_vram_increase_mb: float
    vram_available_mb: float
    can_load: bool
    compatible_with_current_setup: bool
    memory_impact: Literal["low", "medium", "high"]
    recommendation: str


class LoraPreviewBody(LenientBody):
    base_prompt: str | None = Field(default=None, max_length=16 * 1024)
    prompt: str | None = Field(default=None, max_length=16 * 1024)


class LoraNotes(Body):
    """What people should know about a LoRA; what is left out stays as it is."""

    trigger_words: list[str] | None = Field(default=None, max_length=50)
    notes: str | None = Field(default=None, max_length=4000)


class LoraKeys(Wire):
    """How a LoRA goes together with a model, by the names of its tensors."""

    lora_name: str
    model_id: str
    fits: bool
    problem: str | None = Field(default=None, description="Why nothing of it can be used.")
    matched: list[str] = Field(description="Layers of the model that it changes.")
    unmatched: list[str] = Field(description="Tensors that have no place in the model, and are left out.")


class LoraPreview(Wire):
    lora_name: str
    base_prompt: str
    enhanced_prompt: str
    style_indicators: list[str]
    preview_note: str
