"""One start of one job: the request to the pipeline, its events to the server, its state to disk, its file in place."""

import base64
import hashlib
import io
import logging
import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from wanvideo.errors import (
    Cancelled,
    IncompatibleState,
    ModelCorrupt,
    ModelIncomplete,
    ModelMismatch,
    ModelMissing,
    NotEnoughMemory,
    WanVideoError,
)
from wanvideo.failure import Suggestion
from wanvideo.families.protocol import InstalledModel
from wanvideo.families.registry import Registry, Search, installed_families
from wanvideo.jobs.spec import Fallback, JobSpec
from wanvideo.pipelines.base import VideoPipeline
from wanvideo.pipelines.events import Adjusted, Event, Frames, Planned, Resolved, Saved
from wanvideo.pipelines.settings import parameters
from wanvideo.pipelines.state import Checkpoint
from wanvideo.pipelines.write import generate_to_file
from wanvideo.request import Adjustment, GenerationRequest, Phase, Preview, Progress, ResolvedRequest
from wanvideo.weights.entry import ModelEntry
from wanvideo.worker.device import Device
from wanvideo.worker.settings import WorkerSettings
from wanvideo.worker.warm import Wanted, WarmModels

log = logging.getLogger(__name__)

STATE: Final = "checkpoint.safetensors"
SAVE_SECONDS: Final = 5.0  # between two saves, unless this many steps were done before:
SAVE_STEPS: Final = 5
PREVIEW_SECONDS: Final = 0.5  # between two previews
_CANNOT_LOAD: Final = (ModelCorrupt, ModelIncomplete, ModelMismatch, ModelMissing)

Tell = Callable[[Mapping[str, Any]], None]


