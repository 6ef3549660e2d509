"""What a server says, as values. Fields are named as in its OpenAPI document, which a test compares."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wanvideo.jobs.job import DONE, State
from wanvideo.request import Adjustment


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What can be done about an error: the same request with this change."""

    text: str
    effect: str  # on the result
    change: Mapping[str, Any] | None = None
    code: str | None = None  # stable, whatever the words


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a job failed."""

    category: str
    code: str
    title: str
    message: str
    retryable: bool
    suggestions: tuple[str, ...]
    actions: tuple[Action, ...]
    facts: Mapping[str, Any]
    phase: str | None = None
    model: str | None = None
    kept: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLora:
    name: str
    strength: float
    strength_low: float | None = None
    expert: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came out of a job, and what it took."""

    frames: int
    fps: float
    width: int
    height: int
    seconds: float  # length of the clip
    bytes: int
    sha256: str
    phases: Mapping[str, float]  # seconds of each
    adaptations: tuple[Any, ...]
    warnings: tuple[Any, ...]
    peak_vram_mb: float | None = None
    peak_ram_mb: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One video that was asked for, as it stood when the server said so."""

    id: str
    state: State
    model: str
    demo: bool
    prompt: str
    resolution: str
    steps: int
    progress: int  # percent of the whole job
    created_at: datetime
    tier: str
    fallback: str
    priority: int
    attempt: int  # how often it was begun
    loras: tuple[JobLora, ...]
    adjustments: tuple[Adjustment, ...]
    warnings: tuple[Any, ...]
    started_at: datetime | None = None
    completed_at: datetime | None = None
    variant: str | None = None
    phase: str | None = None  # download, load, encode, denoise, decode or write
    step: int | None = None  # of the phase
    step_count: int | None = None
    seconds_per_step: float | None = None
    eta_seconds: float | None = None
    received_bytes: int | None = None  # of a download of its model
    total_bytes: int | None = None
    message: str | None = None  # what it is doing, or waits for
    position: int | None = None  # in the queue; 1 is next
    negative_prompt: str | None = None
    image_path: str | None = None  # a name, which further requests may use
    end_image_path: str | None = None
    frames: int | None = None
    fps: int | None = None
    seed: int | None = None
    guidance: float | None = None
    guidance_low: float | None = None
    solver: str | None = None
    shift: float | None = None
    output_path: str | None = None  # the name of the video
    failure: Failure | None = None
    result: Result | None = None
    replaces: str | None = None  # the model that was asked for, if another one made it

    @property
    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.state in DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """Something that happened to a job and is kept."""

    seq: int  # counts those of the job, from 1
    type: str
    at: datetime
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Something that happens at the server."""

    type: str
    data: Mapping[str, Any]
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """The jobs of one page, the newest first, and how many there are in all."""

    tasks: tuple[Job, ...]
    total_tasks: int
    pending_tasks: int  # with those that are held
    held_tasks: int
    processing_tasks: int
    completed_tasks: int
    failed_tasks: int
    cancelled_tasks: int
    paused: bool
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPhase:
    phase: str
    seconds: float
    peak_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanAlternative:
    change: str
    fits: bool
    seconds: float
    peak_mb: float
    short_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a video will take at the server: predicted, nothing is loaded."""

    model: str
    precision: str
    on_disk: bool
    fits: bool
    short_mb: float
    device: str
    tier: str
    width: int
    height: int
    frames: int
    steps: int
    seconds: float
    peak_mb: float
    host_mb: float
    phases: tuple[PlannedPhase, ...]
    rates: str
    notes: tuple[str, ...]
    adjustments: tuple[Adjustment, ...]
    alternatives: tuple[PlanAlternative, ...]
    download_bytes: int | None = None
    tile: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What came of a request: its jobs, and what there is to say about them."""

    tasks: tuple[Job, ...]
    model: str
    demo: bool
    message: str
    replayed: bool  # it had been taken before, under the same key
    adjustments: tuple[Adjustment, ...]
    reason: str | None = None  # for the model, where none was named
    plan: Plan | None = None

    @property
    def job(self) -> Job:
        """The first one."""
        return self.tasks[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What came of several requests, which were taken together."""

    requests: tuple[Submission, ...]
    task_ids: tuple[str, ...]
    message: str
    replayed: bool

    @property
    def tasks(self) -> tuple[Job, ...]:
        """The jobs of all requests, in their order."""
        return tuple(job for each in self.requests for job in each.tasks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    id: str
    title: str
    quantised: bool
    recommended: bool
    bytes: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process of the server that makes videos."""

    name: str
    devices: tuple[str, ...]  # that make a video together
    state: str  # starting, idle, busy, lent, waiting, out, leaving or stopped
    loaded: tuple[str, ...]  # models
    models: tuple[str, ...]  # that it takes; empty: all
    restarts: int
    task_id: str | None = None  # of the job that it has
    problem: str | None = None  # why it does not work
    out: str | None = None  # losses or slow: it gets no jobs while others work
    memory_limit_gb: float | None = None  # of GPU memory that it may use
    ram_mb: float | None = None  # that it holds
    vram_mb: float | None = None  # that it uses
    peak_vram_mb: float | None = None  # since its last job began
    pace: float | None = None  # seconds of denoising over those that were planned, of its last videos


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineWorker:
    """A worker, as its machine last described it."""

    name: str
    state: str
    task_id: str | None = None  # of the job that it has
    problem: str | None = None  # why it does not work


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A process that works on the server's queue, on this or another computer."""

    id: str
    here: bool  # it is the server that answers
    host: str
    kind: str  # server or worker
    version: str
    workers: tuple[MachineWorker, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model of the server's catalog."""

    id: str
    title: str
    family: str
    demo: bool
    inputs: tuple[str, ...]
    image_required: bool
    good_at: str
    needs: str
    licence: str
    state: str  # ready, missing or unusable
    loaded: bool
    takes_loras: bool
    variants: tuple[Variant, ...]
    preset_of: str | None = None
    repository: str | None = None
    problem: str | None = None
    precision: str | None = None
    bytes: int | None = None
