"""`wan plan`: what a video will take, before anything is loaded."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from wanvideo.cli.environment import lora_library, places
from wanvideo.cli.lora import lora_names
from wanvideo.cli.models import model_names, size
from wanvideo.cli.output import FAILED, Output, table
from wanvideo.cli.values import number, parse_bytes, parse_lora, parse_size, whole
from wanvideo.errors import InvalidRequest
from wanvideo.families.plan import Alternative, Forecast
from wanvideo.request import Phase, Tier
from wanvideo.runtime.architecture import Work
from wanvideo.runtime.machine import PROFILES
from wanvideo.runtime.memory_model import MemoryModel
from wanvideo.runtime.placement import MemoryPlan, Placement, Source
from wanvideo.runtime.process import before_torch

PHASES = {
    Phase.LOAD: "read files, the first time",
    Phase.ENCODE: "encode",
    Phase.DENOISE: "denoise",
    Phase.DECODE: "decode",
}


def _profiles(incomplete: str) -> list[str]:
    """For shell completion."""
    return [name for name in PROFILES if name.startswith(incomplete.casefold())]


def plan(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A name from `wan models`, on disk or not, or a folder.", autocompletion=model_names
        ),
    ],
    width: Annotated[int | None, typer.Option(parser=whole, metavar="N", help="Pixels.")] = None,
    height: Annotated[int | None, typer.Option(parser=whole, metavar="N", help="Pixels.")] = None,
    wanted_size: Annotated[
        str | None, typer.Option("--size", metavar="WxH", help="Both, such as 832x480; or 480p or 720p.")
    ] = None,
    frames: Annotated[int | None, typer.Option(parser=whole, metavar="N", help="4 n + 1 of them.")] = None,
    steps: Annotated[int | None, typer.Option(parser=whole, metavar="N", help="Of denoising.")] = None,
    variant: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which form of the model: one from `wan models show`, such as fp8."),
    ] = None,
    tier: Annotated[
        Tier,
        typer.Option(
            help="exact: as the official code; fast: matrix products and attention in 8 bits. For fewer steps (turbo), "
            "name a -lightning model."
        ),
    ] = Tier.EXACT,
    step_cache: Annotated[
        float | None, typer.Option(parser=number, metavar="X", help="As for `wan generate`, such as 0.05. Lossy.")
    ] = None,
    image: Annotated[bool, typer.Option("--image", help="The video begins with a picture.")] = False,
    lora: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[high=|low=]NAME_OR_PATH[:STRENGTH]", help="As for `wan generate`.", autocompletion=lora_names
        ),
    ] = None,
    memory_limit: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Of GPU memory, such as 12GiB. Default: all that is free.")
    ] = None,
    gpus: Annotated[int, typer.Option(min=1, max=16, metavar="N", help="That make the video together.")] = 1,
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Plan for another computer: {', '.join(PROFILES)}. Predicted, not measured.",
            autocompletion=_profiles,
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what lives where, how much memory and time a video takes, and what else there is to choose.

    Nothing is loaded or downloaded. The first time on a computer, a few seconds go to measuring how fast it is. Ends
    with 1 if the video does not fit.
    """
    from wanvideo.families.plan import plan as forecast_of

    if wanted_size is not None:
        if width is not None or height is not None:
            raise InvalidRequest("--size says both sides: leave out --width and --height, or --size")
        width, height = parse_size(wanted_size)
    before_torch()
    forecast = forecast_of(
        model,
        width=width,
        height=height,
        frames=frames,
        steps=steps,
        variant=variant,
        tier=tier,
        step_cache=step_cache,
        image=image,
        loras=tuple(parse_lora(text) for text in lora or ()),
        device=device,
        memory_limit=None if memory_limit is None else parse_bytes(memory_limit),
        gpus=gpus,
        machine=profile,
        roots=places().roots,
        library=lora_library(),
    )
    output = Output(json=json)
    output.event("plan", **_facts(forecast))
    output.result(_text(forecast))
    if not forecast.fits:
        raise typer.Exit(FAILED)


# --- for people ------------------------------------------------------------------------------------------------------


def _text(forecast: Forecast) -> str:
    decided, work, machine = forecast.plan, forecast.work, forecast.machine
    on_gpu = machine.gpu is not None
    frames = f"{work.frames} frame{'s' if work.frames > 1 else ''}"
    there = "" if forecast.on_disk else ", not on disk yet"
    rows: dict[str, object] = {
        "video": f"{forecast.model} ({forecast.precision}{there}), {work.width}x{work.height}, {frames}, "
        f"{work.steps} steps{', two passes each' if work.guided else ''}{_cached(work)}{_beside(work)}, "
        f"tier {forecast.tier}",
        "computer": _computer(forecast),
    }
    if on_gpu:
        rows["transformer"] = _transformer(forecast)
        rows["text encoder"] = _text_encoder(decided)
        rows["autoencoder"] = _autoencoder(decided)
        rows["GPU memory"] = (
            f"{size(decided.peak_bytes)} at the peak, of {size(decided.cap_bytes)}; "
            f"besides, {size(MemoryModel().context)} of CUDA itself"
        )
    pinned = f", {size(decided.pinned_bytes)} of it pinned" if decided.pinned_bytes else ""
    rows["host memory"] = f"{size(decided.host_bytes)}{pinned}, of {size(machine.host_available)} available"
    rows["time"] = f"{duration(decided.seconds)}: {', '.join(_phases(decided))}"
    if forecast.quality:
        rows["quality"] = "; ".join(f"{each.setting}: {each}" for each in forecast.quality)
    rates = "predicted from rates " if decided.rates.startswith("measured") else ""
    rows["numbers"] = f"memory is predicted; time is {rates}{decided.rates}"
    lines = [table(rows)]
    lines += [f"changed: {each.field} {each.asked} -> {each.used}: {each.reason}" for each in forecast.adjustments]
    lines += ["", *(f"- {note}" for note in decided.notes)]
    if not decided.fits:
        lines += ["", f"It does not fit: {size(decided.short_bytes)} are missing."]
        fitting = [each for each in forecast.alternatives if each.plan.fits]
        offered = [_alternative(forecast, each) for each in fitting]
        lines += ["What would fit:", *offered] if fitting else ["No smaller video fits either."]
    elif forecast.alternatives:
        lines += ["", "Instead:", *(_alternative(forecast, each) for each in forecast.alternatives)]
    return "\n".join(lines)


