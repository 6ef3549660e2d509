"""/thumbnails/<name>, where existing clients look for the pictures of videos."""

from typing import Annotated, Final

from fastapi import Path
from fastapi.responses import FileResponse

from wanvideo.server.deps import PartsDep
from wanvideo.server.responses import group
from wanvideo.server.routes.outputs import thumbnail_response

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
    return thumbnail_response(parts, name.removesuffix(SUFFIX))
