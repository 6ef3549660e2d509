"""Asking for videos: /generation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Annotated, Final

from anyio import to_thread
from fastapi import Depends, Header, Query, Request
from starlette.requests import HTTPConnection

from wanvideo.errors import InvalidRequest, WanVideoError
from wanvideo.jobs.intake import Outcome, Stored, Submission
from wanvideo.server.deps import CatalogDep, PartsDep
from wanvideo.server.detect import detect
from wanvideo.server.forecast import plan_view, usual
from wanvideo.server.forms import body_of, either, parsed
from wanvideo.server.job_views import adjustment_view, task_view
from wanvideo.server.model_views import inputs_of, needs_of, resolutions_of
from wanvideo.server.parts import Line, Parts
from wanvideo.server.responses import group
from wanvideo.server.routes.models import make_plan
from wanvideo.server.routes.queue import TaskIdPath, cancel_or_remove
from wanvideo.server.schemas.generation import (
    BatchBody,
    BatchSubmitted,
    Detected,
    Features,
    GenerationCapabilities,
    ModelInfo,
    Requirements,
    Submit,
    Submitted,
)
from wanvideo.server.schemas.plans import PlanBody, PlanView
from wanvideo.server.schemas.queue import TaskDone, TaskView
from wanvideo.server.submission import Prepared, prepare, share_loras
from wanvideo.server.together import Together

router = group("generation", "/generation")

FILES: Final = ("image", "end_image")
MAX_BATCH_FIELD: Final = 4 * 2**20  # bytes of all requests of a batch, without their pictures
IDEMPOTENCY: Final = "The same key with the same request gives the jobs that it made before."


@router.get("/models/detect")
def detect_model(
    catalog: CatalogDep,
    parts: PartsDep,
    prompt: Annotated[str, Query(max_length=16 * 1024)] = "",
    has_image: bool = False,
    has_end_image: bool = False,
) -> Detected:
    """Which model type a request is for, by rules that are named."""
    types = catalog.wire_entries()
    found = detect(prompt, types, has_image=has_image, has_end_image=has_end_image)
    entry = types[found.type]
    planned = usual(parts, entry)
    needs = needs_of(entry, catalog.presence(entry).model, parts.hardware())
    width, height = max(entry.usual_sizes, key=lambda size: size[0] * size[1])
    return Detected(
        detected_model_type=found.type,
        confidence=found.confidence,
        explanation=[found.rule, f"{entry.id}: good at {entry.good_at}"],
        requirements=Requirements(
            requires_image=entry.requires_image,
            supports_end_image=entry.takes_end_image,
            estimated_vram_gb=needs.vram_minimum_gb or 0.0,
            estimated_time_per_frame=0.0 if planned is None else round(planned.plan.seconds / planned.work.frames, 2),
            max_resolution=f"{width}x{height}",
            recommended_steps=entry.defaults.steps,
        ),
        alternatives=list(found.alternatives),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request whose pictures are stored, by name."""

    submit: Submit
    image: str | None
    end_image: str | None
    key: str | None


async def _submissions(connection: HTTPConnection) -> Together[Asked, Submitted]:
    found: Together[Asked, Submitted] = connection.app.state.submissions
    return found


@router.post("/submit", openapi_extra=either(Submit, FILES))
async def submit_job(
    request: Request,
    parts: PartsDep,
    submissions: Annotated[Together[Asked, Submitted], Depends(_submissions)],
    idempotency_key: Annotated[str | None, Header(max_length=200, description=IDEMPOTENCY)] = None,
) -> Submitted:
    """Make a video, or several: stored before it is answered, and made whatever happens to the server.

    JSON, or a form with the pictures `image` and `end_image`. What a model cannot do literally is adapted, and the
    answer says how; what cannot be done at all is refused, with what could be.
    """
    async with body_of(request, max_files=len(FILES)) as body:
        asked = parsed(Submit, body.values)
        if stranger := next((name for name in body.files if name not in FILES), None):
            raise InvalidRequest(f"{stranger!r:.60} is no picture of a request: send image or end_image")
        names = {"image": asked.image_name or None, "end_image": asked.end_image_name or None}
        for name, upload in body.files.items():
            if upload.size:
                names[name] = await to_thread.run_sync(parts.inputs.keep, upload.file, parts.settings.max_image_bytes)
    return await submissions(
        Asked(submit=asked, image=names["image"], end_image=names["end_image"], key=idempotency_key)
    )


