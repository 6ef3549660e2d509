"""Small pictures of a video: while it is made, and when it is done."""

import base64
import io
import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from wanvideo.jobs.folder import sync
from wanvideo.media.output import writing
from wanvideo.request import Preview

THUMBNAIL: Final = (320, 180)  # pixels at most
_SHOWN: Final = 4  # frames of a preview


def preview_strip(preview: Preview) -> dict[str, Any]:
    """Frames of a preview side by side, as JPEG in base64. Width and height are those of one."""
    frames = np.frombuffer(preview.rgb, np.uint8).reshape(preview.frames, preview.height, preview.width, 3)
    chosen = frames[:: max(1, -(-preview.frames // _SHOWN))]
    data = io.BytesIO()
    Image.fromarray(np.concatenate(list(chosen), axis=1)).save(data, "JPEG", quality=80)
    jpeg = base64.b64encode(data.getvalue()).decode("ascii")
    return {"jpeg": jpeg, "width": preview.width, "height": preview.height, "frames": len(chosen)}


def save_thumbnail(frame: npt.NDArray[np.uint8], path: Path) -> None:
    """A frame [H, W, 3] as JPEG, whole or not at all. Raises DiskFull or OutputNotWritable."""
    picture = Image.fromarray(frame)
    picture.thumbnail(THUMBNAIL)
    part = path.with_suffix(".part")
    with writing(path):
        try:
            with part.open("wb") as file:
                picture.save(file, "JPEG", quality=85)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            sync(path.parent)
        finally:
            part.unlink(missing_ok=True)
