"""One run of the pipeline: checked before anything is loaded, then followed to its end or to Ctrl-C."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wanvideo.cli.downloads import duration, offered, say_offer, somebody_there
from wanvideo.cli.environment import lora_library, places
from wanvideo.cli.interrupt import Interruption, catching_interruptions
from wanvideo.cli.job import Job, say_which
from wanvideo.cli.output import Output
from wanvideo.cli.progress import showing
from wanvideo.cli.pull import get
from wanvideo.cli.values import existing, free_name
from wanvideo.errors import Cancelled, ModelIncomplete, ModelMissing, OutputNotWritable, UnknownModel
from wanvideo.families.choose import Choice, choose, named
from wanvideo.families.hardware import free_gpu_bytes
from wanvideo.families.obtain import with_offer
from wanvideo.families.protocol import LoadOptions
from wanvideo.families.registry import Registry, installed_families
from wanvideo.media.naming import NameTemplate
from wanvideo.media.output import check_writable
from wanvideo.pipelines.base import VideoPipeline
from wanvideo.pipelines.settings import parameters
from wanvideo.request import Adjustment, GenerationRequest, Phase, Progress, ResolvedLora, ResolvedRequest
from wanvideo.runtime.process import before_torch
from wanvideo.weights.entry import ModelEntry

if TYPE_CHECKING:
    from wanvideo.pipelines.events import Event
    from wanvideo.pipelines.state import Checkpoint
    from wanvideo.runtime.placement import MemoryPlan

SAVE_SECONDS: Final = 15.0  # between two saves of the denoising state


def run(output: Output, job: Job, where: str) -> None:
    """Make the file, or one for each request, and say so; `where` is said with the first line.

    Raises Cancelled after Ctrl-C, and whatever the pipeline raises.
    """
    began = time.monotonic()
    before_torch()
    checkpoint = None if job.resume is None else _load_state(job.resume)
    first = job.request if checkpoint is None else _with_its_seed(job.request, checkpoint)
    families = installed_families()
    choice = _choose(output, job, first, families, where)
    # The pipeline does this again; here it draws the seed, and finds wrong input while that is still quick.
    library = lora_library()
    resolved = [families.adapt(choice.spec, each, library=library) for each in (first, *job.requests[1:])]
    check_writable(_path(job.out, job.names, resolved[0]), frames=resolved[0].frames)
    _check_state_file(job.save_state)
    options = LoadOptions(
        device=job.device,
        dtype=job.dtype,
        tile=job.tile,
        tier=job.tier,
        memory_limit=job.memory_limit,
        gpus=job.gpus,
        library=library,
    )
    with catching_interruptions(output) as interruption, choice.model.load(options) as pipeline:
        for number, (asked, found) in enumerate(zip((first, *job.requests[1:]), resolved, strict=True), 1):
            say_which(output, number, job)
            path = _path(job.out, job.names, found)
            said = where if number == 1 and job.model is not None else None
            settings = _make(output, job, choice, pipeline, replace(asked, seed=found.seed), path, checkpoint,
                             interruption, said)  # fmt: skip
            seconds, began = time.monotonic() - began, time.monotonic()
            output.say(f"made in {seconds:.1f} s")
            output.event("done", path=path.absolute(), seconds=round(seconds, 3), settings=settings)
            output.result(str(path))


def _make(
    output: Output,
    job: Job,
    choice: Choice,
    pipeline: VideoPipeline,
    request: GenerationRequest,
    path: Path,
    checkpoint: "Checkpoint | None",
    interruption: Interruption,
    where: str | None,
) -> dict[str, object] | None:
    """One video; the settings that its file holds."""
    from wanvideo.pipelines.write import generate_to_file

    with closing(generate_to_file(pipeline, request, path, resume=checkpoint)) as events:
        return _follow(output, choice.spec, events, interruption, job.save_state, where)


# --- before anything is loaded ---------------------------------------------------------------------------------------


def _load_state(path: Path) -> "Checkpoint":
    from wanvideo.pipelines.state import Checkpoint

    return Checkpoint.load(path)


def _with_its_seed(request: GenerationRequest, checkpoint: "Checkpoint") -> GenerationRequest:
    seed = checkpoint.fingerprint.get("seed")
    return replace(request, seed=seed) if request.seed is None and isinstance(seed, int) else request


def _get(
    output: Output, job: Job, request: GenerationRequest, families: Registry, error: ModelMissing | ModelIncomplete
) -> None:
    """Download the model that was named, if that is agreed to; else raises `error`, with what there is to download."""
    try:
        entry = families.resolve(job.model or "")
    except UnknownModel:  # a folder, which has no name to download it by
        raise error from None
    if not entry.variants:
        raise error
    # What is wrong with the request is better found before than after.
    path = _path(job.out, job.names, families.adapt(entry, request, library=lora_library()))
    check_writable(path, frames=request.frames or 2)
    what = offered(entry, job.variant)
    if not job.yes and not somebody_there(output):
        raise with_offer(error, what) from None
    output.say(error.message)
    say_offer(output, what)
    get(output, what, yes=job.yes)


def _choose(output: Output, job: Job, request: GenerationRequest, families: Registry, where: str) -> Choice:
    """The model to use; if none was named, which and why is the first line."""
    if job.model is not None:
        try:
            return named(job.model, places(), job.variant, families=families)
        except (ModelMissing, ModelIncomplete) as error:
            _get(output, job, request, families, error)
        return named(job.model, places(), job.variant, families=families)
    choice = choose(request, places(), free_gpu_bytes(job.device), families=families)
    output.say(f"model: {choice.spec.id}, {choice.reason}; {where}")
    output.event("chosen", model=choice.spec.id, demo=choice.spec.demo, reason=choice.reason, path=choice.model.path)
    return choice


def _path(out: str | None, names: NameTemplate, request: ResolvedRequest) -> Path:
    """Where the result goes: the file `out`, or a new one in the folder `out`."""
    if out == "":
        raise OutputNotWritable("--out is empty: name an .mp4 file or a folder, or leave it out")
    folder = Path() if out is None else existing(out)
    if folder is None or not folder.is_dir():
        return Path(out or "")
    return free_name(folder / names.file_name(request, datetime.now()))


def _check_state_file(path: Path | None) -> None:
    if path is None:
        return
    if existing(str(path)) and not path.is_file():
        raise OutputNotWritable(f"{path} is no file: give --save-state the name of one")
    if not existing(str(path.parent)) or not os.access(path.parent, os.W_OK):
        raise OutputNotWritable(f"{path} cannot be written: {path.parent} is no folder, or write-protected")


# --- while it runs ---------------------------------------------------------------------------------------------------


def _follow(
    output: Output,
    spec: ModelEntry,
    events: Iterator["Event"],
    interruption: Interruption,
    save_state: Path | None,
    where: str | None,
) -> dict[str, object] | None:
    """Show the events as they come and keep the state; the settings that the file holds."""
    from wanvideo.pipelines.events import Adjusted, Planned, Resolved, Saved
    from wanvideo.pipelines.state import Checkpoint

    step = 0
    try:
        with saving_state(save_state) as keep, showing(output) as show:
            for event in events:
                match event:
                    case Resolved(request=request):
                        _announce(output, spec, request, where)
                    case Planned(plan=plan):
                        _say_plan(output, plan)
                    case Adjusted(adjustment=change):
                        _say_change(output, change)
                    case Checkpoint():
                        keep(event)
                        step = event.step
                    case Progress():
                        show(event)
                        interruption.graceful = event.phase is Phase.DENOISE
                    case Saved():
                        return event.settings
                # After a step comes first its progress and then its checkpoint, which is worth waiting for.
                if interruption.asked and not (isinstance(event, Progress) and interruption.graceful):
                    raise KeyboardInterrupt
    except KeyboardInterrupt:
        raise Cancelled(_interrupted(step, save_state)) from None
    return None


def _say_plan(output: Output, plan: "MemoryPlan") -> None:
    where = "; ".join(plan.notes)
    output.say(f"plan: up to {plan.peak_bytes / 2**30:.1f} GiB of GPU memory, about {duration(plan.seconds)}; {where}")
    output.event("plan", peak_bytes=plan.peak_bytes, host_bytes=plan.host_bytes, seconds=plan.seconds, notes=plan.notes)


def _interrupted(step: int, save_state: Path | None) -> str:
    message = f"interrupted{f' after step {step}' if step else ''}: no file was written"
    return f"{message}; go on with --resume {save_state}" if step and save_state else message


@contextmanager
def saving_state(path: Path | None, seconds: float = SAVE_SECONDS) -> Iterator[Callable[["Checkpoint"], None]]:
    """What to call with every checkpoint. The last one is on disk when the block ends, however it ends."""
    if path is None:
        yield lambda _: None
        return
    saved = time.monotonic()
    unsaved: Checkpoint | None = None

    def keep(checkpoint: "Checkpoint") -> None:
        nonlocal saved, unsaved
        unsaved = checkpoint
        if time.monotonic() - saved >= seconds:
            checkpoint.save(path)
            saved, unsaved = time.monotonic(), None

    try:
        yield keep
    finally:
        if unsaved is not None:
            unsaved.save(path)


def _announce(output: Output, spec: ModelEntry, request: ResolvedRequest, where: str | None) -> None:
    """What will be made, in one line, and each change to what was asked for, in one more."""
    r = request
    length = "1 picture" if r.frames == 1 else f"{r.frames} frames at {r.fps} fps ({r.seconds:.1f} s)"
    noise = f"shift {r.shift:g}" if r.sigmas is None else "given noise levels"
    guidance = f"{r.guidance_high:g}" if spec.experts == 1 else f"{r.guidance_high:g} high, {r.guidance_low:g} low"
    steps = f"{r.steps} step{'' if r.steps == 1 else 's'} of {r.solver}"
    cache = "" if r.step_cache is None else f", step cache {r.step_cache:g} (lossy)"
    output.say(
        f"{spec.id}{' (demo)' if spec.demo else ''}: {r.width}x{r.height}, {length}, {steps}, "
        f"{noise}, guidance {guidance}{cache}, seed {r.seed}{f'; {where}' if where else ''}"
    )
    for lora in r.loras:
        output.say(f"lora: {_with_strengths(spec, lora)}")
    output.event("resolved", **parameters(r), seconds=r.seconds, demo=spec.demo)
    for change in r.adjustments:
        _say_change(output, change)


def _say_change(output: Output, change: Adjustment) -> None:
    output.say(f"{change.field}: {change.asked} became {change.used}: {change.reason}")
    output.event("adjusted", **asdict(change))


def _with_strengths(spec: ModelEntry, lora: ResolvedLora) -> str:
    if spec.experts == 1 or lora.strength == lora.strength_low:
        return f"{lora.name}, strength {lora.strength:g}"
    return (
        f"{lora.name}, strength {lora.strength:g} in the high-noise expert, {lora.strength_low:g} in the low-noise one"
    )
