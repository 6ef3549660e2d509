"""From a request to a file: frames stream into the encoder while the autoencoder decodes. No torch."""

import os
from collections.abc import Generator
from contextlib import ExitStack, closing
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from wanvideo.media.output import VIDEO_SUFFIXES, check_writable
from wanvideo.media.still import save_image
from wanvideo.media.video import VideoWriter
from wanvideo.pipelines.base import VideoPipeline
from wanvideo.pipelines.events import Adjusted, Event, Frames, Resolved, Saved
from wanvideo.pipelines.settings import settings
from wanvideo.request import GenerationRequest, Phase, Progress

if TYPE_CHECKING:
    from wanvideo.pipelines.state import Checkpoint


def generate_to_file(
    pipeline: VideoPipeline,
    request: GenerationRequest,
    path: str | os.PathLike[str],
    *,
    resume: "Checkpoint | None" = None,
    previews: bool = False,
    embed: bool = True,
) -> Generator[Event, None, None]:
    """The events of `pipeline.generate`, and then `Saved`: the file is at `path`, whole, with its settings inside.

    Without `embed`, the file says nothing of how it was made, and only `Saved` does.

    A single frame may be named .mp4, .png, .jpg or .webp. Closing the generator cancels and leaves no half file.
    Raises OutputNotWritable, DiskFull or EncodeFailed before anything is loaded where that can be known.
    """
    check_writable(path)
    return _write(pipeline.generate(request, resume=resume, previews=previews), Path(path), embed=embed)


def _write(events: Generator[Event, None, None], path: Path, *, embed: bool) -> Generator[Event, None, None]:
    timing: dict[Phase, float] = {}
    writing = 0.0  # seconds
    reused = 0  # steps
    with ExitStack() as open_file, closing(events):
        first = next(events)
        assert isinstance(first, Resolved)
        request = first.request
        check_writable(path, frames=request.frames)
        yield first
        about: dict[str, object] = {}
        writer: VideoWriter | None = None
        for event in events:
            if isinstance(event, Progress):
                timing[event.phase] = event.seconds
                reused = max(reused, event.reused)
            elif isinstance(event, Adjusted):
                request = request.adjusted(event.adjustment)
            elif isinstance(event, Frames):
                began = monotonic()
                if not about:  # decoding has just begun: its time cannot be in the file, nor what changes from here on
                    spent: dict[Phase, float] = {phase: timing[phase] for phase in timing if phase is not Phase.DECODE}
                    about = settings(request, spent, reused=reused)
                inside = about if embed else {}
                if path.suffix.lower() not in VIDEO_SUFFIXES:
                    save_image(path, event.frames[0], inside)
                else:
                    if writer is None:
                        writer = VideoWriter(
                            path, width=request.width, height=request.height, fps=request.fps, settings=inside
                        )
                        open_file.enter_context(writer)
                    writer.write(event.frames)
                writing += monotonic() - began
            yield event
        yield Progress(phase=Phase.WRITE, step=0, steps=1, seconds=writing)
        began = monotonic()
    writing += monotonic() - began
    yield Progress(phase=Phase.WRITE, step=1, steps=1, seconds=writing)
    yield Saved(path=path, settings=about)