class Attempt:
    """Runs to its end, or raises what stopped it; what is known by then can be asked."""

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
        self.job: str = order["job"]
        self.created = datetime.fromtimestamp(order["created"])
        self.folder = Path(order["folder"])
        self.resume: bool = order["resume"]
        self.spec = JobSpec.from_json(order["spec"])
        self.settings, self.device, self.models = settings, device, models
        self.tell, self.cancelled = tell, cancelled
        self.families: Registry = installed_families()
        self.model: str = self.spec.model
        self.phase: str | None = None
        self.kept: str | None = None
        self.warnings: list[str] = []
        self._request = self._with_pictures(self.spec.request)
        self._resolved: ResolvedRequest | None = None
        self._seconds: dict[str, float] = {}
        self._peak_rss = 0
        self._shown = self._saved_at = float("-inf")
        self._saved_step = 0
        self._picture: npt.NDArray[np.uint8] | None = None  # for the thumbnail

    def run(self) -> dict[str, Any]:
        """What the server publishes. Raises Cancelled, and whatever stopped the last of the models that were tried."""
        self.device.new_peak()
        refused: list[Adjustment] = []
        candidates = self._candidates()
        candidate = next(candidates)
        while True:
            try:
                return self._made_with(candidate.find(), refused)
            except (*_CANNOT_LOAD, NotEnoughMemory) as error:
                # Nothing stands in for a demo model, and what failed to decode would fail to decode again.
                following = None if candidate.entry.demo or self.kept else next(candidates, None)
                if following is None:
                    raise
                refused.append(self._announce(candidate, following, error))
                candidate = following

    # --- which model -------------------------------------------------------------------------------------------------

    def _candidates(self) -> Iterator["_Candidate"]:
        """The model that was asked for, and then what may stand in for it and is here."""
        entry = self.families.resolve(self.spec.model)
        search = self.families.look_in(self.settings.places)
        yield _Candidate(
            entry=entry, precision=self.spec.variant, find=lambda: search.find(entry, self.spec.variant)[0]
        )
        if self.spec.fallback is Fallback.OFF:
            return
        for form in _forms(search, entry)[0 if self.spec.variant else 1 :]:
            if form.precision != self.spec.variant:
                yield _Candidate(entry=entry, precision=form.precision, find=lambda form=form: form)  # type: ignore[misc]
        for other in sorted(self.families.entries, key=lambda other: other.rank, reverse=True):
            allowed = self.spec.fallback is Fallback.DEMO if other.demo else other.rank > 0
            if allowed and other.id != entry.id and self._takes(other):
                for form in _forms(search, other)[:1]:
                    yield _Candidate(entry=other, precision=form.precision, find=lambda form=form: form)  # type: ignore[misc]

    def _takes(self, entry: ModelEntry) -> bool:
        """Whether a model can be given the pictures of the request."""
        if self._request.image is None:
            return not entry.requires_image
        return entry.takes_image and (self._request.end_image is None or entry.takes_end_image)

    def _announce(self, before: "_Candidate", after: "_Candidate", error: WanVideoError) -> Adjustment:
        self.tell(
            {"type": "fallback", "from": before.name, "to": after.name, "code": error.code, "reason": error.message}
        )
        self.warnings.append(f"made with {after.name} instead of {before.name}: {error.message}")
        return Adjustment(field="model", asked=before.name, used=after.name, reason=error.message)

    # --- the work ----------------------------------------------------------------------------------------------------

    def _made_with(self, model: InstalledModel, refused: Sequence[Adjustment]) -> dict[str, Any]:
        spec, self.model = self.spec, model.entry.id
        wanted = Wanted(
            model=model.entry.id, path=str(model.path), precision=model.precision, tier=spec.tier,
            memory_limit=spec.memory_limit, tile=spec.tile, device=spec.device or str(self.device.device),
        )  # fmt: skip
        self.phase = Phase.LOAD
        self.tell({"type": "phase", "phase": "load", "step": 0, "steps": 0})
        pipeline = self.models.get(model, wanted)
        resolved = self.families.adapt(model.entry, self._request, library=self.settings.library)
        named = resolved if spec.embed else replace(resolved, prompt="")
        path = self.settings.data.outputs / self.settings.names.file_name(named, self.created, self.job)
        state = self._state()
        events = generate_to_file(
            _Announcing(pipeline, tuple(refused)), self._request, path, resume=state, previews=True, embed=spec.embed
        )
        with closing(events):
            try:
                saved = self._follow(events)
            except IncompatibleState as error:
                if state is None:
                    raise
                self._warn(f"what was saved cannot be used, and the job begins anew: {error.message}")
                (self.folder / STATE).unlink(missing_ok=True)
                return self._made_with(model, refused)
        return self._published(path, saved)

    def _follow(self, events: Iterator[Event]) -> Saved:
        """Report, save and watch for a cancel, until the file is there."""
        for event in events:
            match event:
                case Resolved(request=request):
                    self._resolved = request
                    self.tell({"type": "resolved", "params": parameters(request)})
                    for change in request.adjustments:
                        self.tell({"type": "adapted", **asdict(change)})
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
                case Saved():
                    return event
            if self.cancelled():
                raise Cancelled("cancelled")
        raise AssertionError("a run ends with Saved")

    def _progress(self, progress: Progress) -> None:
        phase = str(progress.phase)
        kind = "step" if phase == self.phase and progress.step > 0 else "phase"
        self.phase, self._seconds[phase] = phase, progress.seconds
        self._peak_rss = max(self._peak_rss, self.device.memory()["rss"])
        said = {"type": kind, "phase": phase, "step": progress.step, "steps": progress.steps}
        said |= {"seconds": progress.seconds, "expert": progress.expert, "reused": progress.reused}
        self.tell(said)
        now = time.monotonic()
        if progress.preview is not None and now - self._shown >= PREVIEW_SECONDS:
            self._shown = now
            self.tell({"type": "preview", "step": progress.step, "steps": progress.steps, **_shown(progress.preview)})

    def _keep(self, checkpoint: Checkpoint) -> None:
        """Save the state when enough would be lost, and always the last one: a failed decode costs only decoding."""
        assert self._resolved is not None
        last = checkpoint.step >= self._resolved.steps
        due = time.monotonic() - self._saved_at >= SAVE_SECONDS or checkpoint.step - self._saved_step >= SAVE_STEPS
        if not (last or due):
            return
        checkpoint.save(self.folder / STATE)
        self._saved_at, self._saved_step = time.monotonic(), checkpoint.step
        self.kept = f"{checkpoint.step} of {self._resolved.steps} steps are kept"
        if last:
            self.kept += ", and trying again repeats only decoding"
        self.tell({"type": "checkpoint", "step": checkpoint.step, "steps": self._resolved.steps})

    def _state(self) -> Checkpoint | None:
        path = self.folder / STATE
        if not self.resume or not path.is_file():
            return None
        try:
            state = Checkpoint.load(path)
        except IncompatibleState as error:
            self._warn(f"what was saved cannot be read, and the job begins anew: {error.message}")
            path.unlink(missing_ok=True)
            return None
        self._saved_step, self._saved_at = state.step, time.monotonic()
        self.tell({"type": "resumed", "step": state.step})
        return state

    def _warn(self, text: str) -> None:
        self.warnings.append(text)
        self.tell({"type": "warning", "message": text})

    def _with_pictures(self, request: GenerationRequest) -> GenerationRequest:
        """With the places of stored pictures for their names."""
        places = {
            name: None if value is None else str(self.settings.data.inputs / Path(str(value)).name)
            for name, value in (("image", request.image), ("end_image", request.end_image))
        }
        return replace(request, **places)  # type: ignore[arg-type]

    # --- the result --------------------------------------------------------------------------------------------------

    def _published(self, path: Path, saved: Saved) -> dict[str, Any]:
        _sync_folder(path.parent)
        resolved = self._resolved
        assert resolved is not None
        thumbnail = self._thumbnail()
        steps = resolved.steps
        denoise = self._seconds.get("denoise", 0.0)
        return {
            "file": path.name,
            "thumbnail": thumbnail,
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
            "peak_vram": self.device.peak(),
            "peak_rss": self._peak_rss,
            "model": self.model,
            "adaptations": [asdict(change) for change in resolved.adjustments],
            "warnings": self.warnings,
            "settings": saved.settings,
        }

    def _thumbnail(self) -> str | None:
        if self._picture is None:
            return None
        target = self.settings.data.thumbnail(self.job)
        part = target.with_suffix(".part")
        picture = Image.fromarray(self._picture)
        picture.thumbnail((320, 180))
        with part.open("wb") as file:
            picture.save(file, "JPEG", quality=85)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
        _sync_folder(target.parent)
        return target.name

    # --- what might help ---------------------------------------------------------------------------------------------

    def remedies(self, error: BaseException) -> tuple[Suggestion, ...]:
        """What would fit, where memory did not: from the plan of this machine."""
        if not isinstance(error, NotEnoughMemory) or not self.device.on_gpu:
            return ()
        from wanvideo.families.plan import plan

        r = self._request
        try:
            forecast = plan(
                self.model, width=r.width, height=r.height, frames=r.frames, steps=r.steps, tier=self.spec.tier,
                image=r.image is not None, device=str(self.device.device), memory_limit=self.spec.memory_limit,
            )  # fmt: skip
        except WanVideoError:
            return ()
        return tuple(
            Suggestion(
                text=f"{each.change}: needs {each.plan.peak_bytes / 2**30:.1f} GiB",
                effect="slightly another video" if each.tier is not self.spec.tier else "a smaller or shorter video",
                change={
                    "tier": str(each.tier),
                    "request": {
                        "width": each.work.width,
                        "height": each.work.height,
                        "frames": each.work.frames,
                        "seconds": None,
                    },
                },
            )
            for each in forecast.alternatives
            if each.plan.fits
        )


