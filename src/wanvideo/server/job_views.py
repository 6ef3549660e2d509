"""Jobs -> what is sent about them: in the words of existing clients, and with all that is known besides."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from wanvideo.errors import InvalidSize
from wanvideo.failure.paths import without_folders
from wanvideo.jobs.job import Job, JobEvent, State
from wanvideo.pipelines.size import Size, nearest_legal
from wanvideo.request import Adjustment, LoraUse
from wanvideo.server.forecast import estimate
from wanvideo.server.model_views import MB, MIB, at
from wanvideo.server.parts import Line, Parts
from wanvideo.server.schemas.common import Action, ActionCall, AdjustmentView
from wanvideo.server.schemas.outputs import VideoView
from wanvideo.server.schemas.queue import (
    FailureView,
    JobEventView,
    LoraUseView,
    PolledTask,
    ResultView,
    TaskStatus,
    TaskView,
)
from wanvideo.weights.entry import ModelEntry

STATUS: Final[Mapping[State, TaskStatus]] = {
    State.QUEUED: "pending",
    State.HELD: "pending",
    State.RUNNING: "processing",
    State.SUCCEEDED: "completed",
    State.FAILED: "failed",
    State.CANCELLED: "cancelled",
}
_POLLED_PROMPT: Final = 100  # characters


def task_view(parts: Parts, job: Job, *, line: Line | None = None) -> TaskView:
    """line: of the jobs that wait, if it is known already."""
    entry = parts.catalog.entry(job.model)
    request, progress, result = job.spec.request, job.progress, job.result or {}
    params = params_of(result)
    running = job.state is State.RUNNING
    failure = None if job.failure is None else failure_view(job)
    width, height = _size(job, entry, params)
    lora = request.loras[0] if request.loras else None
    waiting = job.state in (State.QUEUED, State.HELD)
    if line is None:
        line = parts.line_before(job) if waiting else Line()
    expected = estimate(parts, job) if waiting or running else None
    return TaskView(
        id=job.id,
        model_type=parts.catalog.wire_type(job.model),
        prompt=request.prompt,
        image_path=_text(request.image),
        end_image_path=_text(request.end_image),
        resolution=f"{width}x{height}",
        steps=_number(params.get("steps")) or request.steps or (entry.defaults.steps if entry else 0),
        lora_path=None if lora is None else str(lora.source),
        lora_strength=1.0 if lora is None else lora.strength,
        status=STATUS[job.state],
        progress=100 if job.state is State.SUCCEEDED else min(99, max(0, progress.percent)),
        created_at=at(job.created),
        started_at=None if job.started is None else at(job.started),
        completed_at=None if job.finished is None else at(job.finished),
        output_path=_text(result.get("file")),
        error_message=None if failure is None else failure.message,
        estimated_time_minutes=None if expected is None else math.ceil(expected / 60),
        state=job.state.value,
        model=job.model,
        demo=bool(entry and entry.demo),
        variant=job.spec.variant,
        phase=progress.phase if running else None,
        step=progress.step if running and progress.steps else None,
        step_count=progress.steps if running and progress.steps else None,
        seconds_per_step=progress.seconds_per_step if running else None,
        eta_seconds=progress.eta_seconds if running else None,
        received_bytes=progress.received_bytes if running else None,
        total_bytes=progress.total_bytes if running else None,
        message=_message(job, line),
        position=line.positions.get(job.id),
        priority=job.priority,
        attempt=job.attempt,
        negative_prompt=request.negative_prompt,
        frames=_number(result.get("frames")) or request.frames,
        fps=_number(result.get("fps")) or (entry.defaults.fps if entry else None),
        seed=request.seed,
        guidance=request.guidance,
        guidance_low=request.guidance_low,
        solver=None if request.solver is None else request.solver.value,
        shift=request.shift,
        tier=job.spec.tier.value,
        fallback=job.spec.fallback.value,
        loras=[_lora(use) for use in request.loras],
        adjustments=[found for each in result.get("adaptations", ()) if (found := _adjustment(each)) is not None],
        warnings=[without_folders(str(each)) for each in result.get("warnings", ())],
        failure=failure,
        result=result_view(result) if job.state is State.SUCCEEDED else None,
        thumbnail_url=f"/api/v1/outputs/{job.id}/thumbnail" if job.state is State.SUCCEEDED else None,
        video_url=f"/api/v1/outputs/{job.id}/download" if job.state is State.SUCCEEDED else None,
        replaces=replaced(job),
    )


def polled(parts: Parts, job: Job) -> PolledTask:
    return PolledTask(
        id=job.id,
        status=STATUS[job.state],
        progress=min(99, max(0, job.progress.percent)),
        model_type=parts.catalog.wire_type(job.model),
        prompt=job.spec.request.prompt[:_POLLED_PROMPT],
        created_at=at(job.created),
        started_at=None if job.started is None else at(job.started),
        completed_at=None if job.finished is None else at(job.finished),
        error_message=None if job.failure is None else without_folders(str(job.failure.get("message", ""))),
    )


def video_view(parts: Parts, job: Job) -> VideoView:
    """Of a job that succeeded."""
    entry = parts.catalog.entry(job.model)
    result = job.result or {}
    params = params_of(result)
    width, height = _size(job, entry, params)
    frames, fps = int(result.get("frames", 0)), float(result.get("fps", 0) or 0)
    name = str(result.get("file", ""))
    thumbnail = parts.folder.thumbnail(job.id)
    took = None if job.started is None or job.finished is None else (job.finished - job.started) / 60
    return VideoView(
        id=job.id,
        filename=name,
        file_path=name,
        output_path=name,
        thumbnail_path=f"thumbnails/{thumbnail.name}",
        prompt=job.spec.request.prompt,
        model_type=parts.catalog.wire_type(job.model),
        resolution=f"{width}x{height}",
        duration_seconds=round(frames / fps, 3) if fps else None,
        file_size_mb=round(int(result.get("bytes", 0)) / MB, 3),
        created_at=at(job.finished or job.created),
        generation_time_minutes=None if took is None else round(took, 3),
        thumbnail_url=f"/api/v1/outputs/{job.id}/thumbnail",
        download_url=f"/api/v1/outputs/{job.id}/download",
        video_url=f"/api/v1/outputs/{job.id}/video",
        model=job.model,
        demo=bool(entry and entry.demo),
        frames=frames,
        fps=fps,
        width=width,
        height=height,
        seed=job.spec.request.seed,
        steps=_number(params.get("steps")),
        sha256=str(result.get("sha256", "")),
        favourite=job.favourite,
        expires_at=None if job.expires is None else at(job.expires),
        replaces=replaced(job),
        exists=parts.has_video(job),
    )


def adjustment_view(change: Adjustment) -> AdjustmentView:
    return AdjustmentView(
        field=change.field,
        asked=without_folders(change.asked),
        used=without_folders(change.used),
        reason=without_folders(change.reason),
    )


def failure_view(job: Job) -> FailureView:
    """What is said of a job that failed, without places of files."""
    failure = job.failure or {}
    suggestions = [each for each in failure.get("suggestions", ()) if isinstance(each, Mapping)]
    return FailureView(
        category=str(failure.get("category", "worker")),
        code=str(failure.get("code", "INTERNAL")),
        title=without_folders(str(failure.get("title", ""))),
        message=without_folders(str(failure.get("message", ""))),
        phase=_text(failure.get("phase")),
        model=_text(failure.get("model")),
        kept=_text(failure.get("kept")),
        retryable=bool(failure.get("retryable")),
        suggestions=[without_folders(str(each.get("text", ""))) for each in suggestions],
        actions=[
            Action(
                text=without_folders(str(each.get("text", ""))),
                effect=str(each.get("effect", "")),
                change=each.get("change") if isinstance(each.get("change"), dict) else None,
                code=_text(each.get("code")),
                values=_values(each.get("values")),
                call=_call(job, each),
            )
            for each in suggestions
        ],
        facts=_values(failure.get("facts")),
    )


def _values(said: object) -> dict[str, Any]:
    """Without places of files."""
    if not isinstance(said, Mapping):
        return {}
    return {name: without_folders(value) if isinstance(value, str) else value for name, value in said.items()}


def _call(job: Job, suggestion: Mapping[str, Any]) -> ActionCall | None:
    """What does that at once; see `wanvideo.failure.Suggestion`."""
    change = dict(suggestion.get("change") or {})
    match suggestion.get("call"):
        case "retry":
            return ActionCall(path=f"/api/v1/queue/{job.id}/retry", body={"changes": change} if change else {})
        case "rerun":
            return ActionCall(path=f"/api/v1/queue/{job.id}/rerun", body={"changes": change, "keep_seed": True})
        case "repair":
            return ActionCall(path=f"/api/v1/models/repair/{job.model}")
    return None


def result_view(result: Mapping[str, Any]) -> ResultView:
    frames, fps = int(result.get("frames", 0)), float(result.get("fps", 0) or 0)
    vram, rss = result.get("peak_vram"), result.get("peak_rss")
    return ResultView(
        frames=frames,
        fps=fps,
        width=int(result.get("width", 0)),
        height=int(result.get("height", 0)),
        seconds=round(frames / fps, 3) if fps else 0.0,
        bytes=int(result.get("bytes", 0)),
        sha256=str(result.get("sha256", "")),
        phases={str(name): float(value) for name, value in dict(result.get("phases", {})).items()},
        peak_vram_mb=round(vram / MIB, 1) if isinstance(vram, int | float) else None,
        peak_ram_mb=round(rss / MIB, 1) if isinstance(rss, int | float) else None,
        adaptations=list(result.get("adaptations", ())),
        warnings=[without_folders(str(each)) for each in result.get("warnings", ())],
    )


def event_view(event: JobEvent) -> JobEventView:
    return JobEventView(seq=event.number, type=event.kind, at=at(event.at), data=plain(event.data))


def plain(value: Any) -> Any:
    """JSON values without the places of files."""
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(each) for each in value]
    return without_folders(value) if isinstance(value, str) else value


def params_of(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a finished file says that it was made with."""
    settings = result.get("settings")
    params = settings.get("params") if isinstance(settings, Mapping) else None
    return params if isinstance(params, Mapping) else {}


