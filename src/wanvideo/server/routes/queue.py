"""Jobs: /queue."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from anyio import to_thread
from fastapi import Header, Path, Query
from fastapi.responses import StreamingResponse

from wanvideo.errors import InvalidRequest, JobConflict
from wanvideo.jobs.job import Job, State
from wanvideo.jobs.queries import Filter
from wanvideo.jobs.queue import changed
from wanvideo.jobs.spec import JobSpec
from wanvideo.server.deps import PartsDep
from wanvideo.server.errors import AlreadyOver
from wanvideo.server.events.sse import stream
from wanvideo.server.job_views import STATUS, event_view, polled, task_view
from wanvideo.server.model_views import now
from wanvideo.server.parts import Parts
from wanvideo.server.responses import group
from wanvideo.server.schemas.queue import (
    Changes,
    Cleared,
    FavouriteBody,
    JobEvents,
    ModelQueue,
    ModelQueues,
    MoveBody,
    Paused,
    PriorityBody,
    QueuePoll,
    QueueView,
    ReorderBody,
    RerunBody,
    RetryBody,
    TaskDone,
    TaskStatus,
    TaskView,
)
from wanvideo.server.submission import check_disk, check_text, resolve, share_loras, size_of, without_strangers

router = group("queue", "/queue")

TaskIdPath = Annotated[str, Path(pattern=r"^[0-9a-z]{8,40}$", description="Of a job.")]
_OF_STATUS: Final[Mapping[TaskStatus, frozenset[State]]] = {
    status: frozenset(state for state in State if STATUS[state] == status) for status in set(STATUS.values())
}
_ACTIVE: Final = frozenset({State.QUEUED, State.HELD, State.RUNNING})


@router.get("")
def list_queue(
    parts: PartsDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    status_filter: TaskStatus | None = None,
    cursor: Annotated[str | None, Query(max_length=100, description="`next_cursor` of the page before.")] = None,
    model: Annotated[str | None, Query(max_length=100)] = None,
    text: Annotated[str | None, Query(max_length=200, description="In the prompt.")] = None,
    favourite: bool | None = None,
) -> QueueView:
    """The newest first. Counts are of all jobs, whatever is asked for."""
    which = Filter(
        states=_OF_STATUS[status_filter] if status_filter else frozenset(),
        model=None if model is None else parts.catalog.resolve(model).id,
        text=text,
        favourite=favourite,
    )
    page = parts.queue.page(which, limit=limit, cursor=cursor)
    counts, line = parts.queue.counts(), parts.line()
    return QueueView(
        total_tasks=sum(counts.values()),
        pending_tasks=counts[State.QUEUED] + counts[State.HELD],
        processing_tasks=counts[State.RUNNING],
        completed_tasks=counts[State.SUCCEEDED],
        failed_tasks=counts[State.FAILED],
        cancelled_tasks=counts[State.CANCELLED],
        tasks=[task_view(parts, job, line=line) for job in page.jobs],
        paused=line.paused,
        held_tasks=counts[State.HELD],
        next_cursor=page.next,
    )


@router.get("/poll")
def poll_queue(parts: PartsDep, active_only: bool = True) -> QueuePoll:
    """In short, for those who ask often."""
    which = Filter(states=_ACTIVE if active_only else frozenset())
    jobs = parts.queue.page(which, limit=100).jobs
    counts = parts.queue.counts()
    active = counts[State.QUEUED] + counts[State.HELD] + counts[State.RUNNING]
    return QueuePoll(
        timestamp=now(),
        pending_count=counts[State.QUEUED] + counts[State.HELD],
        processing_count=counts[State.RUNNING],
        active_tasks=[polled(parts, job) for job in jobs],
        has_active_tasks=active > 0,
    )


@router.get("/models")
def count_by_model(parts: PartsDep) -> ModelQueues:
    """How much there is to do, by model."""
    found = [
        ModelQueue(model=model, pending=of[State.QUEUED], held=of[State.HELD], processing=of[State.RUNNING])
        for model, of in parts.queue.ahead().items()
    ]
    return ModelQueues(models=sorted(found, key=lambda each: (-each.pending - each.processing, each.model)))


@router.post("/clear")
def clear_queue(parts: PartsDep) -> Cleared:
    """Forget all jobs that have ended, with their videos. Favourites stay."""
    removed = len(parts.queue.clear())
    return Cleared(message=f"{removed} {'job is' if removed == 1 else 'jobs are'} removed", removed=removed)


@router.post("/pause")
def pause_queue(parts: PartsDep) -> Paused:
    """Begin no further job; what runs goes on."""
    parts.pause_queue()
    return Paused(message="no further job begins", paused=True)


@router.post("/resume")
def resume_queue(parts: PartsDep) -> Paused:
    parts.resume_queue()
    return Paused(message="jobs begin again", paused=False)


@router.post("/reorder")
def reorder_queue(body: ReorderBody, parts: PartsDep) -> Cleared:
    """Let these jobs run in this order, in the places that they have together."""
    parts.queue.reorder(list(body.task_ids))
    return Cleared(message=f"{len(body.task_ids)} jobs have a new order", removed=0)


@router.get("/{task_id}")
def get_task(task_id: TaskIdPath, parts: PartsDep) -> TaskView:
    return task_view(parts, parts.job(task_id))


@router.patch("/{task_id}")
def edit_task(task_id: TaskIdPath, body: Changes, parts: PartsDep) -> TaskView:
    """Change what a job that waits will make."""
    job = parts.job(task_id)
    changes = _changes(parts, job, body)
    return task_view(parts, parts.queue.edit(job.id, changes))


@router.post("/{task_id}/cancel")
def cancel_task(task_id: TaskIdPath, parts: PartsDep) -> TaskDone:
    """At once if it waits, within a step if it runs. Cancelling what is cancelled already changes nothing."""
    return _cancel(parts, parts.job(task_id))


@router.delete("/{task_id}")
def remove_task(task_id: TaskIdPath, parts: PartsDep) -> TaskDone:
    """Delete a job that has ended, with its video."""
    job = parts.job(task_id)
    if not job.done:
        raise AlreadyOver(f"job {job.id} is {job.state.value}: cancel it first", facts={"state": job.state.value})
    return _remove(parts, job)


@router.post("/{task_id}/retry")
def retry_task(task_id: TaskIdPath, parts: PartsDep, body: RetryBody | None = None) -> TaskView:
    """A job that failed or was cancelled, again, from what was kept, also with changes."""
    check_disk(parts)
    job = parts.job(task_id)
    changes = None if body is None else _changes(parts, job, body.changes)
    return task_view(parts, parts.queue.retry(job.id, changes))


@router.post("/{task_id}/rerun")
def rerun_task(
    task_id: TaskIdPath,
    body: RerunBody,
    parts: PartsDep,
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> list[TaskView]:
    """New jobs with the settings of this one, and changes to them."""
    check_disk(parts)
    job = parts.job(task_id)
    changes = _changes(parts, job, body.changes)
    if not body.keep_seed and body.changes.seed is None:
        changes = {**changes, "request": {**changes.get("request", {}), "seed": None}}
    spec = changed(job.spec, changes)
    jobs = parts.queue.submit(spec, key=idempotency_key, priority=job.priority, count=body.count, origin=job.id)
    return [task_view(parts, each) for each in jobs]


@router.post("/{task_id}/hold")
def hold_task(task_id: TaskIdPath, parts: PartsDep) -> TaskView:
    """Let it wait until it is released."""
    return task_view(parts, parts.queue.hold(parts.job(task_id).id))


@router.post("/{task_id}/release")
def release_task(task_id: TaskIdPath, parts: PartsDep) -> TaskView:
    return task_view(parts, parts.queue.release(parts.job(task_id).id))


@router.post("/{task_id}/priority")
def prioritise_task(task_id: TaskIdPath, body: PriorityBody, parts: PartsDep) -> TaskView:
    """More comes first."""
    return task_view(parts, parts.queue.prioritise(parts.job(task_id).id, body.priority))


@router.post("/{task_id}/move")
def move_task(task_id: TaskIdPath, body: MoveBody, parts: PartsDep) -> TaskView:
    """Before or after another job, or to either end of the queue."""
    job = parts.job(task_id)
    parts.queue.reorder(_moved([each.id for each in parts.queue.waiting()], job, body))
    return task_view(parts, parts.job(task_id))


@router.post("/{task_id}/favourite")
def favour_task(task_id: TaskIdPath, body: FavouriteBody, parts: PartsDep) -> TaskView:
    return task_view(parts, parts.queue.favour(parts.job(task_id).id, body.favourite))


@router.get("/{task_id}/events")
def list_task_events(
    task_id: TaskIdPath,
    parts: PartsDep,
    since: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 500,
) -> JobEvents:
    """Everything that happened to a job and was kept."""
    job = parts.job(task_id)
    events = [event for event in parts.queue.events(job.id, limit=limit) if event.number > since]
    return JobEvents(task_id=job.id, events=[event_view(event) for event in events])


@router.get(
    "/{task_id}/stream",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {}}, "description": "Server-sent events, to the end of the job."}
    },
)
async def stream_task(
    task_id: TaskIdPath,
    parts: PartsDep,
    last_event_id: Annotated[int | None, Header(ge=0, description="What was received last.")] = None,
) -> StreamingResponse:
    """What happens to a job, as server-sent events: what was kept since `Last-Event-ID`, then everything live."""
    job = await to_thread.run_sync(parts.job, task_id)
    return StreamingResponse(stream(parts, job.id, last_event_id or 0), media_type="text/event-stream")


# --- what they share -------------------------------------------------------------------------------------------------


def cancel_or_remove(parts: Parts, task_id: str) -> TaskDone:
    job = parts.job(task_id)
    return _remove(parts, job) if job.done else _cancel(parts, job)


def _cancel(parts: Parts, job: Job) -> TaskDone:
    if job.state is State.CANCELLED:
        return TaskDone(message="the job is cancelled already", task_id=job.id, status="cancelled")
    try:
        after = parts.queue.cancel(job.id)
    except JobConflict as error:  # known to existing clients as a bad request
        raise AlreadyOver(error.message, facts=error.facts) from error
    said = "the job is cancelled" if after.done else "the job ends within a step"
    return TaskDone(message=said, task_id=job.id, status=STATUS[after.state])


def _remove(parts: Parts, job: Job) -> TaskDone:
    parts.queue.delete(job.id)
    return TaskDone(message="the job is deleted", task_id=job.id, status=STATUS[job.state])


def _moved(order: list[str], job: Job, body: MoveBody) -> list[str]:
    """The waiting jobs in their new order. Raises JobConflict, InvalidRequest."""
    if job.id not in order:
        raise JobConflict(f"job {job.id} is {job.state.value}: only jobs that wait can be moved")
    rest = [each for each in order if each != job.id]
    if body.to == "first":
        return [job.id, *rest]
    if body.to == "last":
        return [*rest, job.id]
    if body.other not in rest:
        raise InvalidRequest("other must be a job that waits: before or after which one?")
    place = rest.index(body.other) + (body.to == "after")
    return [*rest[:place], job.id, *rest[place:]]


def _changes(parts: Parts, job: Job, asked: Changes) -> dict[str, Any]:
    """In the form of `JobSpec.to_json`, after everything was checked as for a new job. Raises InvalidRequest."""
    said = asked.model_dump(mode="json", exclude_unset=True)
    request: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for name in ("variant", "tier", "fallback", "tile", "device"):
        if name in said:
            own[name] = said.pop(name)
    if "model_type" in said:
        model = said.pop("model_type")
        own["model"] = job.model if model is None else parts.catalog.resolve(model).id
    if "resolution" in said:
        request["width"], request["height"] = size_of(said.pop("resolution"))
    for name in ("image", "end_image"):
        if f"{name}_name" in said:
            request[name] = said.pop(f"{name}_name")
    if "loras" in said:
        loras = said.pop("loras") or []
        request["loras"] = [
            {"source": each["name"], **{key: each[key] for key in each if key != "name" and each[key] is not None}}
            for each in loras
        ] or None
    request |= said
    if request.get("prompt", "") is None:
        raise InvalidRequest("the prompt cannot be left out: say what the video should show")
    changes = {**own, **({"request": request} if request else {})}
    return _checked(parts, job, changes)


def _checked(parts: Parts, job: Job, changes: dict[str, Any]) -> dict[str, Any]:
    spec: JobSpec = changed(job.spec, changes)
    check_text("prompt", spec.request.prompt, parts.settings.max_prompt_bytes)
    if spec.request.negative_prompt is not None:
        check_text("negative_prompt", spec.request.negative_prompt, parts.settings.max_prompt_bytes, may_be_empty=True)
    request, _ = without_strangers(spec.request, parts.sources.library, parts.node.loras)
    entry = parts.catalog.resolve(spec.model)
    resolve(parts, entry, request)
    share_loras(parts, request)
    if request.loras != spec.request.loras:
        stored = JobSpec(model=spec.model, request=request).to_json()["request"]
        changes = {**changes, "request": {**changes.get("request", {}), "loras": stored.get("loras")}}
    return changes
