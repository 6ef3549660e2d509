"""The queue while it is watched: what is known of its jobs, changed by what the server tells."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from wanvideo.cli.downloads import duration
from wanvideo.cli.progress import speed
from wanvideo.client import Failure, Frame, Job, State
from wanvideo.client.answers import read

SHORT_ID: Final = 8  # characters, by which people name jobs
ENDED: Final = 10  # jobs that are shown after their end
_PROMPT: Final = 48
# What the server says of progress, and how a job calls it.
_SAID: Final = {
    "progress": "progress",
    "phase": "phase",
    "step": "step",
    "steps": "step_count",
    "seconds_per_step": "seconds_per_step",
    "eta_seconds": "eta_seconds",
}
# Changes after which jobs wait in another order, or no longer.
_REORDERED: Final = frozenset({"moved", "held", "released", "edited", "submitted", "retried", "requeued", "deleted"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The jobs by their ids, and whether the queue is paused."""

    jobs: Mapping[str, Job] = field(default_factory=dict)
    paused: bool = False

    @property
    def rows(self) -> list[Job]:
        """What runs or waits, and the newest of what has ended."""
        jobs = sorted(self.jobs.values(), key=order)
        active = sum(not job.done for job in jobs)
        return jobs[: active + ENDED]

    def told(self, frame: Frame) -> "Board":
        """After what the server said; `stale` says what is to be asked for besides."""
        data = frame.data
        if frame.type == "snapshot":
            jobs = read(tuple[Job, ...], data.get("tasks", ()))
            return Board(jobs={job.id: job for job in jobs}, paused=bool(data.get("paused")))
        known = self.jobs.get(str(data.get("task_id")))
        if frame.type == "task_update" and known is not None:
            return replace(self, jobs={**self.jobs, known.id: progressed(known, data)})
        if frame.type == "task_deleted" and known is not None:
            return replace(self, jobs={id_: job for id_, job in self.jobs.items() if id_ != known.id})
        if frame.type == "queue_update" and "paused" in data:
            return replace(self, paused=bool(data["paused"]))
        return self

    def stale(self, frame: Frame) -> bool:
        """Whether the jobs that wait have to be asked for again."""
        if frame.type == "task_update":
            return str(frame.data.get("task_id")) not in self.jobs
        return frame.type == "queue_update" and frame.data.get("reason") in _REORDERED

    def with_jobs(self, jobs: Mapping[str, Job]) -> "Board":
        return replace(self, jobs={**self.jobs, **jobs})


def progressed(job: Job, data: Mapping[str, Any]) -> Job:
    """The job, with what a `task_update` says about it."""
    state = State(data["state"])
    said: dict[str, Any] = {name: data.get(key) for key, name in _SAID.items()}
    said["progress"] = data.get("progress", job.progress)
    if data.get("failure") is not None:
        said["failure"] = read(Failure, data["failure"])
    return replace(job, state=state, position=job.position if state is State.QUEUED else None, **said)


def order(job: Job) -> tuple[int, float]:
    """What runs comes first, then what waits as it will run, then what has ended, the newest first."""
    if job.state is State.RUNNING:
        return 0, job.created_at.timestamp()
    if job.state is State.QUEUED:
        return 1, job.position or 0
    if job.state is State.HELD:
        return 2, job.created_at.timestamp()
    return 3, -(job.completed_at or job.created_at).timestamp()


def short(job: Job) -> str:
    return job.id[:SHORT_ID]


def doing(job: Job) -> str:
    """How it is, such as "denoise 12/20, 1.3 s/it, 12 s left"."""
    if job.state is State.QUEUED:
        return f"waits, {job.position}." if job.position else "waits"
    if job.state is State.FAILED:
        return "failed" if job.failure is None else f"failed: {job.failure.title}"
    if job.state is not State.RUNNING:
        return {State.SUCCEEDED: "done"}.get(job.state, job.state.value)
    said = [f"{job.phase or 'starting'}{f' {job.step}/{job.step_count}' if job.step_count else ''}"]
    if job.seconds_per_step and job.phase == "denoise":
        said.append(speed(job.seconds_per_step))
    if job.eta_seconds is not None:
        said.append(f"{duration(job.eta_seconds)} left")
    return ", ".join(said)


def line(job: Job) -> str:
    """The job in one line of plain text."""
    return f"{short(job)}  {job.progress:3d} %  {doing(job):36}  {job.model:16}  {title(job)}"


def title(job: Job) -> str:
    """Its prompt, in short."""
    text = " ".join(job.prompt.split())
    return text if len(text) <= _PROMPT else f"{text[: _PROMPT - 1]}…"
