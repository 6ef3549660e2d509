"""What a video will take of this computer, as plans have it; nothing is loaded, and torch is not asked."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from wanvideo.errors import WanVideoError
from wanvideo.families.plan import Alternative, Forecast, plan
from wanvideo.jobs.job import Job
from wanvideo.pipelines.lossy import Quality
from wanvideo.request import LoraUse, Phase, Tier
from wanvideo.runtime.machine import Machine
from wanvideo.server.catalog import wire_type
from wanvideo.server.machine import rates_of, reported, this_machine
from wanvideo.server.model_views import MIB
from wanvideo.server.parts import Parts
from wanvideo.server.schemas.common import AdjustmentView, JsonObject
from wanvideo.server.schemas.plans import PlanAlternative, PlannedPhase, PlanView, QualityView
from wanvideo.weights.entry import ModelEntry

_REMEMBERED: Final = 500  # plans
_FRESH_SECONDS: Final = 30.0  # for which the memory that was free counts as free


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to plan for. None: the model's default, or the limit that the user has set."""

    width: int | None = None
    height: int | None = None
    frames: int | None = None
    steps: int | None = None
    variant: str | None = None
    image: bool = False
    tier: Tier | None = None
    step_cache: float | None = None
    loras: tuple[LoraUse, ...] = ()  # by names of the library
    memory_limit: int | None = None


def forecast(parts: Parts, entry: ModelEntry, wish: Wish) -> Forecast:
    """What was planned a moment ago for the same wish is not planned again: that would take a tenth of a second.

    Raises InvalidRequest and its kinds for what cannot be, and the errors of models on disk.
    """
    gpus = parts.gpus_for_next()
    question = entry.id, wish, gpus, parts.limits.current
    at, known = parts.forecasts.get(question, (float("-inf"), None))
    if known is None or time.monotonic() - at > _FRESH_SECONDS:
        known = _planned(parts, entry, wish, gpus)
        if len(parts.forecasts) >= _REMEMBERED:
            parts.forecasts.clear()
        parts.forecasts[question] = time.monotonic(), known
    return known


def _planned(parts: Parts, entry: ModelEntry, wish: Wish, gpus: int) -> Forecast:
    limits = parts.limits.current
    memory_limit = wish.memory_limit if wish.memory_limit is not None else limits.memory_limit
    machine = _machine(parts, memory_limit)
    return plan(
        entry.id,
        width=wish.width,
        height=wish.height,
        frames=wish.frames,
        steps=wish.steps,
        variant=wish.variant,
        tier=wish.tier or limits.tier,
        step_cache=wish.step_cache,
        image=wish.image,
        loras=wish.loras,
        device="auto",
        memory_limit=memory_limit if machine.gpu is not None else None,
        gpus=gpus if machine.gpu is not None else 1,  # processes on one CPU are not faster
        machine=machine,
        rates=rates_of(machine),
        roots=parts.sources.places.roots,
        library=parts.sources.library,
    )


def _machine(parts: Parts, memory_limit: int | None) -> Machine:
    """The one that plans are about: this one, or, for a server without workers, the largest of those that have some."""
    if parts.settings.here == "none":
        found = [machine for node in parts.nodes() if (machine := reported(node.about, memory_limit)) is not None]
        if found:
            return max(found, key=lambda machine: (machine.gpu_total, machine.host_total))
    return this_machine(parts.settings.first_device, memory_limit=memory_limit, workers=parts.worker_pids())


def usual(parts: Parts, entry: ModelEntry) -> Forecast | None:
    """Of a video of the model's defaults; None for a family that cannot be planned for, or damaged files."""
    try:
        return forecast(parts, entry, Wish())
    except WanVideoError:
        return None


def plan_view(parts: Parts, entry: ModelEntry, found: Forecast) -> PlanView:
    decided, work = found.plan, found.work
    missing = None
    if not found.on_disk and entry.variants:
        missing = parts.offer(entry.id, None).nbytes
    notes, tiles = list(decided.notes), decided.vae.tiles
    if decided.transformer.streamed and not parts.limits.current.offload:
        notes.append("parts of the model would have to wait outside of the GPU, which the settings do not allow")
    return PlanView(
        model=found.model,
        model_type=wire_type(entry),
        precision=found.precision,
        on_disk=found.on_disk,
        download_bytes=missing,
        fits=fits(parts, found),
        short_mb=round(decided.short_bytes / MIB, 1),
        device=decided.device,
        gpus=found.machine.gpus,
        tier=decided.tier.value,
        width=work.width,
        height=work.height,
        frames=work.frames,
        steps=work.steps,
        step_cache=work.step_cache,
        quality=_quality(found.quality),
        seconds=round(decided.seconds, 1),
        minutes=round(decided.seconds / 60, 2),
        peak_mb=round(decided.peak_bytes / MIB, 1),
        host_mb=round(decided.host_bytes / MIB, 1),
        streamed_blocks=decided.transformer.streamed,
        tile=None if tiles is None else max(tiles.width, tiles.height),
        tiles=None if tiles is None else str(tiles),
        phases=[
            PlannedPhase(
                phase=each.phase.value, seconds=round(each.seconds, 2), peak_mb=round(each.peak_bytes / MIB, 1)
            )
            for each in decided.phases
            if each.phase is not Phase.WRITE
        ],
        rates=decided.rates,
        notes=notes,
        adjustments=[
            AdjustmentView(field=each.field, asked=each.asked, used=each.used, reason=each.reason)
            for each in found.adjustments
        ],
        alternatives=[_alternative(found, each) for each in found.alternatives],
    )


def fits(parts: Parts, found: Forecast) -> bool:
    """Within this computer and the limits that the user has set."""
    return found.fits and (parts.limits.current.offload or not found.plan.transformer.streamed)


def _alternative(found: Forecast, other: Alternative) -> PlanAlternative:
    patch: JsonObject = {
        "resolution": f"{other.work.width}x{other.work.height}",
        "frames": other.work.frames,
        "tier": other.tier.value,
    }
    if other.work.step_cache != found.work.step_cache:
        patch["step_cache"] = other.work.step_cache or 0
    if other.model != found.model:
        patch |= {"model_type": other.model, "steps": other.work.steps}
    return PlanAlternative(
        change=other.change,
        patch=patch,
        quality=_quality(other.quality),
        fits=other.plan.fits,
        seconds=round(other.plan.seconds, 1),
        peak_mb=round(other.plan.peak_bytes / MIB, 1),
        short_mb=round(other.plan.short_bytes / MIB, 1),
    )


def _quality(measured: Iterable[Quality]) -> list[QualityView]:
    return [
        QualityView(
            setting=each.setting,
            model=each.model,
            clips=each.clips,
            psnr_db=each.psnr,
            right_percent=each.right,
            exact_right_percent=each.exact_right,
        )
        for each in measured
    ]


def estimate(parts: Parts, job: Job) -> float | None:
    """Seconds that a job will take by its plan; None where that cannot be said."""
    entry, request = parts.catalog.entry(job.model), job.spec.request
    if entry is None:
        return None
    frames = request.frames
    if frames is None and request.seconds is not None:
        frames = round(request.seconds * entry.defaults.fps)
    wish = Wish(
        width=request.width,
        height=request.height,
        frames=frames,
        steps=request.steps,
        variant=job.spec.variant,
        image=request.image is not None,
        tier=job.spec.tier,
        step_cache=request.step_cache,
        memory_limit=job.spec.memory_limit,
    )
    try:
        return forecast(parts, entry, wish).plan.seconds
    except WanVideoError:
        return None
