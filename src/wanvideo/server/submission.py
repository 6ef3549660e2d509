"""From what a client asks for to jobs that can be stored: the model is chosen, every value checked."""

import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from wanvideo.errors import (
    DiskFull,
    ImageRequired,
    InvalidPrompt,
    InvalidRequest,
    InvalidSize,
    LoraNotFound,
    NotEnoughMemory,
    WanVideoError,
)
from wanvideo.families.plan import Forecast
from wanvideo.jobs.spec import Fallback, JobSpec
from wanvideo.pipelines.loras import left_out
from wanvideo.request import (
    Adjustment,
    GenerationRequest,
    LoraExpert,
    LoraPolicy,
    LoraUse,
    ResolvedRequest,
    Solver,
    Tier,
)
from wanvideo.server.catalog import I2V, T2V
from wanvideo.server.errors import Conflict
from wanvideo.server.forecast import Wish, fits, forecast
from wanvideo.server.parts import Parts
from wanvideo.server.schemas.generation import Submit
from wanvideo.server.schemas.queue import LoraBody
from wanvideo.server.shared_loras import SharedLoras
from wanvideo.weights.catalog import ModelSpec
from wanvideo.weights.entry import ModelEntry
from wanvideo.weights.lora.library import LoraLibrary

GIB: Final = 2**30


class NoGpu(Conflict):
    """The model cannot be run here in any reasonable time."""

    code = "GPU_UNSUPPORTED"
    category = "gpu"


class DoesNotFit(NotEnoughMemory):
    """The plan says so before anything is loaded."""

    code = "VRAM_PREFLIGHT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What is to be stored, and what there is to say about it."""

    entry: ModelEntry
    reason: str | None  # for the model, where none was named
    spec: JobSpec  # its seed is drawn by the queue if none was named
    resolved: ResolvedRequest
    adjustments: tuple[Adjustment, ...]
    forecast: Forecast | None  # None: of a family that cannot be planned for, or damaged files


def prepare(parts: Parts, asked: Submit, image: str | None, end_image: str | None) -> Prepared:
    """`image` and `end_image`: names of stored pictures. Blocks while files are looked at.

    Raises InvalidRequest and its kinds, NoGpu, DoesNotFit, DiskFull.
    """
    check_text("prompt", asked.prompt, parts.settings.max_prompt_bytes)
    if asked.negative_prompt is not None:
        check_text("negative_prompt", asked.negative_prompt, parts.settings.max_prompt_bytes, may_be_empty=True)
    if asked.count > parts.settings.max_count:
        raise InvalidRequest(f"count is {asked.count}: at most {parts.settings.max_count} jobs come from one request")
    check_webhook(asked, parts.settings.webhook_allowed)
    entry, reason = _model(parts, asked, image)
    request = request_of(asked, image, end_image)
    request, said = without_strangers(request, parts.sources.library, parts.node.loras)
    resolved = resolve(parts, entry, request)
    limits = parts.limits.current
    tier = limits.tier if asked.tier is None else Tier(asked.tier)
    fallback = Fallback(asked.fallback or parts.settings.fallback)
    found = _plan(parts, entry, resolved, request.loras, tier, asked.variant)
    if not asked.force:
        _check_fits(parts, entry, found, fallback)
    check_disk(parts)
    spec = JobSpec(
        model=entry.id,
        variant=asked.variant,
        request=request,
        tier=tier,
        fallback=fallback,
        memory_limit=limits.memory_limit,
        tile=limits.tile,
        embed=parts.settings.embed_settings if asked.embed_settings is None else asked.embed_settings,
        webhook=asked.webhook_url,
        webhook_ends=None
        if asked.webhook_events is None
        else tuple(kind.removeprefix("job.") for kind in asked.webhook_events),
    )
    return Prepared(
        entry=entry,
        reason=reason,
        spec=spec,
        resolved=resolved,
        adjustments=(*said, *resolved.adjustments),
        forecast=found,
    )


def check_text(name: str, text: str, most: int, *, may_be_empty: bool = False) -> None:
    """Raises InvalidPrompt for what is empty, too long, or no text."""
    if "\0" in text or any(unicodedata.category(char) == "Cs" for char in text):
        raise InvalidPrompt(f"{name} holds characters that are no text: remove NUL and halves of surrogate pairs")
    nbytes = len(text.encode())
    if nbytes > most:
        raise InvalidPrompt(f"{name} has {nbytes} bytes: at most {most} are taken, and a few hundred words do more")
    if not may_be_empty and not text.strip():
        raise InvalidPrompt(f"the {name} is empty: say what the video should show")


