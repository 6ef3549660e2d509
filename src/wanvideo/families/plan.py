"""What a video will take, said beforehand: for a model by its name, on this computer or a named one."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from wanvideo.errors import InvalidRequest, ModelIncomplete, ModelMissing, UnknownModel
from wanvideo.families.choose import named, named_tier, usual_places
from wanvideo.families.obtain import named_variant
from wanvideo.families.registry import Registry, installed_families
from wanvideo.families.wan import WanModel
from wanvideo.pipelines.alternatives import alternatives_to, smaller_and_smaller, with_step_cache
from wanvideo.pipelines.architecture import architecture_in_catalog, architecture_of, work_of
from wanvideo.pipelines.loras import usual_library
from wanvideo.pipelines.lossy import Quality, lossy
from wanvideo.request import Adjustment, GenerationRequest, LoraUse, ResolvedRequest, Tier
from wanvideo.runtime.architecture import Architecture, Work
from wanvideo.runtime.calibration import calibrated, usual_calibration_file
from wanvideo.runtime.hardware import this_machine
from wanvideo.runtime.machine import Calibration, Machine, profile, together
from wanvideo.runtime.placement import MemoryPlan
from wanvideo.runtime.plan import plan as place
from wanvideo.weights.catalog import ModelSpec, presets_of
from wanvideo.weights.lora.library import LoraLibrary
from wanvideo.weights.pick import Hardware, pick_variant
from wanvideo.weights.places import Places

LEAST_LIMIT: Final = 2**30  # bytes of GPU memory, below which nothing works
_LORA_SCALE: Final = 0.5  # float32 in the files of presets, 16 bits in memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """The same video in another way, and what that takes."""

    change: str  # in words: "832x480 instead of 1280x720"
    model: str  # the same, or one in fewer steps
    tier: Tier
    work: Work
    plan: MemoryPlan
    quality: tuple[Quality, ...] = ()  # of what is lossy in it, as far as it was measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What one video will take of one machine. Nothing is loaded for it."""

    model: str
    precision: str  # how the transformers are stored
    on_disk: bool
    machine: Machine
    architecture: Architecture
    work: Work
    plan: MemoryPlan
    adjustments: tuple[Adjustment, ...]
    alternatives: tuple[Alternative, ...]
    quality: tuple[Quality, ...] = ()  # of what is lossy in it, as far as it was measured

    @property
    def tier(self) -> Tier:
        return self.plan.tier

    @property
    def fits(self) -> bool:
        return self.plan.fits


def plan(
    name_or_folder: str | os.PathLike[str],
    *,
    width: int | None = None,
    height: int | None = None,
    frames: int | None = None,
    steps: int | None = None,
    variant: str | None = None,
    tier: Tier | str = Tier.EXACT,
    step_cache: float | None = None,
    image: bool = False,
    loras: Sequence[LoraUse] = (),
    device: str = "auto",
    memory_limit: int | None = None,
    gpus: int = 1,
    machine: str | Machine | None = None,
    rates: Calibration | None = None,
    roots: Sequence[str | os.PathLike[str]] = (),
    library: LoraLibrary | None = None,
) -> Forecast:
    """Say where everything would go, how much memory and time it would take, and what else there is to choose.

    What is not said gets the model's default. The model need not be on disk.

    variant: its form; by default the best one on disk, else what suits the machine.
    step_cache: as in a request; how many steps it leaves is taken from the demo models.
    image: the video begins with a picture, which has to be encoded. Models that need one always get it.
    loras: as in a request. Those that cannot be used are left out, and the adjustments say so.
    device: "auto", "cpu", "cuda" or "cuda:1".
    memory_limit: bytes of GPU memory that may be used.
    gpus: how many of them make the video together.
    machine: another computer than this one, such as "rtx-4080-128gb": its numbers are predicted.
    rates: how fast the computer is; by default what was measured here, once, in a few seconds.
    roots: folders that hold models, besides the cache of the Hugging Face hub.
    library: where names of LoRAs are looked up; by default the user's own and those that ship with the package.

    Raises InvalidRequest and its kinds for what cannot be, and the errors of models on disk.
    """
    tier = named_tier(tier)
    where = together(_machine(device, memory_limit, machine), gpus)
    families = installed_families()
    spec, architecture, on_disk = _subject(name_or_folder, usual_places(roots), variant, where, families)
    library = library or usual_library()
    wish = _Wish(width=width, height=height, frames=frames, image=image, loras=tuple(loras), library=library)
    resolved = _resolved(families, spec, wish, steps, step_cache)
    work = _with_preset(work_of(spec, resolved), spec)
    known = rates or calibrated(where, usual_calibration_file())
    decided = place(architecture, work, where, known, tier=tier)

    def quality_of(model: ModelSpec, work: Work, plan: MemoryPlan) -> tuple[Quality, ...]:
        tiles = plan.vae.tiles is not None
        return tuple(lossy(model, plan.tier, step_cache=work.step_cache, steps=work.steps, tiles=tiles))

    def other(change: str, work: Work, tier: Tier, model: ModelSpec = spec) -> Alternative:
        plan = place(architecture, work, where, known, tier=tier)
        quality = quality_of(model, work, plan)
        return Alternative(change=change, model=model.id, tier=tier, work=work, plan=plan, quality=quality)

    alternatives = [other(*change) for change in alternatives_to(spec, work, tier, on_gpu=where.gpu is not None)]
    if not decided.fits and not any(each.plan.fits for each in alternatives):
        alternatives = _largest_that_fits([other(*change) for change in smaller_and_smaller(spec, work, tier)])
    quicker = [other(*change) for change in with_step_cache(spec, work, tier)]
    for preset in presets_of(spec):
        fewer = _with_preset(work_of(preset, _resolved(families, preset, wish, None, None)), preset)
        change = f"{preset.id}, in {fewer.steps} steps, whose quality was not measured"
        quicker.append(other(change, fewer, tier, preset))
    alternatives += [each for each in quicker if each.plan.fits or decided.fits]
    return Forecast(
        model=spec.id,
        precision=architecture.precision,
        on_disk=on_disk,
        machine=where,
        architecture=architecture,
        work=work,
        plan=decided,
        adjustments=resolved.adjustments,
        alternatives=tuple(alternatives),
        quality=quality_of(spec, work, decided),
    )


