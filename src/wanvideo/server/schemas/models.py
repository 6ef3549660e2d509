"""Models: which there are, how they are, how they do here."""

from typing import Literal

from pydantic import Field, StrictBool, StrictInt

from wanvideo.server.schemas.common import Body, LenientBody, Time, Wire

ModelState = Literal["missing", "available", "loaded", "corrupted", "downloading"]


class SizeView(Wire):
    width: int
    height: int


class DefaultsView(Wire):
    width: int
    height: int
    frames: int
    fps: int
    steps: int
    shift: float
    guidance: float
    guidance_low: float
    negative_prompt: str
    solver: str


class LimitsView(Wire):
    size_multiple: int
    min_side: int
    max_area: int
    max_frames: int
    frame_step: int = Field(description="The number of frames is a multiple of it, and one more.")
    max_steps: int
    max_guidance: float
    min_shift: float
    max_shift: float
    max_step_cache: float


class VariantView(Wire):
    id: str
    title: str
    bytes: int | None = None
    quantised: bool
    recommended: bool = Field(description="What suits this computer.")
    reason: str | None = None


class ModelView(Wire):
    """One model of the catalog."""

    id: str
    model_type: str = Field(description="The type under which existing clients see it.")
    title: str
    family: str
    demo: bool
    preset_of: str | None = None
    inputs: list[str] = Field(description="What a video is made from: text, image, end_image.")
    image_required: bool
    good_at: str
    needs: str
    licence: str
    repository: str | None = None
    state: Literal["ready", "missing", "unusable"]
    problem: str | None = None
    precision: str | None = None
    bytes: int | None = None
    loaded: bool
    takes_loras: bool
    experts: int = Field(description="Networks that share the work; each of 2 has a guidance and LoRA strengths.")
    defaults: DefaultsView
    limits: LimitsView
    usual_sizes: list[SizeView]
    variants: list[VariantView]
    download: "DownloadView | None" = None


class Models(Wire):
    models: list[ModelView]
    problems: list[str] = Field(description="Families that are installed and cannot be used.")


class ModelStatus(Wire):
    """In the words of existing clients."""

    model_id: str
    model_type: str
    status: ModelState
    is_available: bool
    is_loaded: bool
    is_valid: bool
    size_mb: float
    model_path: str = Field(description="The name of the repository or preset; not a place.")
    estimated_vram_usage_mb: float
    hardware_compatible: bool
    optimization_applied: bool
    download_progress: float | None = None
    error_message: str | None = None
    demo: bool


class ModelsStatus(Wire):
    models: dict[str, ModelStatus]
    timestamp: Time
    total_models: int
    available_models: int


class DownloadBody(LenientBody):
    model_type: str = Field(max_length=100)
    variant: str | None = Field(default=None, max_length=40)
    priority: int = Field(default=0, ge=-1000, le=1000)
    force_redownload: bool = Field(default=False, description="Hash everything that is here, and fetch what is wrong.")


class DownloadStarted(Wire):
    message: str
    model_type: str
    status: Literal["already_available", "download_started", "download_completed", "download_failed", "error"]
    variant: str | None = None
    bytes: int | None = None
    reason: str | None = None


class DownloadView(Wire):
    model_id: str
    model_type: str
    variant: str
    reason: str
    status: Literal["waiting", "downloading", "verifying", "paused", "done", "failed", "cancelled"]
    progress: float = Field(description="Percent.")
    done_bytes: int
    total_bytes: int | None = None
    fetched_bytes: int
    speed_mbps: float = Field(description="10^6 bytes per second.")
    eta_seconds: float | None = None
    priority: int
    retries: int
    title: str
    note: str | None = None
    error: str | None = None
    error_code: str | None = None
    can_pause: bool
    can_resume: bool
    can_cancel: bool
    last_update: Time


class DownloadViews(Wire):
    downloads: dict[str, DownloadView]
    timestamp: Time


class AddBody(Body):
    """A model that is already on the server's computer."""

    path: str = Field(max_length=4096, description="Of a weight file, a model's folder, or ComfyUI's `models`.")
    role: Literal["high", "low", "only"] | None = Field(
        default=None, description="What a transformer is, if its name does not say."
    )


class AddedView(Wire):
    message: str
    found: list[str] = Field(description="The networks that it holds, in words.")
    ready: list[str] = Field(description="Models that could not be used before.")