def check_webhook(asked: Submit, allowed: Collection[str]) -> None:
    """Raises InvalidRequest for a target that the operator does not allow: nothing else is called for a client."""
    if asked.webhook_url is None and asked.webhook_events is not None:
        raise InvalidRequest("webhook_events says what webhook_url is told: send both")
    if asked.webhook_url is not None and asked.webhook_url not in allowed:
        raise InvalidRequest(
            f"webhook_url is {asked.webhook_url!r:.200}, which the operator does not allow: it has to be in "
            "WANVIDEO_WEBHOOK_ALLOWED, letter by letter"
        )


def request_of(asked: Submit, image: str | None, end_image: str | None) -> GenerationRequest:
    """As it is stored: pictures and LoRAs are names."""
    width, height = _size(asked)
    loras = [use_of(each) for each in asked.loras]
    if asked.lora_path:
        loras.insert(0, LoraUse(source=asked.lora_path, strength=asked.lora_strength))
    return GenerationRequest(
        prompt=asked.prompt.strip(),
        negative_prompt=asked.negative_prompt,
        image=image,
        end_image=end_image,
        width=width,
        height=height,
        frames=asked.frames,
        seconds=asked.seconds,
        steps=asked.steps,
        guidance=asked.guidance,
        guidance_low=asked.guidance_low,
        shift=asked.shift,
        solver=None if asked.solver is None else Solver(asked.solver),
        step_cache=asked.step_cache,
        seed=asked.seed,
        loras=tuple(loras),
        lora_policy=LoraPolicy(asked.lora_policy),
    )


def use_of(asked: LoraBody) -> LoraUse:
    return LoraUse(
        source=asked.name,
        strength=asked.strength,
        strength_low=asked.strength_low,
        expert=None if asked.expert is None else LoraExpert(asked.expert),
    )


def size_of(resolution: str | None) -> tuple[int | None, int | None]:
    if resolution is None:
        return None, None
    width, _, height = resolution.partition("x")
    return int(width), int(height)


def _size(asked: Submit) -> tuple[int | None, int | None]:
    """Raises InvalidSize if it is said twice."""
    if asked.resolution is None:
        return asked.width, asked.height
    if asked.width is not None or asked.height is not None:
        raise InvalidSize("the size is said twice: send resolution, or width and height")
    return size_of(asked.resolution)


def without_strangers(
    request: GenerationRequest, library: LoraLibrary, shared: SharedLoras
) -> tuple[GenerationRequest, tuple[Adjustment, ...]]:
    """LoRAs by their names in the library alone: what else lies on this computer is none of a client's business. What
    another server of the same queue was given is fetched from it.

    Raises LoraNotFound with the policy "fail".
    """
    if not request.loras:
        return request, ()
    names = _names(library)
    uses: list[LoraUse] = []
    said: list[Adjustment] = []
    for use in request.loras:
        asked = str(use.source)
        plain = asked.removesuffix(".safetensors")
        name = names.get(plain.casefold()) or shared.bring(plain)
        if name is not None:
            uses.append(replace(use, source=name))
            continue
        error = LoraNotFound(f"no LoRA is called {asked!r:.100}: GET /api/v1/lora/list shows what there is")
        if request.lora_policy is LoraPolicy.FAIL:
            raise error
        said.append(left_out(asked[:100], error))
    return replace(request, loras=tuple(uses)), tuple(said)


def at_hand(asked: Iterable[LoraBody], library: LoraLibrary) -> tuple[LoraUse, ...]:
    """Those of them that are in the library; nothing else is looked at or fetched."""
    names = _names(library)
    found = ((names.get(each.name.removesuffix(".safetensors").casefold()), each) for each in asked)
    return tuple(replace(use_of(each), source=name) for name, each in found if name is not None)


def _names(library: LoraLibrary) -> Mapping[str, str]:
    return {entry.name.casefold(): entry.name for entry in library.entries()}


def share_loras(parts: Parts, request: GenerationRequest) -> None:
    """Let other machines find the LoRAs of a request that becomes a job. Raises StorageFailed, DiskFull."""
    parts.node.loras.share(str(use.source) for use in request.loras)


def resolve(parts: Parts, entry: ModelEntry, request: GenerationRequest) -> ResolvedRequest:
    """As the model would run it, with its pictures. Raises InvalidRequest and its kinds."""
    pictures = {
        name: parts.inputs.path(value)
        for name, value in (("image", request.image), ("end_image", request.end_image))
        if isinstance(value, str)
    }
    with_pictures = replace(request, image=pictures.get("image"), end_image=pictures.get("end_image"))
    return parts.catalog.families.adapt(entry, with_pictures, library=parts.sources.library)


