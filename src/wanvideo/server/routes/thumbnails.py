"""/thumbnails/<name>, where existing clients look for the pictures of videos."""

from typing import Annotated, Final

from fastapi import Path
from fastapi.responses import FileResponse

from wanvideo.server.deps import PartsDep
from wanvideo.server.errors import NotFound
from wanvideo.server.responses import group

router = group("outputs")

SUFFIX: Final = "_thumb.jpg"


@router.get(
    "/thumbnails/{name}",
    response_class=FileResponse,
    responses={200: {"content": {"image/jpeg": {}}}},
)
def get_thumbnail_by_name(
    name: Annotated[str, Path(pattern=r"^[0-9a-z]{8,40}_thumb\.jpg$")], parts: PartsDep
) -> FileResponse:
    """The picture of a video, by the name in `thumbnail_path`."""
    path = parts.folder.thumbnail(name.removesuffix(SUFFIX))
    if not path.is_file():
        raise NotFound("there is no such picture")
    return FileResponse(path, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400"})