class ManageBody(LenientBody):
    model_id: str = Field(max_length=100)
    action: Literal["pause", "resume", "cancel", "priority"]
    priority: int | None = Field(default=None, ge=-1000, le=1000)
    bandwidth_limit_mbps: float | None = Field(default=None, description="Not supported: refused if it is set.")


class Managed(Wire):
    success: bool
    message: str
    model_id: str
    action: str
    current_status: str
    progress_percent: float


class FaultView(Wire):
    file: str
    problem: str
    missing: bool


class VariantHealth(Wire):
    variant: str
    health: Literal["missing", "incomplete", "corrupt", "outdated", "present", "ready"]
    files: int
    bytes: int
    faults: list[FaultView]


class Verified(Wire):
    model_type: str
    model_id: str
    is_valid: bool
    deep: bool = Field(description="Every file was hashed, which alone finds a flipped bit.")
    details: list[VariantHealth]
    message: str


class Validated(Wire):
    model_type: str
    integrity_status: Literal["valid", "corrupted", "not_available", "path_not_found", "error"]
    is_valid: bool
    message: str
    missing_files: list[str]


class Repairing(Wire):
    message: str
    model_id: str
    repaired: list[str] = Field(description="Damaged files, which are fetched again.")
    download: DownloadView | None = None


class Removed(Wire):
    message: str
    model_id: str
    files: int
    frees_bytes: int
    kept: int = Field(description="Files that stay, since other models need them.")
    dry_run: bool


class ModelsSummary(Wire):
    total_models: int
    available_models: int
    missing_models: int
    corrupted_models: int
    total_size_mb: float
    downloads_active: int
    free_disk_gb: float
    timestamp: Time


class ModelHealth(Wire):
    """How a model is and how it has done on this computer. What was never measured is left out."""

    model_id: str
    model_type: str
    health_status: Literal["healthy", "degraded", "missing", "corrupted"]
    message: str
    integrity_score: float | None = Field(default=None, description="Share of files that are as they should be.")
    availability_score: float = Field(description="1: ready; 0: not.")
    error_count_24h: int
    runs_24h: int
    success_rate_24h: float | None = None
    last_errors: list[str]


class ModelsHealth(Wire):
    status: Literal["healthy", "degraded", "unhealthy"]
    models: dict[str, ModelHealth]
    timestamp: Time


class PhaseSeconds(Wire):
    phase: str
    mean: float
    longest: float


class Performance(Wire):
    """Measured on this computer, from the jobs that ran here."""

    model_id: str
    model_type: str
    runs: int
    succeeded: int
    failed: int
    cancelled: int
    success_rate: float | None = None
    mean_seconds: float | None = None
    seconds_per_step: float | None = None
    phases: list[PhaseSeconds]
    peak_vram_mb: float | None = None
    peak_ram_mb: float | None = None
    last_errors: list[str]
    last_used: Time | None = None


class Analytics(Wire):
    time_period_days: int
    models: dict[str, Performance]
    total_runs: int
    timestamp: Time


class Integration(Wire):
    """Whether jobs can run."""

    status: Literal["ready", "degraded", "unavailable"]
    workers: int
    engine: bool = Field(description="PyTorch and the rest of the engine are installed.")
    message: str
    models_available: list[str]


class CleanupBody(LenientBody):
    target_space_gb: float | None = Field(default=None, gt=0, le=1_000_000)
    keep_recent_days: StrictInt = Field(default=30, ge=0, le=36_500)
    dry_run: StrictBool = True


class CleanupCandidate(Wire):
    model_id: str
    frees_bytes: int
    last_used: Time | None = None
    reason: str


class Cleanup(Wire):
    dry_run: bool
    frees_bytes: int
    models: list[CleanupCandidate]
    message: str


class SuggestBody(LenientBody):
    requested_model: str = Field(max_length=100)
    quality: Literal["low", "medium", "high"] = "medium"
    speed: Literal["fast", "medium", "slow"] = "medium"
    resolution: str | None = Field(default=None, pattern=r"^\d{1,5}x\d{1,5}$")
    max_wait_minutes: float | None = Field(default=None, gt=0)


class ModelSuggestion(Wire):
    model: str
    model_type: str
    reason: str
    ready: bool
    estimated_seconds: float | None = None


class Suggested(Wire):
    requested_model: str
    available: bool
    suggested_model: str | None = None
    reasons: list[str]
    alternatives: list[ModelSuggestion]
    message: str