def _model(parts: Parts, asked: Submit, image: str | None) -> tuple[ModelEntry, str | None]:
    """The one that is named, or the best that is ready."""
    if asked.model_type.strip().casefold() != "auto":
        entry = parts.catalog.resolve(asked.model_type)
        if entry.requires_image and image is None:
            raise ImageRequired(
                f"{entry.id} makes a video from a picture: send one as `image`, or use a model that takes text alone",
                facts={"model": entry.id},
            )
        return entry, None
    has_gpu = parts.monitor.latest.taken.gpu is not None
    for entry in sorted(parts.catalog.entries, key=lambda each: -each.rank):
        takes = entry.takes_image if image else not entry.requires_image
        if entry.rank and takes and has_gpu and not parts.settings.demo and parts.catalog.presence(entry).ready:
            return entry, "the best model that is ready"
    return parts.catalog.demo_of(
        parts.catalog.resolve(I2V if image else T2V)
    ), "a built-in demo: no real model is ready here"


def _plan(
    parts: Parts,
    entry: ModelEntry,
    resolved: ResolvedRequest,
    loras: tuple[LoraUse, ...],
    tier: Tier,
    variant: str | None,
) -> Forecast | None:
    if not isinstance(entry, ModelSpec):  # of another family
        return None
    wish = Wish(
        width=resolved.width,
        height=resolved.height,
        frames=resolved.frames,
        steps=resolved.steps if resolved.sigmas is None else None,
        variant=variant,
        image=resolved.image is not None,
        tier=tier,
        step_cache=resolved.step_cache,
        loras=loras,
    )
    try:
        return forecast(parts, entry, wish)
    except InvalidRequest:
        raise
    except WanVideoError:  # damaged files, which the job will name
        return None


def _check_fits(parts: Parts, entry: ModelEntry, found: Forecast | None, fallback: Fallback) -> None:
    """Raises NoGpu or DoesNotFit, unless something else may be made in its place."""
    if found is None or entry.demo or fallback is Fallback.DEMO:
        return
    demo = parts.catalog.demo_of(entry)
    if found.machine.gpu is None:
        raise NoGpu(
            f"{entry.id} needs an NVIDIA GPU, and there is none here that can be used: use {demo.id}, or send force to "
            "let the CPU work on it for hours",
            suggestions=(f"use the model {demo.id}",),
            facts={"model": entry.id, "demo": demo.id},
        )
    if not fits(parts, found) and fallback is Fallback.OFF:
        short = found.plan.short_bytes
        raise DoesNotFit(
            f"{entry.id} lacks {short / GIB:.1f} GiB of memory for {found.work.width}x{found.work.height} and "
            f"{found.work.frames} frames here",
            suggestions=[each.change for each in found.alternatives if each.plan.fits],
            facts={"model": entry.id, "short_bytes": short},
        )


def check_disk(parts: Parts) -> None:
    """Raises DiskFull if there is too little room for one more video."""
    free, least = parts.free_bytes(), parts.settings.min_free_bytes
    if free < least:
        raise DiskFull(
            f"{free / GIB:.2f} GiB of the disk are free, and {least / GIB:.2f} GiB are kept free: delete some videos",
            facts={"free_bytes": free, "needed_bytes": least},
        )


def settings_to_submit(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The request that made a file, from the settings inside; None if they are not ours."""
    params = settings.get("params")
    if settings.get("app") != "wanvideo" or not isinstance(params, dict):
        return None
    request: dict[str, Any] = {
        "model_type": params.get("model"),
        "prompt": params.get("prompt"),
        "negative_prompt": params.get("negative_prompt"),
        "frames": params.get("frames"),
        "steps": params.get("steps"),
        "guidance": params.get("guidance"),
        "guidance_low": params.get("guidance_low"),
        "shift": params.get("shift"),
        "solver": params.get("solver"),
        "step_cache": params.get("step_cache"),
        "seed": params.get("seed"),
        "tier": params.get("tier"),
        "loras": _loras(params.get("loras")),
    }
    if isinstance(params.get("width"), int) and isinstance(params.get("height"), int):
        request["resolution"] = f"{params['width']}x{params['height']}"
    return {name: value for name, value in request.items() if value is not None}


def _loras(value: object) -> list[dict[str, Any]]:
    """Halves of a pair, which a file names one by one, become the pair again."""
    found: dict[str, dict[str, Any]] = {}
    for each in value if isinstance(value, list) else []:
        if not isinstance(each, dict) or not isinstance(each.get("name"), str):
            continue
        name = each["name"].removesuffix(" (high)").removesuffix(" (low)")
        use = found.setdefault(name, {"name": name, "strength": 0.0, "strength_low": 0.0})
        for side in ("strength", "strength_low"):
            if isinstance(each.get(side), int | float) and each[side]:
                use[side] = each[side]
    return list(found.values())
