"""The same jobs in the words of OpenAI's video API: /v1/videos and /v1/models."""

import base64
import binascii
import io
from collections.abc import Mapping
from typing import Annotated, BinaryIO, Final, Literal

from anyio import to_thread
from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.responses import FileResponse, Response
from starlette.datastructures import UploadFile

from wanvideo.errors import InvalidImage, InvalidRequest
from wanvideo.jobs.job import Job, State
from wanvideo.jobs.queue import changed
from wanvideo.server.deps import CatalogDep, PartsDep
from wanvideo.server.forms import body_of, either, parsed
from wanvideo.server.job_views import failure_view, params_of
from wanvideo.server.model_views import inputs_of, resolutions_of
from wanvideo.server.parts import Parts
from wanvideo.server.responses import SAID, errors_of
from wanvideo.server.routes.outputs import file_response, thumbnail_response
from wanvideo.server.schemas.generation import Submit
from wanvideo.server.schemas.videos import (
    CreateVideo,
    ErrorEnvelope,
    ModelList,
    ModelResource,
    RemixVideo,
    VideoDeleted,
    VideoError,
    VideoList,
    VideoResource,
    VideoStatus,
)
from wanvideo.server.submission import check_disk, check_text, prepare, resolve, share_loras

router = APIRouter(prefix="/v1", tags=["openai"], responses=errors_of(ErrorEnvelope))

PREFIX: Final = "video_"
POLL_MS: Final = 500
_ID: Final = r"^(video_)?[0-9a-z]{8,40}$"
VideoIdPath = Annotated[str, Path(pattern=_ID, description="Of a video.")]
IdempotencyKey = Annotated[str | None, Header(max_length=200)]
_STATUS: Final[Mapping[State, VideoStatus]] = {
    State.QUEUED: "queued",
    State.HELD: "queued",
    State.RUNNING: "in_progress",
    State.SUCCEEDED: "completed",
    State.FAILED: "failed",
    State.CANCELLED: "failed",
}


@router.post("/videos", openapi_extra=either(CreateVideo, ("input_reference",)))
async def create_video(request: Request, parts: PartsDep, idempotency_key: IdempotencyKey = None) -> VideoResource:
    """Make a video. Size and length become what the model can do, and the answer says which."""
    async with body_of(request, max_files=1) as body:
        picture = body.files.get("input_reference")
        if len(body.files) > (picture is not None):
            raise InvalidRequest("the only file of a request is input_reference")
        asked = parsed(CreateVideo, body.values)
        return await to_thread.run_sync(_create, parts, asked, picture, idempotency_key)


def _create(parts: Parts, asked: CreateVideo, picture: UploadFile | None, key: str | None) -> VideoResource:
    size = asked.size
    if asked.width is not None and asked.height is not None:
        size = f"{asked.width}x{asked.height}"
    submit = parsed(
        Submit,
        {
            "model_type": asked.model,
            "prompt": asked.prompt,
            "resolution": size,
            "seconds": None if asked.num_frames is not None else asked.seconds,
            "frames": asked.num_frames,
            "steps": asked.num_inference_steps,
            "guidance": asked.guidance_scale,
            "guidance_low": asked.guidance_scale_2,
            "shift": asked.flow_shift,
            "seed": asked.seed,
            "negative_prompt": asked.negative_prompt,
            "tier": asked.tier,
            "loras": asked.lora,
        },
    )
    prepared = prepare(parts, submit, _picture(parts, asked, picture), None)
    share_loras(parts, prepared.spec.request)
    return video_resource(parts, parts.queue.submit(prepared.spec, key=key)[0])


def _picture(parts: Parts, asked: CreateVideo, upload: UploadFile | None) -> str | None:
    """The name of the stored first frame. Nothing is fetched for a client: a URL must hold the picture itself."""
    given: BinaryIO
    reference = asked.input_reference or {}
    url = asked.input_reference_url or reference.get("image_url")
    if upload is not None and upload.size:
        given = upload.file
    elif isinstance(url, str):
        given = io.BytesIO(_data_of(url))
    elif reference:
        raise InvalidImage("input_reference must be a file, or hold an image_url with a data URL")
    else:
        return None
    return parts.inputs.keep(given, parts.settings.max_image_bytes)


def _data_of(url: str) -> bytes:
    head, comma, data = url.partition(",")
    if not (comma and head.startswith("data:image/") and head.endswith(";base64")):
        raise InvalidImage("image_url must be a data URL (data:image/png;base64,...): no other address is fetched")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidImage("image_url is no valid base64") from None


