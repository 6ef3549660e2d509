"""What a video or picture file is, and what it was made with."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wanvideo.errors import InvalidImage, InvalidMedia
from wanvideo.media import settings as settings_text
from wanvideo.media.image import READABLE, decoding, open_image
from wanvideo.media.kinds import MP4, file_kind
from wanvideo.media.still import picture_comment
from wanvideo.media.video import open_video

if TYPE_CHECKING:
    from av.video.stream import VideoStream


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaInfo:
    """Facts about one file. `settings` is None unless the comment in the file is a JSON object."""

    path: Path
    width: int  # pixels
    height: int
    frames: int
    fps: float | None  # None for a picture
    seconds: float | None
    codec: str  # h264, png, jpeg, webp, ...
    pix_fmt: str | None  # yuv420p, ...; of a picture Pillow's mode
    comment: str | None  # as it stands in the file
    settings: Mapping[str, object] | None


def read_settings(path: str | os.PathLike[str]) -> MediaInfo:
    """Read an MP4, PNG, JPEG or WebP file, ours or another program's. Raises `InvalidMedia`."""
    path = Path(path)
    kind = file_kind(path, InvalidMedia)
    if kind == MP4:
        return _video(path)
    if kind in READABLE:
        return _picture(path, kind)
    raise InvalidMedia(f"{path} is {kind}: give an MP4, PNG, JPEG or WebP file", facts={"path": str(path)})


def _video(path: Path) -> MediaInfo:
    with open_video(path) as (container, stream):
        frames = sum(packet.size > 0 for packet in container.demux(stream))
        if not frames:
            raise InvalidMedia(f"{path} holds no frames", facts={"path": str(path)})
        comment = container.metadata.get("comment")
        return MediaInfo(
            path=path,
            width=stream.width,
            height=stream.height,
            frames=frames,
            fps=float(stream.average_rate) if stream.average_rate else None,
            seconds=_seconds(stream),
            codec=stream.codec_context.codec.canonical_name,
            pix_fmt=stream.pix_fmt,
            comment=comment,
            settings=settings_text.from_json(comment),
        )


def _seconds(stream: "VideoStream") -> float | None:
    if stream.duration is None or stream.time_base is None:
        return None
    return float(stream.duration * stream.time_base)


def _picture(path: Path, kind: str) -> MediaInfo:
    try:
        with decoding(str(path), kind), open_image(path) as image:
            image.load()
            comment = picture_comment(image)
            return MediaInfo(
                path=path,
                width=image.width,
                height=image.height,
                frames=1,
                fps=None,
                seconds=None,
                codec=str(image.format).lower(),
                pix_fmt=image.mode,
                comment=comment,
                settings=settings_text.from_json(comment),
            )
    except InvalidImage as reason:
        raise InvalidMedia(reason.message, facts=reason.facts) from reason