def _beside(work: Work) -> str:
    return f", {size(work.lora_bytes)} of LoRAs" if work.lora_bytes else ""


def _cached(work: Work) -> str:
    if work.step_cache is None:
        return ""
    count = f", of which about {100 * work.computed:.0f} % are computed" if work.computed < 1 else ""
    return f", step cache {work.step_cache:g} (lossy){count}"


def _computer(forecast: Forecast) -> str:
    machine = forecast.machine
    host = f"{size(machine.host_total)} of host memory"
    if machine.gpu is None:
        return f"no GPU, {host}"
    limit = f", at most {size(machine.memory_limit)} of it to be used" if machine.memory_limit else ""
    gpu = machine.gpu if machine.gpus == 1 else f"{machine.gpus} of {machine.gpu}"
    return f"{gpu}, {size(machine.gpu_free)} of {size(machine.gpu_total)} free{limit}; {host}"


def _transformer(forecast: Forecast) -> str:
    blocks, architecture = forecast.plan.transformer, forecast.architecture
    slab = size(architecture.slab(forecast.tier))
    who = f"each of {architecture.experts} experts" if architecture.experts > 1 else "whole"
    total = f"{architecture.blocks} blocks of {slab}"
    if forecast.plan.keep_all:
        return f"{who} on the GPU: {total}"
    if not blocks.streamed:
        return f"{'the expert at work' if architecture.experts > 1 else 'whole'} on the GPU: {total}"
    where = "pinned host memory" if blocks.source is Source.PINNED else "the disk"
    return (
        f"{blocks.resident} of {total} on the GPU, {blocks.streamed} streamed from {where} through "
        f"{blocks.buffers} buffers"
    )


def _text_encoder(decided: MemoryPlan) -> str:
    match decided.text_encoder.placement:
        case Placement.RESIDENT:
            return "on the GPU" + (", and stays there" if decided.text_encoder.keep else " until the prompt is encoded")
        case Placement.STREAMED:
            return "through the GPU block by block"
        case Placement.CPU:
            return "on the CPU"


def _autoencoder(decided: MemoryPlan) -> str:
    vae = decided.vae
    tiles = "the whole picture at once" if vae.tiles is None else f"in tiles of {vae.tiles} pixels"
    return f"{vae.dtype}, {tiles}, on the {'GPU' if vae.device == 'cuda' else 'CPU'}"


def _phases(decided: MemoryPlan) -> Iterator[str]:
    return (f"{PHASES[phase.phase]} {duration(phase.seconds)}" for phase in decided.phases)


def _alternative(forecast: Forecast, other: Alternative) -> str:
    decided = other.plan
    vae = f", decoded in tiles of {decided.vae.tiles}" if decided.vae.tiles else ""
    streamed = f", {decided.transformer.streamed} blocks streamed" if decided.transformer.streamed else ""
    fits = "" if decided.fits else f" (does not fit: {size(decided.short_bytes)} are missing)"
    new = [each for each in other.quality if each not in forecast.quality]
    quality = "".join(f"; {each.setting}: {each}" for each in new)
    return f"- {other.change}: {size(decided.peak_bytes)}, {duration(decided.seconds)}{streamed}{vae}{fits}{quality}"


def duration(seconds: float) -> str:
    """To two digits or so, as a prediction deserves."""
    if seconds < 1:
        return "under 1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.1f} min" if seconds < 600 else f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


# --- for programs ----------------------------------------------------------------------------------------------------


def _facts(forecast: Forecast) -> dict[str, object]:
    return {
        "model": forecast.model,
        "precision": forecast.precision,
        "on_disk": forecast.on_disk,
        "machine": asdict(forecast.machine),
        "work": asdict(forecast.work),
        "adjustments": [asdict(each) for each in forecast.adjustments],
        **_plan_facts(forecast.plan),
        "quality": [asdict(each) for each in forecast.quality],
        "alternatives": [
            {
                "change": each.change,
                "model": each.model,
                "work": asdict(each.work),
                "quality": [asdict(quality) for quality in each.quality],
                **_plan_facts(each.plan),
            }
            for each in forecast.alternatives
        ],
    }


def _plan_facts(decided: MemoryPlan) -> dict[str, object]:
    return {
        **asdict(decided),
        "fits": decided.fits,
        "peak_bytes": decided.peak_bytes,
        "seconds": round(decided.seconds, 1),
    }
