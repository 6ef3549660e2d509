"""Finished videos."""

from pydantic import Field

from wanvideo.jobs.queries import MOST_COUNTED
from wanvideo.server.schemas.common import JsonObject, LenientBody, Time, Wire


class MediaForm(LenientBody):
    """An MP4, PNG, JPEG or WebP file."""


class VideoView(Wire):
    id: str
    filename: str
    file_path: str
    output_path: str
    thumbnail_path: str | None = None
    prompt: str
    model_type: str
    resolution: str
    duration_seconds: float | None = None
    file_size_mb: float
    created_at: Time
    generation_time_minutes: float | None = None
    thumbnail_url: str | None = None
    download_url: str
    video_url: str
    model: str
    demo: bool
    frames: int
    fps: float
    width: int
    height: int
    seed: int | None = None
    steps: int | None = None
    sha256: str
    favourite: bool
    expires_at: Time | None = Field(default=None, description="When it will be removed, unless it becomes a favourite.")
    replaces: str | None = Field(default=None, description="The model that was asked for, if another one made it.")
    exists: bool = Field(description="False: the file was deleted by somebody else.")


class Videos(Wire):
    videos: list[VideoView]
    total_count: int = Field(
        description=f"Of a model, of favourites, or with a text in the prompt, at most {MOST_COUNTED} are counted."
    )
    total_size_mb: float
    next_cursor: str | None = None


class SettingsView(Wire):
    """What a video was made with, and the request that would make it again."""

    settings: JsonObject | None = None
    request: JsonObject | None = Field(default=None, description="To be sent to /generation/submit.")


class MediaView(SettingsView):
    """What a file is, and the settings inside."""

    width: int
    height: int
    frames: int
    fps: float | None = None
    seconds: float | None = None
    codec: str