@router.get("/videos")
def list_videos(
    parts: PartsDep,
    after: Annotated[
        str | None, Query(pattern=r"^(video_)?[0-9a-z]{8,40}$", description="Id of the last one seen.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> VideoList:
    """The newest first, or the oldest."""
    page = parts.queue.after(None if after is None else _job_id(after), limit=limit, oldest_first=order == "asc")
    data = [video_resource(parts, job) for job in page.jobs]
    return VideoList(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=page.next is not None,
    )


@router.get("/videos/{video_id}")
def get_video(video_id: VideoIdPath, parts: PartsDep, response: Response) -> VideoResource:
    job = parts.job(_job_id(video_id))
    if not job.done:
        response.headers["openai-poll-after-ms"] = str(POLL_MS)
    return video_resource(parts, job)


@router.get(
    "/videos/{video_id}/content",
    response_class=FileResponse,
    responses={
        200: {"content": {"video/mp4": {}, "image/webp": {}, "image/jpeg": {}}},
        206: {"description": "A part."},
    },
)
def get_video_content(
    video_id: VideoIdPath,
    parts: PartsDep,
    request: Request,
    variant: Literal["video", "thumbnail"] = "video",
) -> Response:
    """The file, also in parts (Range)."""
    job = parts.finished_job(_job_id(video_id))
    if variant == "video":
        return file_response(parts, job.id, request, as_attachment=False)
    return thumbnail_response(parts, job.id)


@router.delete("/videos/{video_id}")
def delete_video(video_id: VideoIdPath, parts: PartsDep) -> VideoDeleted:
    """Remove it with its file. What is still being made is given up after the step at hand, and nothing of it stays."""
    return VideoDeleted(id=_video_id(parts.queue.discard(_job_id(video_id))))


@router.post("/videos/{video_id}/remix")
def remix_video(
    video_id: VideoIdPath, body: RemixVideo, parts: PartsDep, idempotency_key: IdempotencyKey = None
) -> VideoResource:
    """The same settings and seed with another prompt."""
    job = parts.job(_job_id(video_id))
    check_text("prompt", body.prompt, parts.settings.max_prompt_bytes)
    changes = {"request": {"prompt": body.prompt.strip()}}
    entry = parts.catalog.entry(job.model)
    if entry is not None:
        resolve(parts, entry, changed(job.spec, changes).request)
    check_disk(parts)
    return video_resource(parts, parts.queue.rerun(job.id, changes, key=idempotency_key))


@router.get("/models", responses={500: {"model": ErrorEnvelope, "description": SAID[500]}})
def list_openai_models(catalog: CatalogDep) -> ModelList:
    presences = catalog.presences()
    return ModelList(
        data=[
            ModelResource(
                id=entry.id,
                created=0,
                owned_by=entry.family,
                ready=presences[entry.id].ready,
                demo=entry.demo,
                inputs=inputs_of(entry),
                resolutions=resolutions_of([entry]),
                frames=entry.defaults.frames,
                fps=entry.defaults.fps,
            )
            for entry in catalog.entries
        ]
    )


# --- jobs as videos --------------------------------------------------------------------------------------------------


def video_resource(parts: Parts, job: Job) -> VideoResource:
    """What will be made, in the model's own sizes; once it is made, what was."""
    result = job.result or {}
    params = params_of(result)
    if params:
        width, height, frames = params["width"], params["height"], params["frames"]
        fps = float(params["fps"])
    else:
        width, height, frames, fps = _expected(parts, job)
    return VideoResource(
        id=_video_id(job),
        model=job.model,
        status=_STATUS[job.state],
        progress=100 if job.state is State.SUCCEEDED else min(99, max(0, job.progress.percent)),
        created_at=int(job.created),
        completed_at=int(job.finished) if job.state is State.SUCCEEDED and job.finished is not None else None,
        prompt=job.spec.request.prompt,
        size=f"{width}x{height}",
        seconds=f"{round(frames / fps, 2):g}" if fps else "0",
        remixed_from_video_id=None if job.origin is None else f"{PREFIX}{job.origin}",
        error=_error(job),
    )


def _expected(parts: Parts, job: Job) -> tuple[int, int, int, float]:
    entry = parts.catalog.entry(job.model)
    request = job.spec.request
    if entry is None:
        return request.width or 0, request.height or 0, request.frames or 0, 0.0
    try:
        resolved = resolve(parts, entry, request)
    except InvalidRequest:  # a picture or a LoRA is gone since
        return entry.defaults.width, entry.defaults.height, entry.defaults.frames, float(entry.defaults.fps)
    return resolved.width, resolved.height, resolved.frames, float(resolved.fps)


def _error(job: Job) -> VideoError | None:
    if job.state is State.CANCELLED:
        return VideoError(code="cancelled", message="the video was cancelled")
    if job.failure is None:
        return None
    view = failure_view(job)
    return VideoError(code=view.code, message=view.message)


def _video_id(job: Job) -> str:
    return f"{PREFIX}{job.id}"


def _job_id(video_id: str) -> str:
    return video_id.removeprefix(PREFIX)
