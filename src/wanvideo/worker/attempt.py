"""One start of one job: the request to the pipeline, its events to the server, its state to disk, its file in place."""

import hashlib
import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from wanvideo.errors import (
    Cancelled,
    IncompatibleState,
    InvalidImage,
    ModelCorrupt,
    ModelIncomplete,
    ModelMismatch,
    ModelMissing,
    NonFiniteLatents,
    NotEnoughMemory,
    WanVideoError,
)
from wanvideo.failure import Asked, Failure, Suggestion, code_of, failure_of, without_folders
from wanvideo.families.protocol import InstalledModel
from wanvideo.families.registry import installed_families
from wanvideo.jobs.folder import sync
from wanvideo.jobs.spec import Fallback, JobSpec
from wanvideo.pipelines.base import VideoPipeline
from wanvideo.pipelines.events import Adjusted, Event, Frames, Planned, Resolved, Saved
from wanvideo.pipelines.settings import parameters
from wanvideo.pipelines.state import Checkpoint
from wanvideo.pipelines.write import generate_to_file
from wanvideo.request import Adjustment, GenerationRequest, Phase, Progress, ResolvedRequest, Tier
from wanvideo.weights.giving_up import given_up_when
from wanvideo.weights.registry import known
from wanvideo.worker.candidates import Candidate, candidates
from wanvideo.worker.device import Device
from wanvideo.worker.frames import drop_frames
from wanvideo.worker.pictures import preview_strip, save_thumbnail
from wanvideo.worker.remedies import remedies
from wanvideo.worker.settings import WorkerSettings
from wanvideo.worker.warm import Room, Wanted, WarmModels

log = logging.getLogger(__name__)

STATE: Final = "checkpoint.safetensors"
SAVE_SECONDS: Final = 5.0  # between two saves, unless this many steps were done before:
SAVE_STEPS: Final = 5
PREVIEW_SECONDS: Final = 0.5  # between two previews
_BLACK: Final = 1  # of 255: nothing brighter can be seen
_ANOTHER_MAY: Final = (ModelCorrupt, ModelIncomplete, ModelMismatch, ModelMissing, NotEnoughMemory)
_NEVER: Final = float("-inf")

Tell = Callable[[Mapping[str, Any]], None]


def is_of_one_rank(error: BaseException) -> bool:
    """Whether one of several processes failed, on its own: new ones may go on where they were."""
    return isinstance(error, WanVideoError) and "rank" in error.facts


