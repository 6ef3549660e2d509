"""Finished videos: /outputs."""

import re
from pathlib import Path as FilePath
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from anyio import to_thread
from fastapi import Query, Request
from fastapi.responses import FileResponse, Response, StreamingResponse

from wanvideo.jobs.files import Files
from wanvideo.jobs.job import State
from wanvideo.jobs.queries import Filter
from wanvideo.server.deps import PartsDep
from wanvideo.server.errors import Gone, NotFound, problem_for, response
from wanvideo.server.forms import form_of
from wanvideo.server.job_views import plain, video_view
from wanvideo.server.model_views import MB
from wanvideo.server.parts import Parts
from wanvideo.server.receiving import one_file
from wanvideo.server.responses import group
from wanvideo.server.routes.queue import TaskIdPath
from wanvideo.server.schemas.common import Message
from wanvideo.server.schemas.outputs import MediaForm, MediaView, SettingsView, Videos, VideoView
from wanvideo.server.submission import check_disk, settings_to_submit

router = group("outputs", "/outputs")

_ONE_RANGE: Final = re.compile(r"bytes=(?P<first>[0-9]{0,18})-(?P<last>[0-9]{0,18})")
_VIDEO: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"video/mp4": {}}},
    206: {"description": "A part of the file."},
}


@router.get("")
def list_outputs(
    parts: PartsDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 500,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    model: Annotated[str | None, Query(max_length=100, description="Its id.")] = None,
    favourite: bool | None = None,
    text: Annotated[str | None, Query(max_length=200, description="In the prompt.")] = None,
) -> Videos:
    """The newest first."""
    which = Filter(states=frozenset({State.SUCCEEDED}), model=model, favourite=favourite, text=text)
    page = parts.queue.page(which, limit=limit, cursor=cursor)
    return Videos(
        videos=[video_view(parts, job) for job in page.jobs],
        total_count=parts.queue.counts(which)[State.SUCCEEDED],
        total_size_mb=round(parts.output_bytes() / MB, 3),
        next_cursor=page.next,
    )


@router.post("/settings", openapi_extra=form_of(MediaForm, "file"))
async def read_settings_of_file(request: Request, parts: PartsDep) -> MediaView:
    """What a file was made with, read in a process of its own; the file is not kept."""
    check_disk(parts)
    async with one_file(request, parts.folder.incoming, parts.settings.max_video_bytes) as upload:
        found = await to_thread.run_sync(parts.sandbox.read_media, upload.path)
    settings = found.get("settings")
    return MediaView(**{**found, "request": settings_to_submit(settings) if isinstance(settings, dict) else None})


@router.get("/{task_id}")
def get_output(task_id: TaskIdPath, parts: PartsDep) -> VideoView:
    return video_view(parts, parts.finished_job(task_id))


@router.get("/{task_id}/settings")
def get_output_settings(task_id: TaskIdPath, parts: PartsDep) -> SettingsView:
    """What a video was made with, and the request that makes it again."""
    settings = (parts.finished_job(task_id).result or {}).get("settings")
    if not isinstance(settings, dict):
        return SettingsView()
    return SettingsView(settings=plain(settings), request=settings_to_submit(settings))


@router.get("/{task_id}/download", response_class=FileResponse, responses=_VIDEO)
def download_output(task_id: TaskIdPath, parts: PartsDep, request: Request) -> Response:
    """The file, also in parts (Range)."""
    return file_response(parts, task_id, request, as_attachment=request.query_params.get("attachment") is not None)


@router.get("/{task_id}/video", response_class=FileResponse, responses=_VIDEO)
def get_output_video(task_id: TaskIdPath, parts: PartsDep, request: Request) -> Response:
    """The same as /outputs/{id}/download."""
    return file_response(parts, task_id, request, as_attachment=False)


@router.get("/{task_id}/thumbnail", response_class=FileResponse, responses={200: {"content": {"image/jpeg": {}}}})
def get_output_thumbnail(task_id: TaskIdPath, parts: PartsDep) -> FileResponse:
    return thumbnail_response(parts, parts.finished_job(task_id).id)


@router.delete("/{task_id}")
def remove_output(task_id: TaskIdPath, parts: PartsDep) -> Message:
    """Delete a video, its picture and its job."""
    parts.queue.delete(parts.finished_job(task_id).id)
    return Message(message="the video is deleted")


# --- files -----------------------------------------------------------------------------------------------------------


def file_response(parts: Parts, task_id: str, request: Request, *, as_attachment: bool) -> Response:
    """The file of a finished job. Raises NotFound, Gone."""
    job = parts.finished_job(task_id)
    path, files = parts.output_of(job), parts.queue.job_files
    here = is_plain_file(path)
    size = path.stat().st_size if here else files.video_bytes(path.name)
    if size is None:
        raise Gone("the file of this video was deleted: run the job again with its seed to make the same one")
    header = request.headers.get("range")
    if header is not None and not _is_range(header, size):
        refused = problem_for(416, "one range of bytes can be asked for", "RANGE_NOT_SATISFIABLE")
        return response(416, refused, {"Content-Range": f"bytes */{size}"})
    kind = "image/png" if path.suffix == ".png" else "video/mp4"
    disposition: Literal["attachment", "inline"] = "attachment" if as_attachment else "inline"
    if not here:
        return _from_storage(files, path.name, size, header, kind, disposition)
    return FileResponse(
        path,
        media_type=kind,
        filename=path.name,
        content_disposition_type=disposition,
        headers={"Cache-Control": "private, max-age=86400"},
    )


def _from_storage(files: Files, name: str, size: int, header: str | None, kind: str, disposition: str) -> Response:
    """Of a video that another machine has made, as FileResponse answers: all of it, or one range."""
    first, last = (0, size - 1) if header is None else _ends(header, size)
    headers = {
        "Cache-Control": "private, max-age=86400",
        "Accept-Ranges": "bytes",
        "Content-Length": str(last - first + 1),
        "Content-Disposition": f"{disposition}; filename*=utf-8''{quote(name)}",
    }
    if header is not None:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    blocks = files.read_video(name, first, last - first + 1)
    return StreamingResponse(blocks, 200 if header is None else 206, headers, media_type=kind)


def _ends(header: str, size: int) -> tuple[int, int]:
    """The first and the last byte of a range that there is."""
    found = _ONE_RANGE.fullmatch(header.strip().lower().replace(" ", ""))
    assert found is not None, "_is_range has looked at it"
    first, last = (int(text) if text else None for text in found.groups())
    if first is None:
        return max(0, size - (last or 0)), size - 1
    return first, size - 1 if last is None else min(last, size - 1)


def _is_range(header: str, size: int) -> bool:
    """Whether it asks for one range of bytes, of which at least one is there."""
    found = _ONE_RANGE.fullmatch(header.strip().lower().replace(" ", ""))
    if found is None:
        return False
    first, last = (int(text) if text else None for text in found.groups())
    if first is None:  # the last bytes, so many
        return bool(last)
    return first < size and (last is None or first <= last)


def thumbnail_response(parts: Parts, task_id: str) -> FileResponse:
    """The picture of a video. Raises NotFound."""
    path = parts.queue.job_files.thumbnail(task_id)
    if not is_plain_file(path):
        raise NotFound("there is no such picture")
    return FileResponse(path, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400"})


def is_plain_file(path: FilePath) -> bool:
    """A link that somebody put there is not followed."""
    return path.is_file() and not path.is_symlink()