def submit_all(parts: Parts, asked: Sequence[Asked]) -> list[Submitted | Exception]:
    """All in one transaction. Files are looked at, so this blocks for some tenths of a second."""
    prepared = [_prepared(parts, each) for each in asked]
    submissions = [
        Submission(
            spec=each.spec, key=one.key, priority=one.submit.priority, count=one.submit.count, held=one.submit.held
        )
        for one, each in zip(asked, prepared, strict=True)
        if isinstance(each, Prepared)
    ]
    outcomes = iter(parts.queue.intake.submit_all(submissions))
    return [each if isinstance(each, Exception) else _submitted(parts, each, next(outcomes)) for each in prepared]


@router.post("/batch", openapi_extra=either(BatchBody, inlined=("Submit",)))
async def submit_batch(
    request: Request,
    parts: PartsDep,
    idempotency_key: Annotated[str | None, Header(max_length=200, description=IDEMPOTENCY)] = None,
) -> BatchSubmitted:
    """Make several videos: all of them are stored in one transaction, or, if one cannot be taken, none.

    JSON, or a form with `requests` and files, which the requests name as `image_name` and `end_image_name`.
    """
    most = parts.settings.max_count
    async with body_of(request, max_files=2 * most, max_field_bytes=MAX_BATCH_FIELD) as body:
        asked = parsed(BatchBody, body.values).requests
        if (total := sum(each.count for each in asked)) > most:
            raise InvalidRequest(f"{total} jobs are asked for: at most {most} come from one request")
        stored = {
            name: await to_thread.run_sync(parts.inputs.keep, upload.file, parts.settings.max_image_bytes)
            for name, upload in body.files.items()
        }
    return await to_thread.run_sync(_batch, parts, asked, stored, idempotency_key)


def _batch(parts: Parts, requests: Sequence[Submit], stored: Mapping[str, str], key: str | None) -> BatchSubmitted:
    """stored: names of pictures by those that the requests call them."""
    prepared = []
    for number, each in enumerate(requests, 1):
        image, end_image = (stored.get(name or "", name or None) for name in (each.image_name, each.end_image_name))
        try:
            prepared.append(prepare(parts, each, image, end_image))
        except WanVideoError as error:
            error.args = (f"request {number}: {error.message}",)
            error.facts["request"] = number
            raise
    for found in prepared:
        share_loras(parts, found.spec.request)
    first, *others = (
        Submission(spec=found.spec, priority=each.priority, count=each.count, held=each.held)
        for each, found in zip(requests, prepared, strict=True)
    )
    outcome = parts.queue.intake.submit(replace(first, key=key, others=tuple(others)))
    jobs = iter(outcome.jobs)
    made = [
        _described(parts, found, Stored(jobs=tuple(islice(jobs, each.count)), replayed=outcome.replayed))
        for each, found in zip(requests, prepared, strict=True)
    ]
    count = len(outcome.jobs)
    return BatchSubmitted(
        message=f"{count} job{' is' if count == 1 else 's are'} in the queue{' already' if outcome.replayed else ''}",
        task_ids=[job.id for job in outcome.jobs],
        replayed=outcome.replayed,
        requests=made,
    )


def _prepared(parts: Parts, asked: Asked) -> Prepared | Exception:
    try:
        found = prepare(parts, asked.submit, asked.image, asked.end_image)
        share_loras(parts, found.spec.request)
        return found
    except (WanVideoError, OSError) as error:
        return error


