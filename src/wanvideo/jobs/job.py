"""The life of a job, as a table and as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from wanvideo.errors import JobConflict
from wanvideo.jobs.spec import JobSpec


class State(StrEnum):
    QUEUED = "queued"
    HELD = "held"  # waits until it is released
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


DONE: Final = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})
WAITING: Final = frozenset({State.QUEUED, State.HELD})

NEXT: Final[Mapping[State, frozenset[State]]] = {
    State.QUEUED: frozenset({State.HELD, State.RUNNING, State.CANCELLED, State.FAILED}),
    State.HELD: frozenset({State.QUEUED, State.CANCELLED}),
    # Back to QUEUED when the worker died or the server stopped: the job did neither.
    State.RUNNING: frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.QUEUED}),
    # By a retry, which goes on from what was kept.
    State.FAILED: frozenset({State.QUEUED}),
    State.CANCELLED: frozenset({State.QUEUED}),
    State.SUCCEEDED: frozenset(),
}

DOWNLOAD: Final = "download"  # the phase before those of a request


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a running job is. What is not known is None."""

    phase: str | None = None
    step: int = 0
    steps: int = 0
    seconds_per_step: float | None = None
    eta_seconds: float | None = None  # until the video is there
    percent: int = 0  # of the whole job, by the time that its parts are expected to take
    expert: str | None = None
    vram_bytes: int | None = None
    ram_bytes: int | None = None  # of the worker's process
    received_bytes: int | None = None  # of a download
    total_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One row, and, while it runs, how far it is. Times are seconds since 1970."""

    id: str
    spec: JobSpec
    state: State
    batch: str | None = None  # of jobs that were submitted together
    origin: str | None = None  # the job whose settings it was made from
    priority: int = 0  # higher comes first
    rank: float = 0.0  # lower comes first among equals
    attempt: int = 0  # every start has a new number, and what an older one still says is not heard
    deaths: int = 0  # of workers that had it
    cancelling: bool = False
    created: float = 0.0
    started: float | None = None  # the first time
    finished: float | None = None
    worker: str | None = None
    progress: Progress = Progress()
    failure: Mapping[str, Any] | None = None  # as `wanvideo.failure.Failure.to_json` gives it
    result: Mapping[str, Any] | None = None  # what the worker said when it was done
    favourite: bool = False
    expires: float | None = None  # when it will be removed, which was announced

    @property
    def model(self) -> str:
        return self.spec.model

    @property
    def done(self) -> bool:
        return self.state in DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """Something that happened to a job and is kept."""

    seq: int  # counts all events of this server
    job: str
    number: int  # counts those of the job, from 1
    at: float
    kind: str
    data: Mapping[str, Any]


def require(job: Job, *allowed: State, what: str) -> None:
    """Raise JobConflict, which says what to do instead, unless the job is in one of the states."""
    if job.state not in allowed:
        states = " or ".join(allowed)
        raise JobConflict(
            f"job {job.id} is {job.state} and cannot be {what}: that goes while it is {states}",
            facts={"job": job.id, "state": str(job.state)},
        )
