"""Any request -> one that the model can run, with every change listed; what cannot be done is refused. No torch.

The rules, in short: sizes go to the nearest legal one, frames to the nearest 4 n + 1, ties up; a picture without a size
gives its shape and the model its area; unset values get the model's defaults. A value outside its range is refused,
never clipped, since nobody can tell what was meant.
"""

import math
import secrets
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from numbers import Integral, Real

from wanvideo.errors import ImageNotTaken, ImageRequired, InvalidFrames, InvalidPrompt, InvalidRequest, InvalidSize
from wanvideo.pipelines.loras import SHIPPED, resolve_loras
from wanvideo.pipelines.size import (
    MAX_SIDE,
    Size,
    best_size,
    covering,
    floored_size,
    is_rounded,
    legal_sizes,
    nearest_legal,
    with_aspect,
)
from wanvideo.request import (
    Adjustment,
    GenerationRequest,
    ImageSource,
    LoraPolicy,
    LoraUse,
    ResolvedRequest,
    Solver,
    Task,
)
from wanvideo.weights.catalog import MODELS
from wanvideo.weights.entry import Limits, ModelEntry
from wanvideo.weights.lora.library import LoraLibrary

MAX_SEED = 2**63 - 1
DRAWN_SEEDS = 2**32  # a seed that is drawn stays short enough to be read out
MAX_PROMPT = 100_000  # characters; the text encoder reads some two thousand


def adapt(
    spec: ModelEntry,
    request: GenerationRequest,
    *,
    catalog: Sequence[ModelEntry] = MODELS,
    library: LoraLibrary | None = None,
    preset: Sequence[LoraUse] = (),
) -> ResolvedRequest:
    """The request as `spec` can run it. Reads the pictures, for their shapes; draws a seed if none is given.

    catalog: where errors find the models that could do it instead.
    library: where the names of LoRAs are looked up; None: only those that ship with the package, and paths.
    preset: LoRAs that belong to the model itself, which cannot go without them.

    Raises InvalidRequest or one of its kinds, with the legal values.
    """
    changes: list[Adjustment] = []
    prompt = _text(changes, "prompt", request.prompt)
    if not _says_something(prompt):
        raise InvalidPrompt("the prompt is empty: say what the video should show")
    image, end_image = _images(spec, request, catalog)
    frames = _frames(changes, spec, request)
    if frames == 1 and (end_image is not None or (image is not None and spec.image_in_latents)):
        raise InvalidFrames("1 frame would be the picture that was given: ask for at least 5 frames")
    size = _size(changes, spec, request, image)
    _note_cropping(changes, spec, request, size, image=image, end_image=end_image)
    guidance_high, guidance_low = _guidance(changes, spec, request)
    solver = _solver(spec, request.solver)
    steps, shift, sigmas = _noise_levels(changes, spec, request, solver)
    library = library or LoraLibrary(roots=(SHIPPED,))
    loras = resolve_loras(changes, spec, preset, LoraPolicy.FAIL, library)
    loras += resolve_loras(changes, spec, request.loras, request.lora_policy, library)
    return ResolvedRequest(
        model=spec.id,
        task=Task.TEXT_TO_VIDEO if image is None else Task.IMAGE_TO_VIDEO,
        prompt=prompt,
        negative_prompt=_negative(changes, spec, request.negative_prompt),
        image=request.image,
        end_image=request.end_image,
        width=size.width,
        height=size.height,
        frames=frames,
        fps=spec.defaults.fps,
        steps=steps,
        guidance_high=guidance_high,
        guidance_low=guidance_low,
        shift=shift,
        sigmas=sigmas,
        solver=solver,
        seed=_seed(request.seed),
        step_cache=_step_cache(request.step_cache, spec.limits.max_step_cache),
        loras=loras,
        adjustments=tuple(changes),
    )


def _changed(changes: list[Adjustment], field: str, asked: object, used: object, reason: str) -> None:
    changes.append(Adjustment(field=field, asked=str(asked), used=str(used), reason=reason))