def _submitted(parts: Parts, prepared: Prepared, outcome: Outcome) -> Submitted | Exception:
    return _described(parts, prepared, outcome) if isinstance(outcome, Stored) else outcome


def _described(parts: Parts, prepared: Prepared, outcome: Stored) -> Submitted:
    tasks = [task_view(parts, job, line=Line()) for job in outcome.jobs]
    return Submitted(
        task_id=tasks[0].id,
        status=tasks[0].status,
        message=_message(prepared, len(tasks), replayed=outcome.replayed),
        estimated_time_minutes=tasks[0].estimated_time_minutes,
        estimated_time=None if prepared.forecast is None else round(prepared.forecast.plan.seconds, 1),
        task_ids=[task.id for task in tasks],
        model=prepared.entry.id,
        model_type=tasks[0].model_type,
        demo=prepared.entry.demo,
        reason=prepared.reason,
        replayed=outcome.replayed,
        adjustments=[adjustment_view(each) for each in prepared.adjustments],
        plan=None if prepared.forecast is None else plan_view(parts, prepared.entry, prepared.forecast),
        tasks=tasks,
    )


def _message(prepared: Prepared, count: int, *, replayed: bool) -> str:
    what = "1 job is" if count == 1 else f"{count} jobs are"
    said = f"{what} in the queue{' already' if replayed else ''}, made with {prepared.entry.id}"
    if prepared.entry.demo:
        said += " (a built-in demo)"
    if prepared.adjustments:
        changed = len(prepared.adjustments)
        said += f"; {changed} value{' was' if changed == 1 else 's were'} changed"
    return said


@router.post("/plan")
def plan_job(body: PlanBody, parts: PartsDep) -> PlanView:
    """What a video will take here, before it is asked for: downloads, memory, minutes, and what else there is."""
    return make_plan(parts, body)


@router.get("/capabilities")
def get_generation_capabilities(catalog: CatalogDep, parts: PartsDep) -> GenerationCapabilities:
    """What can be asked for here."""
    types = catalog.wire_entries()
    settings = parts.settings
    return GenerationCapabilities.model_validate(
        {
            "supported_models": list(types),
            "models_info": {
                name: ModelInfo(
                    id=entry.id,
                    title=entry.title,
                    good_at=entry.good_at,
                    ready=catalog.presence(entry).ready,
                    demo=entry.demo,
                    inputs=inputs_of(entry),
                    resolutions=resolutions_of([entry]),
                    frames=entry.defaults.frames,
                    fps=entry.defaults.fps,
                    steps=entry.defaults.steps,
                )
                for name, entry in types.items()
            },
            "supported_resolutions": resolutions_of(types.values()),
            "supported_formats": ["mp4", "png"],
            "max_steps": max(entry.limits.max_steps for entry in types.values()),
            "min_steps": 1,
            "default_steps": types["T2V-A14B"].defaults.steps,
            "max_prompt_length": settings.max_prompt_bytes,
            "max_image_size_mb": round(settings.max_image_bytes / 2**20, 1),
            "supported_image_formats": ["png", "jpeg", "webp"],
            "features": Features(
                negative_prompt=True,
                seed=True,
                loras=any(entry.takes_loras for entry in types.values()),
                end_image=any(entry.takes_end_image for entry in types.values()),
                batches=True,
                plan=True,
                resume=True,
            ),
        }
    )


@router.get("/{task_id}")
def get_generation(task_id: TaskIdPath, parts: PartsDep) -> TaskView:
    """The same as /queue/{id}."""
    return task_view(parts, parts.job(task_id))


@router.delete("/{task_id}")
def remove_generation(task_id: TaskIdPath, parts: PartsDep) -> TaskDone:
    """Cancel a job that has not ended, delete one that has."""
    return cancel_or_remove(parts, task_id)
