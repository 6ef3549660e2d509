"""From a request to frames, as events."""

from collections.abc import Generator
from time import monotonic
from typing import TYPE_CHECKING

from toy_family.plasma import Array, refine, to_rgb, waves_of
from wanvideo.errors import IncompatibleState
from wanvideo.families.protocol import (
    Event,
    Frames,
    GenerationRequest,
    ModelEntry,
    Phase,
    Preview,
    Progress,
    Resolved,
    ResolvedRequest,
    VideoPipeline,
    adapt,
)

if TYPE_CHECKING:
    from wanvideo import Checkpoint

CHUNK = 8  # frames that are finished at once


class ToyPipeline(VideoPipeline):
    """Draws plasma. There is nothing to load, and so nothing to free."""

    def __init__(self, spec: ModelEntry) -> None:
        self.spec = spec

    def close(self) -> None:
        pass

    def generate(
        self, request: GenerationRequest, *, resume: "Checkpoint | None" = None, previews: bool = False
    ) -> Generator[Event, None, None]:
        if resume is not None:
            raise IncompatibleState(
                f"{self.spec.id} draws in seconds and keeps no states: start again without --resume"
            )
        return self._events(adapt(self.spec, request, catalog=[self.spec]), previews)

    def _events(self, request: ResolvedRequest, previews: bool) -> Generator[Event, None, None]:
        yield Resolved(request=request)

        began, steps = monotonic(), request.steps
        waves = waves_of(request.prompt, request.seed, steps)
        yield Progress(phase=Phase.DENOISE, step=0, steps=steps, seconds=0.0)
        fields = refine(waves, request.frames, request.fps, request.width, request.height)
        for step, field in enumerate(fields, start=1):
            seconds, preview = monotonic() - began, _preview(field) if previews else None
            yield Progress(phase=Phase.DENOISE, step=step, steps=steps, seconds=seconds, preview=preview)

        began = monotonic()
        yield Progress(phase=Phase.DECODE, step=0, steps=request.frames, seconds=0.0)
        for index in range(0, request.frames, CHUNK):
            frames = to_rgb(field[index : index + CHUNK], contrast=request.guidance_high)
            yield Frames(index=index, frames=frames)
            done = index + len(frames)
            yield Progress(phase=Phase.DECODE, step=done, steps=request.frames, seconds=monotonic() - began)


def _preview(field: Array) -> Preview:
    """Every fourth pixel of every eighth frame."""
    frames = to_rgb(field[::8, ::4, ::4], contrast=1)
    return Preview(width=frames.shape[2], height=frames.shape[1], frames=len(frames), rgb=frames.tobytes())