# --- text ------------------------------------------------------------------------------------------------------------


def _text(changes: list[Adjustment], name: str, value: object) -> str:
    """A prompt without what no keyboard can type; white space of every kind is left for the tokenizer to clean."""
    if not isinstance(value, str):
        raise InvalidPrompt(f"{name} is {_shown(value)}: it must be text")
    if len(value) > MAX_PROMPT:
        raise InvalidPrompt(
            f"{name} has {len(value)} characters: at most {MAX_PROMPT} are read, and a few hundred words do more",
            facts={"characters": len(value)},
        )
    kept = "".join(char for char in value if char.isspace() or unicodedata.category(char) not in ("Cc", "Cs"))
    if kept != value:
        _changed(changes, name, f"{len(value)} characters", f"{len(kept)}", "control characters are left out")
    return kept


def _says_something(text: str) -> bool:
    """Whether anything in `text` can be seen: white space and format characters cannot."""
    return any(unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp", "Zs") for char in text)


def _negative(changes: list[Adjustment], spec: ModelEntry, value: str | None) -> str:
    """Unset is the model's default; empty is really empty."""
    if value is None:
        return spec.defaults.negative_prompt
    text = _text(changes, "negative_prompt", value)
    return text if _says_something(text) else ""


# --- pictures --------------------------------------------------------------------------------------------------------


def _images(
    spec: ModelEntry, request: GenerationRequest, catalog: Sequence[ModelEntry]
) -> tuple[Size | None, Size | None]:
    """The sizes of the first and the last frame, where they are given and the model takes them."""
    if request.end_image is not None and not spec.takes_end_image:
        models = _models(spec, [other for other in catalog if other.takes_end_image])
        raise ImageNotTaken(f"{spec.id} takes no end image: {_instead(models)}", suggestions=models)
    if request.image is not None and not spec.takes_image:
        models = _models(spec, [other for other in catalog if other.takes_image])
        raise ImageNotTaken(f"{spec.id} takes no image: {_instead(models)}", suggestions=models)
    if request.image is None and request.end_image is not None:
        raise ImageRequired("an end image is given without a first one: give both, or the first one alone")
    if request.image is None and spec.requires_image:
        models = _models(spec, [other for other in catalog if not other.requires_image])
        raise ImageRequired(
            f"{spec.id} needs an image, which becomes the first frame: "
            + (f"give one, or use {' or '.join(models)}" if models else "give one"),
            suggestions=models,
        )
    return _size_of(request.image), _size_of(request.end_image)


def _models(spec: ModelEntry, others: list[ModelEntry]) -> tuple[str, ...]:
    """Their names, without presets; to a demo model, the other demo models are the alternatives."""
    return tuple(other.id for other in others if other.demo == spec.demo and other.base is None)


def _instead(models: Sequence[str]) -> str:
    return f"use {' or '.join(models)}" if models else "leave it out"


def _size_of(source: "ImageSource | None") -> Size | None:
    if source is None:
        return None
    from wanvideo.media.image import load_image  # here: it brings Pillow

    return Size(*load_image(source).size)


def _note_cropping(
    changes: list[Adjustment],
    spec: ModelEntry,
    request: GenerationRequest,
    size: Size,
    *,
    image: Size | None,
    end_image: Size | None,
) -> None:
    """Say when a picture loses its edges for a size that it did not choose itself."""
    chosen = request.width is not None or request.height is not None
    for field, picture in (("image", image), ("end_image", end_image)):
        if picture is None or is_rounded(size, picture, spec.limits.size_multiple):
            continue
        cover = covering(picture, size)
        why = "the size asked for" if chosen else "the size of the first frame" if field == "end_image" else "its size"
        used = f"scaled to {cover}, the middle {size} of it"
        _changed(changes, field, str(picture), used, f"{why} has another shape, so the edges are cropped")


# --- size and length -------------------------------------------------------------------------------------------------


def _size(changes: list[Adjustment], spec: ModelEntry, request: GenerationRequest, image: Size | None) -> Size:
    defaults, limits = spec.defaults, spec.limits
    width = None if request.width is None else _side(spec, "width", request.width)
    height = None if request.height is None else _side(spec, "height", request.height)
    shape = image or Size(defaults.width, defaults.height)
    if width is not None and height is not None:
        field, asked = "size", Size(width, height)
    elif width is not None:
        field, asked = "width", Size(width, with_aspect(width, shape.width, shape.height))
    elif height is not None:
        field, asked = "height", Size(with_aspect(height, shape.height, shape.width), height)
    elif image is None:
        return shape
    else:
        rule = best_size if spec.image_in_latents else floored_size
        return rule(image, defaults.width * defaults.height, limits)
    used = nearest_legal(asked, limits)
    before, after = (asked, used) if field == "size" else (getattr(asked, field), getattr(used, field))
    if before != after:
        _changed(changes, field, before, after, f"the nearest legal size; {legal_sizes(limits)}")
    return used


def _side(spec: ModelEntry, name: str, value: object) -> int:
    """A width or height in pixels, not yet rounded."""
    limits = spec.limits
    return _whole(name, value, limits.min_side, MAX_SIDE, InvalidSize, legal_sizes(limits))


def _frames(changes: list[Adjustment], spec: ModelEntry, request: GenerationRequest) -> int:
    most, fps = spec.limits.max_frames, spec.defaults.fps
    legal = f"frames are 4 n + 1: 1, 5, 9, ... up to {most}, which is {most / fps:g} seconds at {fps} a second"
    by_frames, by_seconds = None, None
    if request.frames is not None:
        frames = _whole("frames", request.frames, 1, most, InvalidFrames, legal)
        by_frames = _nearest_frames(frames)
        if by_frames != frames:
            _changed(changes, "frames", frames, by_frames, "frames are 4 n + 1")
    if request.seconds is not None:
        seconds = _real("seconds", request.seconds, 1 / fps, most / fps, InvalidFrames, legal)
        by_seconds = _nearest_frames(seconds * fps)
        # Of 81 frames at 16 a second, the first shows the start and the last the end of 5 seconds.
        if by_frames is None and seconds * fps not in (by_seconds, by_seconds - 1):
            used = f"{by_seconds / fps:g} ({by_seconds} frames)"
            _changed(changes, "seconds", f"{seconds:g}", used, "frames are 4 n + 1")
    if by_frames is not None and by_seconds is not None and by_frames != by_seconds:
        raise InvalidFrames(
            f"{request.frames} frames and {request.seconds} seconds are both asked for, but {request.seconds} seconds "
            f"are {by_seconds} frames at {fps} a second: give one of the two"
        )
    return by_frames or by_seconds or spec.defaults.frames


def _nearest_frames(frames: float) -> int:
    """The nearest 4 n + 1, ties up."""
    return max(0, math.floor((frames + 1) / 4)) * 4 + 1


# --- sampling --------------------------------------------------------------------------------------------------------


def _guidance(changes: list[Adjustment], spec: ModelEntry, request: GenerationRequest) -> tuple[float, float]:
    """Of the high-noise and of the low-noise expert; one transformer has one scale, given twice."""
    high, low = spec.defaults.guidance_high, spec.defaults.guidance_low
    if request.guidance is not None:
        high = low = _scale(spec.limits, "guidance", request.guidance)
    if request.guidance_low is not None:
        low = _scale(spec.limits, "guidance_low", request.guidance_low)
    if spec.experts == 1 and request.guidance_low is not None and low != high:
        _changed(changes, "guidance_low", low, high, f"{spec.id} has one transformer, and so only `guidance`")
    return (high, low) if spec.experts == 2 else (high, high)


def _scale(limits: Limits, name: str, value: object) -> float:
    hint = f"legal values are 0 to {limits.max_guidance:g}; 1 is no guidance, and 3 to 6 are usual"
    return _real(name, value, 0, limits.max_guidance, InvalidRequest, hint)


def _solver(spec: ModelEntry, value: object) -> Solver:
    if value is None:
        return spec.defaults.solver
    try:
        return Solver(str(value))
    except ValueError as error:
        raise InvalidRequest(f"no solver is called {_shown(value)}: there are {', '.join(Solver)}") from error


def _noise_levels(
    changes: list[Adjustment], spec: ModelEntry, request: GenerationRequest, solver: Solver
) -> tuple[int, float, tuple[float, ...] | None]:
    """Steps, shift, and the noise levels where they are given instead."""
    steps, shift = spec.defaults.steps, spec.defaults.shift
    usual = request.steps in (None, steps) and request.shift in (None, shift)
    sigmas = spec.defaults.sigmas if usual else None
    if request.steps is not None:
        legal = f"legal values are 1 to {spec.limits.max_steps}; {steps} are usual for {spec.id}"
        steps = _whole("steps", request.steps, 1, spec.limits.max_steps, InvalidRequest, legal)
    if request.shift is not None:
        least, most = spec.limits.min_shift, spec.limits.max_shift
        legal = f"legal values are {least:g} to {most:g}; {shift:g} is usual for {spec.id}"
        shift = _real("shift", request.shift, least, most, InvalidRequest, legal)
    if request.sigmas is not None:
        sigmas = _levels(request.sigmas, spec.limits.max_steps)
        used = sum(level > 0 for level in sigmas)
        if request.steps is not None and steps != used:
            _changed(changes, "steps", steps, used, "sigmas are given, one for each step")
        if request.shift is not None:
            _changed(changes, "shift", f"{shift:g}", "none", "sigmas are given, and are used as they are")
        steps = used
    from wanvideo.sampling.schedule import make_schedule  # here: it brings numpy

    make_schedule(solver, steps, shift, sigmas)  # raises now what it would raise later
    return steps, shift, sigmas


def _levels(values: object, most: int) -> tuple[float, ...]:
    hint = f"give at most {most} noise levels from 1 down to 0, such as 1, 0.75, 0.5, 0.25"
    if not isinstance(values, tuple | list) or len(values) > most:
        raise InvalidRequest(f"sigmas are {_shown(values)}: {hint}")
    return tuple(_real("a value of sigmas", value, 0, 1, InvalidRequest, hint) for value in values)


def _step_cache(value: object, most: float) -> float | None:
    """The threshold; None where the cache is off."""
    if value is None:
        return None
    legal = f"legal values are 0 (off) to {most:g}; 0.05 is usual, and more changes the video more"
    return _real("step_cache", value, 0, most, InvalidRequest, legal) or None


def _seed(value: object) -> int:
    if value is None:
        return secrets.randbelow(DRAWN_SEEDS)
    legal = f"legal values are 0 to {MAX_SEED}; without one, a seed is drawn"
    return _whole("seed", value, 0, MAX_SEED, InvalidRequest, legal)


# --- numbers ---------------------------------------------------------------------------------------------------------


def _whole(name: str, value: object, least: int, most: int, error: type[InvalidRequest], legal: str) -> int:
    if isinstance(value, Integral) and not isinstance(value, bool) and least <= int(value) <= most:
        return int(value)
    raise error(f"{name}: {_shown(value)} cannot be used: {legal}", facts={"field": name})


def _real(name: str, value: object, least: float, most: float, error: type[InvalidRequest], legal: str) -> float:
    with suppress(OverflowError):  # whole numbers too large for a float
        if isinstance(value, Real) and not isinstance(value, bool) and least <= float(value) <= most:
            return float(value)
    raise error(f"{name}: {_shown(value)} cannot be used: {legal}", facts={"field": name})


def _shown(value: object) -> str:
    """`value` for a message, which stays short and always succeeds."""
    try:
        return repr(value)[:100]
    except ValueError:  # Python writes out no whole number of more than 4300 digits
        return "a number with thousands of digits"
