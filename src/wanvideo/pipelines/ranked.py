"""A pipeline whose work is done by several processes, one for each GPU, and which speaks for them."""

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Final

from wanvideo.errors import InvalidRequest, WanVideoError
from wanvideo.parallel.group import RankGroup, python
from wanvideo.parallel.watch import PATIENCE
from wanvideo.parallel.wire import Message
from wanvideo.pipelines.adapt import adapt
from wanvideo.pipelines.base import VideoPipeline
from wanvideo.pipelines.device import pick_device
from wanvideo.pipelines.events import Event
from wanvideo.pipelines.pipeline import Pipeline
from wanvideo.pipelines.recipe import Recipe
from wanvideo.pipelines.state import Checkpoint
from wanvideo.pipelines.wire import read_event, request_message, to_json
from wanvideo.request import GenerationRequest

COMMAND: Final = python("wanvideo.pipelines.rank")
MOST: Final = 16  # GPUs of a host
AHEAD: Final = 2  # events that the ranks may be ahead of whoever asks for them: a step, or a chunk of frames


def ranked(recipe: Recipe, device: str | None, gpus: int, patience: float = PATIENCE) -> "RankedPipeline":
    """On the first `gpus` GPUs, or in so many processes on the CPU. Raises InvalidRequest for what cannot be."""
    if not 1 <= gpus <= MOST:
        raise InvalidRequest(f"gpus is {gpus}: 1 to {MOST} can make a video together")
    first = pick_device(device)
    if first.type == "cpu":
        return RankedPipeline(recipe, ["cpu"] * gpus, patience=patience)
    if device is not None and ":" in device:
        raise InvalidRequest(f"{gpus} GPUs are the first ones: use device cuda, or CUDA_VISIBLE_DEVICES for others")
    return ranked_on(recipe, [f"cuda:{index}" for index in range(gpus)], patience)


def ranked_on(recipe: Recipe, devices: Sequence[str], patience: float = PATIENCE) -> "RankedPipeline":
    """On just these devices, with a process for each. Raises InvalidRequest for what cannot be."""
    if not 1 <= len(devices) <= MOST:
        raise InvalidRequest(f"{len(devices)} devices are given: 1 to {MOST} can make a video together")
    found = [str(pick_device(device)) for device in devices]
    Pipeline(**recipe.arguments, device=found[0])  # refuses what it cannot do, and loads nothing
    return RankedPipeline(recipe, found, patience=patience)


class RankedPipeline(VideoPipeline):
    """Makes videos as `Pipeline` does, with the same results, on several devices.

    The processes are started when they are first needed, and stay until `close`. If one of them fails, all are ended;
    the next video, or the rest of this one from its checkpoint, is made by new ones.
    """

    def __init__(
        self,
        recipe: Recipe,
        devices: Sequence[str],
        *,
        patience: float = PATIENCE,
        command: Sequence[str] = COMMAND,
    ) -> None:
        """devices: one for each rank. patience: seconds that a rank may be behind others without going on; more where
        steps take long.
        """
        self.spec, self.recipe, self.devices = recipe.spec, recipe, tuple(devices)
        self.patience, self.command = patience, tuple(command)
        self._group: RankGroup | None = None
        self._busy = 0  # ranks that have not said that they ended the last run

    @property
    def pids(self) -> list[int]:
        """Of the ranks that run."""
        return [] if self._group is None else self._group.pids

    def close(self) -> None:
        """End the processes. They are started again if the pipeline is used again."""
        if self._group is not None:
            self._group.close()
            self._group = None

    def generate(
        self, request: GenerationRequest, *, resume: Checkpoint | None = None, previews: bool = False
    ) -> Generator[Event, None, None]:
        """As `Pipeline.generate`. While it runs, also raises RankFailed."""
        if resume is not None and request.seed is None and isinstance(seed := resume.fingerprint.get("seed"), int):
            request = replace(request, seed=seed)
        resolved = adapt(self.spec, request, library=self.recipe.library, preset=self.recipe.loras)
        # All ranks have to draw the same seed.
        request = replace(request, seed=resolved.seed)
        return self._events(request, request_message(request, resume, previews))

    def _events(self, request: GenerationRequest, order: Message) -> Generator[Event, None, None]:
        group = self._ready()
        group.begin_anew()
        group.tell("run", {**order.values, "allowed": AHEAD}, order.blobs)
        self._busy = len(self.devices)
        given = 0
        try:
            while (message := self._hear(group)) is not None:
                given += 1
                group.tell("on", {"allowed": given + AHEAD})
                yield read_event(message, request)
        finally:
            if self._busy:
                group.tell("stop")

    def _ready(self) -> RankGroup:
        """A group that has nothing to do."""
        while self._busy and self._group is not None:
            self._hear(self._group)
        if self._group is None:
            begin = {"recipe": to_json(Recipe, self.recipe)}
            self._group = RankGroup(self.command, self.devices, begin, patience=self.patience)
        return self._group

    def _hear(self, group: RankGroup) -> Message | None:
        """The next event; None: all have ended the run."""
        while self._busy:
            try:
                _, message = group.hear()
            except WanVideoError:
                self._group, self._busy = None, 0
                raise
            if message.kind != "ended":
                return message
            self._busy -= 1
        return None
