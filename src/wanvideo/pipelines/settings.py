"""What a video was made with, as JSON values: written into files, and compared when a run is resumed. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from pathlib import Path
from typing import Final

from wanvideo.request import ImageSource, Phase, ResolvedLora, ResolvedRequest

SCHEMA: Final = 1


def parameters(request: ResolvedRequest) -> dict[str, object]:
    """Everything that the result depends on, under the names of `GenerationRequest` where it has them.

    Pictures appear by file name only: where they lie is nobody else's business.
    """
    return {
        "model": request.model,
        "task": request.task.value,
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "image": _name(request.image),
        "end_image": _name(request.end_image),
        "width": request.width,
        "height": request.height,
        "frames": request.frames,
        "fps": request.fps,
        "steps": request.steps,
        "guidance": request.guidance_high,
        "guidance_low": request.guidance_low,
        "shift": request.shift,
        "sigmas": None if request.sigmas is None else list(request.sigmas),
        "solver": request.solver.value,
        "step_cache": request.step_cache,
        "seed": request.seed,
        "loras": [_lora(lora) for lora in request.loras],
        "tier": request.tier.value,
    }


def settings(
    request: ResolvedRequest, timing: Mapping[Phase, float], models: Sequence[str] = (), *, reused: int = 0
) -> dict[str, object]:
    """The JSON object that goes into a finished file.

    timing: seconds of each phase. reused: steps that the step cache spared.
    """
    return {
        "app": "wanvideo",
        "version": package_version(),
        "schema": SCHEMA,
        "params": parameters(request),
        "models": [{"id": name} for name in models or (request.model,)],
        "steps": {"computed": request.steps - reused, "reused": reused},
        "timing": {phase.value: round(seconds, 3) for phase, seconds in timing.items()},
        "adjustments": [asdict(adjustment) for adjustment in request.adjustments],
    }


def package_version() -> str:
    try:
        return version("wanvideo")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "unknown"


def _lora(lora: ResolvedLora) -> dict[str, object]:
    """By name, with what tells its content from that of another file of the same name."""
    return {
        "name": lora.name,
        "digest": lora.digest,
        "strength": lora.strength,
        "strength_low": lora.strength_low,
    }


def _name(source: "ImageSource | None") -> str | None:
    if source is None:
        return None
    return Path(source).name if isinstance(source, str | PathLike) else "image"