class Attempt:
    """Runs to its end, or raises what stopped it; then `failure` says what that means."""

    def __init__(
        self,
        order: Mapping[str, Any],
        settings: WorkerSettings,
        device: Device,
        models: WarmModels,
        *,
        tell: Tell,
        cancelled: Callable[[], bool],
    ) -> None:
        """order: a message `run`. Raises InvalidRequest if what it asks for cannot be read."""
        self.job: str = order["job"]
        self.created = datetime.fromtimestamp(order["created"])
        self.folder = Path(order["folder"])
        self.resume: bool = order["resume"]
        self.spec = JobSpec.from_json(order["spec"])
        self.settings, self.device, self.models = settings, device, models
        self.tell, self.cancelled = tell, cancelled
        own = (str(self.device.device), *settings.devices[1:], *order.get("lent", ()))
        self.devices: tuple[str, ...] = own if self.spec.device is None else (self.spec.device,)
        limits = [limit for limit in (self.spec.memory_limit, order.get("memory_limit")) if limit is not None]
        self.memory_limit: int | None = min(limits, default=None)
        self.families = installed_families()
        self.search = self.families.look_in(settings.places)
        self.phase: str | None = None
        self.warnings: list[str] = []
        self._request = self._with_pictures(self.spec.request)
        self._model: InstalledModel | None = None
        self._model_name = self.spec.model
        self._adjustments: tuple[Adjustment, ...] = ()  # what stands in for what
        self._resolved: ResolvedRequest | None = None
        self._seconds: dict[str, float] = {}
        self._shown = self._saved_at = _NEVER
        self._resumed: int | None = None  # the step that is to be gone on from
        self._kept_step = 0
        self._picture: npt.NDArray[np.uint8] | None = None  # for the thumbnail
        self._brightest = 0

    def run(self) -> dict[str, Any]:
        """What the server publishes. Raises Cancelled, and whatever stopped the last model that was tried."""
        self.device.new_peak()
        self._look_for_pictures()
        rest = candidates(self.spec, self.families, self.search)
        candidate: Candidate | None = next(rest)
        while candidate is not None:
            try:
                return self._made_with(candidate)
            except (*_ANOTHER_MAY, NonFiniteLatents) as error:
                following = self._following(candidate, error, rest)
                if following is None:
                    raise
                self._announce(candidate, following, error)
                drop_frames(error)
                candidate = following
        raise AssertionError("the last candidate returns or raises")

    @property
    def kept(self) -> str | None:
        """What need not be done again."""
        if self._kept_step == 0 or self._resolved is None:
            return None
        kept = f"{self._kept_step} of {self._resolved.steps} steps are kept"
        return f"{kept}, and trying again repeats only decoding" if self._only_decoding else kept

    # --- which model -------------------------------------------------------------------------------------------------

    def _following(self, candidate: Candidate, error: WanVideoError, rest: Iterator[Candidate]) -> Candidate | None:
        """What is tried next, if anything may be."""
        if isinstance(error, NonFiniteLatents):
            # With the official kernels it may be right; another model is no answer to that.
            may = candidate.tier is Tier.FAST and self.spec.fallback is not Fallback.OFF
            return replace(candidate, tier=Tier.EXACT) if may else None
        if is_of_one_rank(error):  # other ranks may have better luck with the same
            return None
        return None if self._kept_step else next(rest, None)  # what was done is not thrown away

    def _announce(self, before: Candidate, after: Candidate, error: WanVideoError) -> None:
        reason = self._shown_text(error.message)
        said = {"from": before.name, "to": after.name, "code": code_of(error, self.phase), "reason": reason}
        self.tell({"type": "fallback", **said})
        self.warnings.append(f"made with {after.name} instead of {before.name}: {reason}")
        field = "model" if before.tier is after.tier else "tier"
        change = Adjustment(field=field, asked=before.name, used=after.name, reason=reason)
        self._adjustments += (change,)
        self._forget_state()

    # --- the work ----------------------------------------------------------------------------------------------------

    def _made_with(self, candidate: Candidate) -> dict[str, Any]:
        self._model_name = candidate.entry.id
        self._model = model = candidate.found(self.search)
        spec = self.spec
        wanted = Wanted(
            model=model.entry.id, path=str(model.path), precision=model.precision, tier=candidate.tier,
            memory_limit=self.memory_limit, tile=spec.tile, devices=self.devices,
        )  # fmt: skip
        if len(self.devices) > 1:
            self.tell({"type": "together", "devices": list(self.devices)})
        self._enter(Phase.LOAD)
        resolved = self.families.adapt(model.entry, self._request, library=self.settings.library)
        pipeline = self.models.get(model, wanted, self._needs(model, resolved))
        named = resolved if spec.embed else replace(resolved, prompt="")
        path = self.settings.data.outputs / self.settings.names.file_name(named, self.created, self.job)
        state = self._state()
        announcing = _Announcing(pipeline, self._adjustments)
        try:
            events = generate_to_file(announcing, self._request, path, resume=state, previews=True, embed=spec.embed)
            with closing(events), given_up_when(self.cancelled):
                return self._published(path, self._follow(events))
        except IncompatibleState as error:
            if state is None:
                raise
            self._warn(f"what was saved cannot be used, and the job begins anew: {error.message}")
            self._forget_state()
        return self._made_with(candidate)

    def _needs(self, model: InstalledModel, request: ResolvedRequest) -> Room:
        """What the video takes with all networks in place; weights pass through the computer's memory."""
        together = model.memory(request.width, request.height, request.frames).together
        return Room(device=together, host=model.nbytes if self.device.on_gpu else together)

    def _follow(self, events: Iterator[Event]) -> Saved:
        """Report, save and watch for a cancel, until the file is there."""
        for event in events:
            match event:
                case Resolved(request=request):
                    self._resolved = request
                    self.tell({"type": "resolved", "params": parameters(request)})
                    for change in request.adjustments:
                        self.tell({"type": "adapted", **self._shown_change(change)})
                case Planned(plan=plan):
                    self.tell(
                        {
                            "type": "plan",
                            "seconds": {str(phase.phase): phase.seconds for phase in plan.phases},
                            "peak_bytes": plan.peak_bytes,
                            "host_bytes": plan.host_bytes,
                            "notes": list(plan.notes),
                        }
                    )
                case Adjusted(adjustment=change):
                    self.tell({"type": "adapted", **asdict(change)})
                case Checkpoint():
                    self._keep(event)
                case Progress():
                    self._progress(event)
                case Frames(frames=frames):
                    if self._picture is None:
                        self._picture = frames[0]
                    self._brightest = max(self._brightest, int(frames.max()))
                case Saved():
                    return event
            if self.cancelled():
                raise Cancelled("cancelled")
        raise AssertionError("a run ends with Saved")

    def _enter(self, phase: Phase) -> None:
        self.phase = str(phase)
        self.tell({"type": "phase", "phase": str(phase), "step": 0, "steps": 0})

    def _progress(self, progress: Progress) -> None:
        phase = str(progress.phase)
        if phase == Phase.DENOISE and self._resumed is not None:
            self.tell({"type": "resumed", "step": self._resumed, "steps": progress.steps})
            self._kept_step, self._saved_at, self._resumed = self._resumed, time.monotonic(), None
        kind = "step" if phase == self.phase and progress.step > 0 else "phase"
        self.phase, self._seconds[phase] = phase, progress.seconds
        said = {"type": kind, "phase": phase, "step": progress.step, "steps": progress.steps}
        said |= {"seconds": progress.seconds, "expert": progress.expert, "reused": progress.reused}
        self.tell(said)
        now = time.monotonic()
        if progress.preview is not None and now - self._shown >= PREVIEW_SECONDS:
            self._shown = now
            strip = preview_strip(progress.preview)
            self.tell({"type": "preview", "step": progress.step, "steps": progress.steps, **strip})

    # --- the state on disk -------------------------------------------------------------------------------------------

    @property
    def _only_decoding(self) -> bool:
        return self._resolved is not None and 0 < self._resolved.steps <= self._kept_step

    def _keep(self, checkpoint: Checkpoint) -> None:
        """Save the state when enough would be lost, and always the last one: a failed decode costs only decoding."""
        assert self._resolved is not None
        steps = self._resolved.steps
        due = time.monotonic() - self._saved_at >= SAVE_SECONDS or checkpoint.step - self._kept_step >= SAVE_STEPS
        if not due and checkpoint.step < steps:
            return
        checkpoint.save(self.folder / STATE)
        sync(self.folder)
        self._saved_at, self._kept_step = time.monotonic(), checkpoint.step
        self.tell({"type": "checkpoint", "step": checkpoint.step, "steps": steps})

    def _state(self) -> Checkpoint | None:
        """What an earlier attempt saved, if it can be read."""
        path = self.folder / STATE
        if not self.resume or not path.is_file():
            return None
        try:
            state = Checkpoint.load(path)
        except IncompatibleState as error:
            self._warn(f"what was saved cannot be read, and the job begins anew: {error.message}")
            self._forget_state()
            return None
        self._resumed = state.step
        return state

    def _forget_state(self) -> None:
        (self.folder / STATE).unlink(missing_ok=True)
        self._resumed, self._kept_step, self._saved_at = None, 0, _NEVER

    # --- the result --------------------------------------------------------------------------------------------------

    def _published(self, path: Path, saved: Saved) -> dict[str, Any]:
        sync(path.parent)
        resolved = self._resolved
        assert resolved is not None
        assert self._picture is not None
        thumbnail = self.settings.data.thumbnail(self.job)
        save_thumbnail(self._picture, thumbnail)
        if self._brightest <= _BLACK:
            self._warn("every frame is black: use the tier exact, or other LoRAs or weights", code="INFERENCE_BLACK")
        steps, denoise = resolved.steps, self._seconds.get("denoise", 0.0)
        return {
            "file": path.name,
            "thumbnail": thumbnail.name,
            "sha256": _digest(path),
            "bytes": path.stat().st_size,
            "frames": resolved.frames,
            "fps": resolved.fps,
            "width": resolved.width,
            "height": resolved.height,
            "steps": steps,
            "seconds": sum(self._seconds.values()),
            "seconds_per_step": denoise / steps if steps else None,
            "phases": {phase: round(seconds, 3) for phase, seconds in self._seconds.items()},
            "devices": list(self.devices),
            # Ranks are processes of their own, whose memory is not this one's.
            "peak_vram": self.device.peak() if len(self.devices) == 1 else None,
            "peak_rss": self.device.peak_rss() if len(self.devices) == 1 else None,
            "model": self._model_name,
            "adaptations": [self._shown_change(change) for change in resolved.adjustments],
            "warnings": self.warnings,
            "settings": saved.settings,
        }

    # --- what went wrong ---------------------------------------------------------------------------------------------

    def failure(self, error: BaseException, *, gpu_works: bool) -> Failure:
        """What stopped it, with advice that fits this computer. To be asked when memory was given back."""
        worked_out: tuple[Suggestion, ...] = ()
        if gpu_works and isinstance(error, NotEnoughMemory) and self._model is not None and self._resolved is not None:
            asked, library = self.spec.request.loras, self.settings.library
            worked_out = remedies(
                self._model, self._resolved, asked, library, self.spec.tier, self.device, self.memory_limit
            )
        return failure_of(
            error, phase=self.phase, model=self._model_name, kept=self.kept, suggestions=worked_out,
            asked=self._asked(planned=bool(worked_out)), folders=self._folders(),
        )  # fmt: skip

    def _asked(self, *, planned: bool) -> Asked:
        request: GenerationRequest | ResolvedRequest = self._resolved or self._request
        return Asked(
            model=self._model_name,
            width=request.width,
            height=request.height,
            frames=request.frames,
            tier=self.spec.tier,
            on_gpu=self.device.on_gpu,
            loras=bool(request.loras),
            all_steps_kept=self._only_decoding,
            from_hub=self._from_hub(),
            planned=planned,
        )

    def _from_hub(self) -> bool:
        cache, model = self.settings.places.hub_cache, self._model
        if model is not None:
            return cache is not None and model.path.is_relative_to(cache)
        entry = next((entry for entry in self.families.entries if entry.id == self._model_name), None)
        return entry is None or bool(entry.variants)

    def _warn(self, text: str, **more: str) -> None:
        text = self._shown_text(text)
        self.warnings.append(text)
        self.tell({"type": "warning", "message": text, **more})

    def _folders(self) -> Iterator[Path]:
        """Whose places are nobody's business."""
        places, library = self.settings.places, self.settings.library
        if self._model is not None:
            yield self._model.path
        yield from (self.folder, self.settings.data.root, self.settings.data.outputs, self.settings.data.inputs)
        yield from (*places.roots, places.demo, *(added.path for added in known(places)))
        yield from filter(None, (places.hub_cache, library.folder, *library.roots))

    def _shown_text(self, text: str) -> str:
        return without_folders(text, self._folders())

    def _shown_change(self, change: Adjustment) -> dict[str, Any]:
        return {name: self._shown_text(value) for name, value in asdict(change).items()}

    def _with_pictures(self, request: GenerationRequest) -> GenerationRequest:
        """With the places of stored pictures for their names."""
        places = {
            name: None if value is None else str(self.settings.data.inputs / Path(str(value)).name)
            for name, value in (("image", request.image), ("end_image", request.end_image))
        }
        return replace(request, **places)  # type: ignore[arg-type]

    def _look_for_pictures(self) -> None:
        """Raises InvalidImage for one that is no longer there, in the words of who uploaded it."""
        for name, path in (("first frame", self._request.image), ("last frame", self._request.end_image)):
            if path is not None and not Path(str(path)).exists():
                raise InvalidImage(f"the picture for the {name} is no longer on the server: upload it again")


class _Announcing(VideoPipeline):
    """A pipeline whose videos say that it stands in for another one."""

    def __init__(self, pipeline: VideoPipeline, adjustments: tuple[Adjustment, ...]) -> None:
        self.spec, self._pipeline, self._adjustments = pipeline.spec, pipeline, adjustments

    def generate(
        self, request: GenerationRequest, *, resume: Checkpoint | None = None, previews: bool = False
    ) -> Generator[Event, None, None]:
        events = self._pipeline.generate(request, resume=resume, previews=previews)
        return self._announced(events)

    def close(self) -> None:
        """It belongs to somebody else."""

    def _announced(self, events: Generator[Event, None, None]) -> Generator[Event, None, None]:
        with closing(events):
            for event in events:
                if isinstance(event, Resolved):
                    adjustments = (*self._adjustments, *event.request.adjustments)
                    yield Resolved(request=replace(event.request, adjustments=adjustments))
                else:
                    yield event


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
