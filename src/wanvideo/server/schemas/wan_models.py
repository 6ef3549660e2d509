"""One model as existing clients ask about it: what it can do, what it needs, which one to take."""

from typing import Literal

from pydantic import Field

from wanvideo.server.schemas.common import JsonObject, Time, Wire
from wanvideo.server.schemas.models import DefaultsView, LimitsView, ModelHealth, ModelView, Performance


class HardwareNeeds(Wire):
    """Bytes of free GPU memory that one usual video needs in the exact tier, from sizes alone."""

    vram_comfortable_gb: float | None = Field(default=None, description="All networks on the GPU at once.")
    vram_minimum_gb: float | None = Field(default=None, description="One at a time, block by block.")
    disk_gb: float | None = None
    fits_this_computer: bool | None = None
    note: str


class Capabilities(Wire):
    model_id: str
    model_type: str
    supported_resolutions: list[str]
    max_frames: int
    min_frames: int
    frame_rule: str
    supported_fps: list[int]
    input_types: list[str]
    output_formats: list[str]
    quantization_support: list[str]
    lora_support: bool
    experts: int
    defaults: DefaultsView
    limits: LimitsView
    good_at: str
    hardware_requirements: HardwareNeeds


class Comparison(Wire):
    """Only what was measured or planned is compared; what is not known is left out."""

    model_a: str
    model_b: str
    performance_difference_percent: float | None = None
    memory_usage_difference_mb: float | None = None
    speed_difference_percent: float | None = Field(
        default=None, description="By how much longer a usual video takes with b than with a, as planned here."
    )
    recommendation: str
    use_cases: dict[str, str]
    trade_offs: list[str]


class ExpectedPerformance(Wire):
    seconds: float | None = None
    peak_mb: float | None = None
    rates: str | None = None


AdviceCode = Literal[
    "from_picture", "from_text", "speed_first", "fits", "on_disk", "to_download", "lacks_memory", "needs_gpu",
    "cannot_plan", "only_demo",
]  # fmt: skip


class AdvicePoint(Wire):
    """One reason for or against a model."""

    code: AdviceCode = Field(description="Stable; to be told in other languages.")
    text: str
    values: JsonObject = Field(default_factory=dict, description="Names and numbers in the text, for the same end.")


class Recommendation(Wire):
    recommended_model: str
    model_type: str
    points: list[AdvicePoint] = Field(description="Reasons first, then what speaks against better models here.")
    reasoning: list[str] = Field(description="The texts of the reasons.")
    alternative_models: list[str]
    hardware_requirements: HardwareNeeds
    expected_performance: ExpectedPerformance
    limitations: list[str] = Field(description="The texts of the others.")


class Dashboard(Wire):
    models: list[ModelView]
    health: dict[str, ModelHealth]
    performance: dict[str, Performance]
    timestamp: Time


class WanModelsStatus(Wire):
    status: Literal["operational", "degraded"]
    available_models: list[str]
    api_version: str
    timestamp: Time
