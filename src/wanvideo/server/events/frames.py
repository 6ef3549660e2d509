"""Changes of jobs, downloads and the computer -> what clients are told."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from wanvideo.jobs.job import DONE, Job, JobEvent, State
from wanvideo.jobs.ledger import Change
from wanvideo.server.catalog import Catalog, wire_type
from wanvideo.server.downloads import Download, DownloadState
from wanvideo.server.events.hub import FRAMES, Frame, Topic
from wanvideo.server.job_views import STATUS, failure_view, plain
from wanvideo.server.model_views import at, download_view, now
from wanvideo.server.monitor import Sample
from wanvideo.server.routes.system import stats_of

TASK_SECONDS: Final = 0.5  # between two updates of one job's progress, each of which lets old clients ask for the queue
DETAIL_SECONDS: Final = 0.2
QUEUE_SECONDS: Final = 0.25
PREVIEW_SECONDS: Final = 0.3
STATS_SECONDS: Final = 0.9
DOWNLOAD_SECONDS: Final = 0.5

# What existing clients know as stages.
_STAGES: Final = {
    "download": "downloading_model",
    "load": "loading_model",
    "encode": "preparing_inputs",
    "denoise": "generating",
    "decode": "post_processing",
    "write": "saving",
}
# Kinds that are worth a word to the user; all others are news for programs.
_SAID: Final = {
    "started": "the job has begun",
    "succeeded": "the video is ready",
    "cancelled": "the job is cancelled",
    "requeued": "the job waits again",
}


def of_change(change: Change, catalog: Catalog) -> Iterator[Frame]:
    """Of one change of a job."""
    job, kind = change.job, change.kind
    if kind == "preview":
        yield _preview(job, change.data)
        return
    if kind == "progress":
        yield Frame("task_update", _task(job), key=_key(job), every=TASK_SECONDS, job=job.id)
        yield _detail(job)
        return
    if kind == "deleted":
        yield Frame("task_deleted", {"task_id": job.id}, ends=_keys(job), job=job.id)
    elif job.state in DONE and kind in ("succeeded", "failed", "cancelled"):
        yield Frame("task_update", _ended(job, kind), ends=_keys(job), job=job.id)
        yield _detail(job)
    else:
        yield Frame("task_update", _task(job, _words(kind, change.data)), key=_key(job), job=job.id)
    yield from _notices(job, kind, change.data, catalog)
    yield Frame("queue_update", {"task_id": job.id, "reason": kind, **_stamp()}, key="queue", every=QUEUE_SECONDS)


def of_stored(event: JobEvent, job: Job | None, catalog: Catalog, *, newest: bool) -> Iterator[Frame]:
    """Of a stored event that somebody has missed. job: as it is now, None once it was deleted.

    newest: of the events of this job.
    """
    if event.kind == "deleted":
        frames = [Frame("task_deleted", {"task_id": event.job}, job=event.job)]
    elif job is None:  # its deletion follows
        frames = []
    else:
        frames = list(_notices(job, event.kind, event.data, catalog))
        if job.state in DONE and event.kind == job.state.value:
            frames.insert(0, Frame("task_update", _ended(job, event.kind), job=job.id))
        elif newest:
            frames.insert(0, Frame("task_update", _task(job), job=job.id))
    for number, frame in enumerate(frames):
        yield replace(frame, seq=event.seq * FRAMES + number)


def of_download(before: Download | None, after: Download, catalog: Catalog) -> Iterator[Frame]:
    """Of one change of a download."""
    entry = catalog.entry(after.model)
    if entry is None:
        return
    view = download_view(after, entry)
    data = view.model_dump(mode="json", exclude_none=True) | {
        "progress_percent": view.progress,
        "downloaded_mb": round(after.done_bytes / 1e6, 2),
        "total_mb": round((after.total_bytes or 0) / 1e6, 2),
        **_stamp(),
    }
    key = f"download {after.model}"
    changed = before is None or before.state is not after.state
    if before is not None and after.retries > before.retries:
        yield Frame(
            "download_retry",
            {"model_id": after.model, "retry_count": after.retries, "error_message": after.note or "", **_stamp()},
            topic=Topic.DOWNLOADS,
        )
    yield Frame(
        "download_progress_update", data, topic=Topic.DOWNLOADS, key=key, every=0 if changed else DOWNLOAD_SECONDS
    )
    if not changed:
        return
    old = before.state.value if before else "none"
    yield Frame(
        "download_status_change",
        data | {"old_status": old, "new_status": after.state.value},
        topic=Topic.DOWNLOADS,
        ends=(key,) if after.state.over else (),
    )
    if after.state is DownloadState.DONE:
        available = {"model_id": after.model, "old_availability": "downloading", "new_availability": "available"}
        yield Frame("model_availability_change", {**available, "reason": "downloaded", **_stamp()}, topic=Topic.MODELS)
    if after.state.over:
        done = after.state is DownloadState.DONE
        said = f"{after.model} is here" if done else view.error or "the download was cancelled"
        yield Frame(
            "model_download_complete",
            {"model_type": wire_type(entry), "model_id": after.model, "status": "success" if done else "failed",
             "message": said},
        )  # fmt: skip


def of_sample(sample: Sample) -> Iterator[Frame]:
    data = stats_of(sample).model_dump(mode="json", exclude_none=True)
    yield Frame("system_stats_update", data, topic=Topic.SYSTEM, key="stats", every=STATS_SECONDS)


# --- jobs ------------------------------------------------------------------------------------------------------------


def _notices(job: Job, kind: str, data: Mapping[str, Any], catalog: Catalog) -> Iterator[Frame]:
    """What users should hear of."""
    if kind == "fallback":
        yield _fallback(job, data, catalog)
    elif kind in ("warning", "adapted", "expiring"):
        said = _goes(job) if kind == "expiring" else str(data.get("message") or data.get("reason") or kind)
        yield Frame(
            "alert",
            {"alert_type": kind, "message": plain(said), "severity": "warning", "task_id": job.id, **_stamp()},
            topic=Topic.ALERTS,
            job=job.id,
        )


def _key(job: Job) -> str:
    return f"task {job.id}"


def _keys(job: Job) -> tuple[str, ...]:
    """Everything about a job that is out of date once it has ended."""
    return (_key(job), f"detail {job.id}", f"preview {job.id}")


def _task(job: Job, message: str | None = None) -> dict[str, Any]:
    """Existing clients show each `message` to the user, so progress has none."""
    progress = job.progress
    data: dict[str, Any] = {
        "task_id": job.id,
        "status": STATUS[job.state],
        "state": job.state.value,
        "progress": 100 if job.state is State.SUCCEEDED else min(99, max(0, progress.percent)),
    }
    if job.state is State.RUNNING:
        known = {
            "phase": progress.phase,
            "step": progress.step or None,
            "steps": progress.steps or None,
            "seconds_per_step": progress.seconds_per_step,
            "eta_seconds": progress.eta_seconds,
            "expert": progress.expert,
        }
        data |= {name: value for name, value in known.items() if value is not None}
    return data if message is None else data | {"message": message}


def _ended(job: Job, kind: str) -> dict[str, Any]:
    data = _task(job, _SAID.get(kind))
    if job.failure is not None:
        view = failure_view(job)
        data |= {
            "message": view.message,
            "error": view.message,
            "failure": view.model_dump(mode="json", exclude_none=True),
        }
    if job.state is State.SUCCEEDED and job.result is not None:
        data |= {"output_path": str(job.result.get("file", "")), "video_url": f"/api/v1/outputs/{job.id}/download"}
    return data


def _goes(job: Job) -> str:
    when = "soon" if job.expires is None else f"on {at(job.expires):%Y-%m-%d %H:%M} UTC"
    return f"job {job.id} and its video will be removed {when}: make it a favourite to keep it"


def _words(kind: str, data: Mapping[str, Any]) -> str | None:
    said = _SAID.get(kind)
    reason = data.get("reason")
    if kind == "requeued" and isinstance(reason, str):
        return f"{said}: {plain(reason)}"
    if kind == "fallback":
        return str(plain(data.get("message") or data.get("reason") or "another model makes the video"))
    return said


def _detail(job: Job) -> Frame:
    progress = job.progress
    over = job.state in DONE
    stage = {State.SUCCEEDED: "completed", State.FAILED: "failed", State.CANCELLED: "failed"}.get(
        job.state, _STAGES.get(progress.phase or "", "initializing")
    )
    data: dict[str, Any] = {
        "task_id": job.id,
        "stage": stage,
        "phase": progress.phase,
        "progress": 100 if job.state is State.SUCCEEDED else progress.percent,
        "message": job.state.value if over else progress.phase or "starting",
        "estimated_time_remaining": progress.eta_seconds,
        "generation_start_time": job.started,
        "current_step": progress.step,
        "total_steps": progress.steps,
        "seconds_per_step": progress.seconds_per_step,
        "expert": progress.expert,
        "vram_bytes": progress.vram_bytes,
        "ram_bytes": progress.ram_bytes,
        "received_bytes": progress.received_bytes,
        "total_bytes": progress.total_bytes,
        **_stamp(),
    }
    key = None if over else f"detail {job.id}"
    return Frame("detailed_generation_progress", data, topic=Topic.PROGRESS, key=key, every=DETAIL_SECONDS, job=job.id)


def _preview(job: Job, data: Mapping[str, Any]) -> Frame:
    return Frame(
        "preview",
        {"task_id": job.id, **data, **_stamp()},
        topic=Topic.PREVIEWS,
        key=f"preview {job.id}",
        every=PREVIEW_SECONDS,
    )


def _fallback(job: Job, data: Mapping[str, Any], catalog: Catalog) -> Frame:
    instead = str(data.get("to", "")).partition(" (")[0]  # without its precision
    return Frame(
        "fallback_strategy",
        {
            "task_id": job.id,
            "original_model": job.model,
            "alternative_model": instead,
            "alternative_type": catalog.wire_type(instead) if instead else None,
            "strategy_type": "alternative_model",
            "user_interaction_required": False,
            "user_message": plain(str(data.get("reason", ""))),
            **_stamp(),
        },
        topic=Topic.FALLBACK,
        job=job.id,
    )


def _stamp() -> dict[str, str]:
    return {"timestamp": now().isoformat(timespec="milliseconds").replace("+00:00", "Z")}