# --- what is asked for -----------------------------------------------------------------------------------------------


def _machine(device: str, memory_limit: int | None, machine: str | Machine | None) -> Machine:
    if memory_limit is not None and memory_limit < LEAST_LIMIT:
        raise InvalidRequest(f"a memory limit of {memory_limit} bytes is too little for any model: use at least 1 GiB")
    if machine is None:
        return this_machine(device, memory_limit)
    there = profile(machine) if isinstance(machine, str) else machine
    if device == "cpu":
        there = replace(there, gpu=None, capability=None, gpu_total=0, gpu_free=0)
    elif device not in ("auto", "cuda", "cuda:0"):
        raise InvalidRequest(f"{there.gpu} is the only GPU of that machine: use auto, cuda or cpu, not {device!r:.60}")
    return replace(there, memory_limit=memory_limit)


def _subject(
    name_or_folder: str | os.PathLike[str], places: Places, variant: str | None, machine: Machine, families: Registry
) -> tuple[ModelSpec, Architecture, bool]:
    """The model as it is on disk, or else as the catalog has it."""
    try:
        model = named(name_or_folder, places, variant, families=families).model
    except (ModelMissing, ModelIncomplete) as error:
        try:
            entry = families.resolve(str(name_or_folder))
        except UnknownModel:  # a folder
            raise error from None
        if not isinstance(entry, ModelSpec) or not entry.variants:
            raise
        hardware = Hardware(
            gpu=machine.gpu,
            gpu_total=machine.gpu_total,
            gpu_free=machine.gpu_free,
            host_total=machine.host_total,
            host_available=machine.host_available,
            disk_free=1 << 60,  # whether it can be downloaded is another question
        )
        chosen = pick_variant(entry, hardware).variant if variant is None else named_variant(entry, variant)
        return entry, architecture_in_catalog(entry, chosen), False
    if not isinstance(model, WanModel):
        raise InvalidRequest(f"{model.entry.id} is of the family {model.entry.family}, which cannot be planned for")
    return model.entry, architecture_of(model.folder, model.entry.base or model.entry.id), True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What is asked for of the picture. None: the model's default."""

    width: int | None
    height: int | None
    frames: int | None
    image: bool
    loras: tuple[LoraUse, ...]
    library: LoraLibrary


def _resolved(
    families: Registry, spec: ModelSpec, wish: _Wish, steps: int | None, step_cache: float | None
) -> ResolvedRequest:
    """The request as the model would run it; a gray picture stands for the one that it begins with."""
    from PIL import Image

    defaults = spec.defaults
    picture = Image.new("RGB", (defaults.width, defaults.height)) if wish.image or spec.requires_image else None
    request = GenerationRequest(
        prompt="a plan", image=picture, width=wish.width, height=wish.height, frames=wish.frames, steps=steps,
        step_cache=step_cache, seed=0, loras=wish.loras,
    )  # fmt: skip
    return families.adapt(spec, request, library=wish.library)


def _with_preset(work: Work, spec: ModelSpec) -> Work:
    """With the LoRAs that belong to the model, which `adapt` of a family knows nothing of."""
    preset = sum(int((lora.high.nbytes or 0) * _LORA_SCALE) for lora in spec.loras)
    return replace(work, lora_bytes=work.lora_bytes + preset)


# --- what else there is -----------------------------------------------------------------------------------------------


def _largest_that_fits(candidates: list[Alternative]) -> list[Alternative]:
    """At each size, the longest clip."""
    found: dict[tuple[int, int], Alternative] = {}
    for candidate in candidates:
        if candidate.plan.fits:
            found.setdefault((candidate.work.width, candidate.work.height), candidate)
    return list(found.values())
