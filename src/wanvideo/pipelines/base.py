"""What every pipeline does, whatever its family. No torch."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from wanvideo.pipelines.events import Adjusted, Event, Frames, Resolved
from wanvideo.pipelines.settings import settings
from wanvideo.request import GenerationRequest, Phase, Progress, ResolvedRequest
from wanvideo.weights.entry import ModelEntry

if TYPE_CHECKING:
    import numpy.typing as npt

    from wanvideo.media.video import Video
    from wanvideo.pipelines.state import Checkpoint


class VideoPipeline(ABC):
    """One model, ready to make videos. As a context manager, it gives its memory back at the end."""

    spec: ModelEntry  # of the model, with what its files say

    @abstractmethod
    def generate(
        self, request: GenerationRequest, *, resume: "Checkpoint | None" = None, previews: bool = False
    ) -> Generator[Event, None, None]:
        """Make a video step by step.

        Yields `Resolved` once, before anything is loaded; `Progress` at the beginning of a phase and after each of its
        steps; a `Checkpoint` after every denoising step, if the family can go on from there; `Adjusted` if something
        has to be done otherwise on the way; and `Frames` in their order, each once. Closing the generator cancels the
        run.

        resume: a checkpoint of a run with the same settings; its seed is taken if the request has none.
        previews: with a small picture of the current guess after each denoising step, if the family can.

        Raises InvalidRequest and its kinds at once, before the first event is asked for.
        """

    @abstractmethod
    def close(self) -> None:
        """Free what was loaded. It is loaded again if the pipeline is used again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __call__(
        self, request: GenerationRequest, *, on_progress: Callable[[Progress], object] | None = None
    ) -> "Video":
        """Make a video and hold it in memory."""
        import numpy as np  # both here: catalogs and the command line import this module, and need neither

        from wanvideo.media.video import Video

        resolved: ResolvedRequest | None = None
        timing: dict[Phase, float] = {}
        reused = 0
        chunks: list[npt.NDArray[np.uint8]] = []
        for event in self.generate(request):
            if isinstance(event, Resolved):
                resolved = event.request
            elif isinstance(event, Adjusted):
                assert resolved is not None
                resolved = resolved.adjusted(event.adjustment)
            elif isinstance(event, Frames):
                chunks.append(event.frames)
            elif isinstance(event, Progress):
                timing[event.phase] = event.seconds
                reused = max(reused, event.reused)
                if on_progress is not None:
                    on_progress(event)
        assert resolved is not None
        return Video(
            frames=np.concatenate(chunks), fps=resolved.fps, settings=settings(resolved, timing, reused=reused)
        )
