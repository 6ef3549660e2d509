"""The computer and the server itself."""

from typing import Literal

from pydantic import Field, StrictBool

from wanvideo.server.limits import Precision
from wanvideo.server.schemas.common import Body, LenientBody, Time, Wire


class SystemInfo(Wire):
    """What is wrong, what may become so, and what to do."""

    issues: list[str]
    warnings: list[str]
    recommendations: list[str]


class Endpoints(Wire):
    health: str
    docs: str
    websocket: str
    api_base: str


class Connectivity(Wire):
    cors_enabled: bool
    allowed_origins: list[str]
    websocket: bool


class ServerInfo(Wire):
    host: str
    port: int
    demo: bool = Field(description="The three model types mean the built-in demo models.")
    pid: int
    token_needed: bool = Field(description="Whoever asks this knows it.")


class Health(Wire):
    """Read by every kind of existing client."""

    status: Literal["healthy", "degraded", "unhealthy"]
    message: str
    timestamp: Time
    version: str
    api_version: str
    service: str
    system: str
    uptime: float = Field(description="Seconds.")
    port: int
    backend_online: bool
    database_connected: bool
    gpu_available: bool
    memory_usage: float = Field(description="Percent of host memory.")
    gpu_memory_usage: float = Field(description="Percent of GPU memory; 0 without a GPU.")
    active_tasks: int
    queue_paused: bool
    workers: int = Field(description="Workers that are ready or at work.")
    demo: bool
    system_info: SystemInfo
    endpoints: Endpoints
    connectivity: Connectivity
    server_info: ServerInfo


class RootHealth(Wire):
    status: str
    timestamp: Time
    version: str


class ApiHealth(Wire):
    status: str
    api_version: str


class Alive(Wire):
    status: Literal["ok"]


class Check(Wire):
    """One thing that must work for jobs to be done."""

    name: str
    ok: bool
    detail: str
    code: str | None = Field(default=None, description="Of what is wrong, as jobs that fail have it.")


class Ready(Wire):
    ready: bool
    checks: list[Check]


class Ports(Wire):
    backend_port: int
    frontend_port: int
    status: str


class Stats(Wire):
    """What the computer does at one moment."""

    cpu_percent: float
    ram_used_gb: float
    ram_total_gb: float
    ram_percent: float
    disk_used_gb: float = Field(description="Of the disk for data and videos, or of the fuller one of two.")
    disk_total_gb: float
    disk_percent: float
    gpu_percent: float
    vram_used_mb: float
    vram_total_mb: float
    vram_percent: float
    gpu_celsius: int | None = None
    timestamp: Time


class Expiring(Wire):
    """A finished job that will be removed."""

    id: str
    bytes: int = Field(description="Of its video.")
    finished_at: Time
    reason: Literal["keep_days", "quota_bytes"]
    expires_at: Time | None = Field(default=None, description="None: not announced yet, which begins the notice.")


class Storage(Wire):
    """Room for videos, and what the rules remove. Without rules nothing is removed."""

    stored_bytes: int = Field(description="Of all videos.")
    free_bytes: int
    min_free_bytes: int = Field(description="Below it, no job is taken.")
    keep_days: float | None = None
    quota_bytes: int | None = None
    notice_hours: float = Field(description="From the announcement to the removal.")
    expiring: list[Expiring] = Field(description="The first 100, the oldest first.")
    expiring_count: int
    expiring_bytes: int


class TimeRange(Wire):
    start: Time
    end: Time
    hours: float


class StatsHistory(Wire):
    stats: list[Stats]
    total_count: int
    time_range: TimeRange


class OptimizationBody(LenientBody):
    """Limits that every plan obeys. What is left out stays as it is; null takes a limit away."""

    quantization: Precision | None = Field(default=None, description="int8: 8-bit products, the tier fast.")
    enable_offload: StrictBool | None = Field(
        default=None, description="Whether parts of a model may wait outside of the GPU; without, only what fits runs."
    )
    vae_tile_size: int | None = Field(default=None, ge=128, le=512, description="Pixels a side.")
    max_vram_usage_gb: float | None = Field(default=None, ge=1, le=1024)


