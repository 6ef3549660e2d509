"""Pictures that videos begin or end with: /inputs."""

from typing import Annotated

from fastapi import File, Path, UploadFile
from fastapi.responses import FileResponse

from wanvideo.server.deps import PartsDep
from wanvideo.server.errors import NotFound
from wanvideo.server.inputs import NAME
from wanvideo.server.responses import group
from wanvideo.server.routes.outputs import is_plain_file
from wanvideo.server.schemas.generation import PictureView
from wanvideo.server.submission import check_disk

router = group("inputs", "/inputs")


@router.post("")
def upload_picture(
    file: Annotated[UploadFile, File(description="A PNG, JPEG or WebP.")], parts: PartsDep
) -> PictureView:
    """Store a picture. Its name is what `image_name` and `end_image_name` of a request mean."""
    check_disk(parts)
    name = parts.inputs.keep(file.file, parts.settings.max_image_bytes)
    width, height = parts.inputs.size(name)
    return PictureView(name=name, width=width, height=height, url=f"/api/v1/inputs/{name}")


@router.get("/{name}", response_class=FileResponse, responses={200: {"content": {"image/png": {}}}})
def get_picture(name: Annotated[str, Path(max_length=80)], parts: PartsDep) -> FileResponse:
    """A stored picture, as a PNG."""
    if not NAME.fullmatch(name) or not is_plain_file(path := parts.queue.job_files.picture(name)):
        raise NotFound("there is no such picture")
    return FileResponse(path, media_type="image/png", headers={"Cache-Control": "private, max-age=86400"})
