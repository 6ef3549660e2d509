"""What would fit where a video did not: worked out for this computer, with what it would take."""

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from wanvideo.errors import WanVideoError
from wanvideo.failure import Suggestion
from wanvideo.failure.advice import model_change
from wanvideo.families.plan import Alternative, Forecast, plan
from wanvideo.families.protocol import InstalledModel
from wanvideo.pipelines.lossy import FAST_ON
from wanvideo.request import LoraUse, ResolvedRequest, Tier
from wanvideo.runtime.calibration import load_calibration, usual_calibration_file
from wanvideo.runtime.hardware import this_machine
from wanvideo.runtime.machine import predict
from wanvideo.runtime.monitor import GpuUser, gpu_memory
from wanvideo.weights.lora.library import LoraLibrary
from wanvideo.worker.device import Device

_SMALL_MODEL: Final = "ti2v-5B"
_WITNESSES: Final = 2  # programs that are named
_GIB: Final = 2**30


def remedies(
    model: InstalledModel,
    request: ResolvedRequest,
    loras: tuple[LoraUse, ...],
    library: LoraLibrary,
    tier: Tier,
    device: Device,
    limit: int | None,
) -> tuple[Suggestion, ...]:
    """After memory ran out on a GPU, when ours is given back: what fits, and who else holds some. Else nothing.

    loras: of the request as it was asked; those that belong to the model come by themselves.
    """
    if not device.on_gpu:
        return ()
    found = [*others_hold(gpu_memory(device.device.index or 0).others)]
    forecast = partial(_forecast, request=request, loras=loras, library=library, tier=tier, device=device, limit=limit)
    try:
        found += that_fit(forecast(str(model.path)))
        if "A14B" in model.entry.id:
            found += smaller_model(forecast(_SMALL_MODEL))
    except WanVideoError:  # of another family, or a size that the smaller model does not know
        pass
    return tuple(found)


def that_fit(forecast: Forecast) -> Iterator[Suggestion]:
    """Of the other ways to make nearly the same video, those that have room."""
    for other in forecast.alternatives:
        saves = other.model == forecast.model and other.work.step_cache == forecast.work.step_cache
        if other.plan.fits and saves:  # the others take as much
            change = _change(forecast, other)
            yield Suggestion(
                text=f"{other.change}: {_takes(other)}",
                effect=_effect(change),
                change=change,
                code="fitting",
                values={"vram_bytes": other.plan.peak_bytes, "minutes": _minutes(other)},
            )


def smaller_model(forecast: Forecast) -> Iterator[Suggestion]:
    if forecast.fits:
        nbytes = forecast.plan.peak_bytes
        yield Suggestion(
            text=f"Use {forecast.model}: {_bytes(nbytes)} of GPU memory",
            effect="another video, of a smaller model",
            change=model_change(forecast.model),
            code="fitting_model",
            values={"model": forecast.model, "vram_bytes": nbytes},
        )


def others_hold(users: tuple[GpuUser, ...]) -> Iterator[Suggestion]:
    """The programs that hold most."""
    for user in users[:_WITNESSES]:
        if user.nbytes:
            who = user.name or f"process {user.pid}"
            text = f"Close {who}, which holds {_bytes(user.nbytes)} of GPU memory, and try again"
            yield Suggestion(
                text=text,
                effect="the same video",
                change={},
                code="close_program",
                values={"program": who, "vram_bytes": user.nbytes},
            )


def _forecast(
    name: str,
    *,
    request: ResolvedRequest,
    loras: tuple[LoraUse, ...],
    library: LoraLibrary,
    tier: Tier,
    device: Device,
    limit: int | None,
) -> Forecast:
    machine = this_machine(str(device.device), limit)
    # Nothing is measured now, on a GPU that has just run out of memory.
    rates = load_calibration(usual_calibration_file(), machine) or predict(machine)
    return plan(
        name, width=request.width, height=request.height, frames=request.frames, steps=request.steps, tier=tier,
        image=request.image is not None, loras=loras, library=library, device=str(device.device), memory_limit=limit,
        rates=rates,
    )  # fmt: skip


def _change(forecast: Forecast, other: Alternative) -> dict[str, Any]:
    """Only what differs."""
    work, change = forecast.work, {}  # type: tuple[Any, dict[str, Any]]
    if (work.width, work.height) != (other.work.width, other.work.height):
        change["resolution"] = f"{other.work.width}x{other.work.height}"
    if work.frames != other.work.frames:
        change |= {"frames": other.work.frames, "seconds": None}
    return change if other.tier is forecast.tier else change | {"tier": str(other.tier)}


def _effect(change: dict[str, Any]) -> str:
    said = []
    if "resolution" in change:
        said.append("a smaller picture")
    if "frames" in change:
        said.append("a shorter video")
    if "tier" in change:
        fast = change["tier"] == Tier.FAST
        measured = " and ".join(f"{quality.psnr:.0f}" for quality in FAST_ON.values())
        differs = f"the picture differs a little (demo models: {measured} dB to exact)"
        said.append(differs if fast else "the official precision")
    return ", ".join(said)


def _takes(other: Alternative) -> str:
    return f"{_bytes(other.plan.peak_bytes)} of GPU memory, about {_minutes(other)} min"


def _minutes(other: Alternative) -> int:
    return max(1, round(other.plan.seconds / 60))


def _bytes(count: int) -> str:
    return f"{count / _GIB:.1f} GiB"