class Optimization(Wire):
    quantization: Precision
    enable_offload: bool
    vae_tile_size: int
    max_vram_usage_gb: float
    tile_is_set: bool = Field(description="Otherwise the plan decides.")
    vram_is_set: bool


class OptimizationChanged(Optimization):
    message: str
    current_vram_usage_gb: float
    estimated_vram_savings_gb: float = Field(description="What the limit leaves to others of what is free now.")
    recommendations: list[str]


class GpuView(Wire):
    index: int
    name: str
    driver: str | None = None
    compute_capability: str | None = None
    total_mb: float
    free_mb: float
    busy_percent: int | None = None
    celsius: int | None = None
    supported: bool
    users: list["GpuUserView"]


class GpuUserView(Wire):
    pid: int
    name: str | None = None
    mb: float | None = None


class Gpus(Wire):
    gpus: list[GpuView]
    used: str | None = Field(default=None, description="The one that jobs run on.")
    notes: list[str]


class NodeWorkerView(Wire):
    name: str
    state: str = Field(description="starting, idle, busy, waiting or stopped.")
    task_id: str | None = Field(default=None, description="Of the job that it has.")
    problem: str | None = Field(default=None, description="Why it does not work.")


class WorkerInfo(Wire):
    name: str
    devices: list[str] = Field(description="That make a video together.")
    state: str = Field(
        description="starting, idle, busy, lent to another one, waiting before a new start, out (it gets no jobs while "
        "others work), leaving (when its job is done) or stopped."
    )
    task_id: str | None = Field(default=None, description="Of the job that it has.")
    problem: str | None = Field(default=None, description="Why it does not work.")
    out: Literal["losses", "slow"] | None = Field(
        default=None, description="It gets no jobs: it died with several in a row, or takes much longer than others."
    )
    loaded: list[str] = Field(description="Models; jobs of these it takes first.")
    models: list[str] = Field(description="That it takes; empty: all.")
    memory_limit_gb: float | None = Field(default=None, description="Of GPU memory that it may use.")
    restarts: int
    ram_mb: float | None = Field(default=None, description="Of the computer's memory that it holds now.")
    vram_mb: float | None = Field(default=None, description="Of GPU memory that it uses now.")
    peak_vram_mb: float | None = Field(default=None, description="The most since its last job began.")
    pace: float | None = Field(
        default=None, description="Seconds of denoising over those that were planned, of its last videos."
    )


class Workers(Wire):
    workers: list[WorkerInfo]


class WorkerLimitsBody(Body):
    models: list[str] = Field(default=[], max_length=100, description="That it takes; empty: all.")
    memory_limit_gb: float | None = Field(default=None, ge=1, le=1024, description="Of its GPU; null: no limit.")


class NewWorkerBody(WorkerLimitsBody):
    devices: list[str] = Field(min_length=1, max_length=16, description="cpu, cuda or cuda:N; several: a group.")


class NodeGpuView(Wire):
    name: str
    total_mb: float
    free_mb: float


class MachineView(Wire):
    """A process that works on the queue, as it last described itself."""

    id: str
    here: bool = Field(description="It is the server that answers.")
    host: str
    kind: Literal["server", "worker"]
    version: str
    available_memory_gb: float
    gpus: list[NodeGpuView]
    workers: list[NodeWorkerView]


class Machines(Wire):
    nodes: list[MachineView] = Field(description="Empty where one server has the queue to itself.")


class HardwareProfile(Wire):
    cpu_model: str
    cpu_cores: int
    total_memory_gb: float
    available_memory_gb: float
    gpu_model: str | None = None
    vram_gb: float
    free_vram_gb: float
    compute_capability: str | None = None
    driver: str | None = None
    platform_info: str
    architecture_type: str
    free_disk_gb: float
    rates: str = Field(description="For which computer predicted times hold, and whether they were measured here.")
    optimization_recommendations: list[str]


class Diagnostics(Wire):
    checks: list[Check]
    versions: dict[str, str]
    hardware: HardwareProfile


class Released(Wire):
    message: str
    workers: int


class CorsView(Wire):
    cors_enabled: bool
    allowed_origins: list[str]
    origin: str | None = None
    origin_allowed: bool
    message: str


class NoBody(Body):
    """An empty object, or nothing."""