class _Announcing(VideoPipeline):
    """A pipeline whose videos say that it stands in for another one."""

    def __init__(self, pipeline: VideoPipeline, adjustments: tuple[Adjustment, ...]) -> None:
        self._pipeline, self._adjustments = pipeline, adjustments

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A model that may make the video."""

    entry: ModelEntry
    precision: str | None
    find: Callable[[], InstalledModel]

    @property
    def name(self) -> str:
        return f"{self.entry.id} ({self.precision})" if self.precision else self.entry.id


def _forms(search: Search, entry: ModelEntry) -> Sequence[InstalledModel]:
    """Of a model, those that are here and in order, the best first."""
    try:
        return search.find(entry)
    except WanVideoError:
        return ()


def _shown(preview: Preview) -> dict[str, Any]:
    """The frames of a preview side by side, as JPEG in base64."""
    frames = np.frombuffer(preview.rgb, np.uint8).reshape(preview.frames, preview.height, preview.width, 3)
    strip = Image.fromarray(np.concatenate(list(frames[:: max(1, preview.frames // 4)]), axis=1))
    data = io.BytesIO()
    strip.save(data, "JPEG", quality=80)
    return {
        "jpeg": base64.b64encode(data.getvalue()).decode("ascii"),
        "width": preview.width,
        "height": preview.height,
        "frames": strip.width // preview.width,
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    """So that a name that was just given survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