def replaced(job: Job) -> str | None:
    """The model that was asked for, if another one made the video."""
    made_by = (job.result or {}).get("model")
    return job.model if isinstance(made_by, str) and made_by != job.model else None


def _size(job: Job, entry: ModelEntry | None, params: Mapping[str, Any]) -> tuple[int, int]:
    """Of the video: as it was made, else as it will be, as far as that is known without its picture."""
    result = job.result or {}
    if isinstance(result.get("width"), int) and isinstance(result.get("height"), int):
        return result["width"], result["height"]
    if isinstance(params.get("width"), int) and isinstance(params.get("height"), int):
        return params["width"], params["height"]
    request = job.spec.request
    if entry is None:
        return request.width or 0, request.height or 0
    if request.width is None or request.height is None:
        return entry.defaults.width, entry.defaults.height
    try:
        return nearest_legal(Size(request.width, request.height), entry.limits)
    except InvalidSize:
        return request.width, request.height


def _message(job: Job, line: Line) -> str | None:
    progress = job.progress
    if job.state is State.HELD:
        return "held: release it to let it run"
    if job.state is State.QUEUED:
        if line.paused:
            return "the queue is paused"
        return None if line.no_worker is None else f"waits for a worker: {line.no_worker}"
    if job.state is not State.RUNNING:
        return None
    if job.cancelling:
        return "is being cancelled"
    if progress.phase == "download" and progress.total_bytes:
        return f"the model is downloaded: {progress.received_bytes or 0} of {progress.total_bytes} bytes"
    return progress.phase


def _lora(use: LoraUse) -> LoraUseView:
    return LoraUseView(
        name=str(use.source),
        strength=use.strength,
        strength_low=use.strength_low,
        expert=None if use.expert is None else use.expert.value,
    )


def _adjustment(value: object) -> AdjustmentView | None:
    if not isinstance(value, Mapping) or not {"field", "asked", "used", "reason"} <= value.keys():
        return None
    return AdjustmentView(**{name: without_folders(str(value[name])) for name in ("field", "asked", "used", "reason")})


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
