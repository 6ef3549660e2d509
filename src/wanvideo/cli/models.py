"""`wan models`: what exists, what is on disk, what it needs."""

import logging
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from wanvideo.cli.environment import places
from wanvideo.cli.output import Output, table
from wanvideo.errors import ModelMissing
from wanvideo.families.hardware import this_computer
from wanvideo.families.presence import Presence, look_for
from wanvideo.families.protocol import InstalledModel
from wanvideo.families.registry import installed_families
from wanvideo.request import Task
from wanvideo.weights.entry import ModelEntry
from wanvideo.weights.pick import pick_variant
from wanvideo.weights.places import Places
from wanvideo.weights.variants import PresetLora, Variant

INPUTS = {Task.TEXT_TO_VIDEO: "text", Task.IMAGE_TO_VIDEO: "image"}


app = typer.Typer(invoke_without_command=True)


@app.callback()
def models(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per model and line.")] = False,
) -> None:
    """List the models: what each is good at, whether it is on disk, what it needs."""
    if context.invoked_subcommand is not None:
        return
    output = Output(json=json)
    # What is wrong with a copy stands in the list.
    logging.getLogger("wanvideo.weights.finding").setLevel(logging.ERROR)
    families = installed_families()
    search = families.look_in(places())
    for spec in families.entries:
        presence = look_for(spec, search)
        output.event("model", **presence.facts())
        output.result("\n".join(_lines(presence)) + "\n")
    for problem in families.problems:
        output.event("family", name=problem.family, problem=problem.message)
        output.say(f"warning: {problem.message}")


def model_names(incomplete: str) -> list[str]:
    """For shell completion."""
    return [spec.id for spec in installed_families().entries if spec.id.casefold().startswith(incomplete.casefold())]


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="A model's name.", autocompletion=model_names)],
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show one model: what it makes and takes, what can be downloaded, and what of that suits this computer."""
    output, families = Output(json=json), installed_families()
    spec = families.resolve(name)
    presence = look_for(spec, families.look_in(places()))
    picked = pick_variant(spec, this_computer(_downloads(places()))) if spec.variants else None
    output.event(
        "model",
        **presence.facts(),
        aliases=spec.aliases,
        defaults=asdict(spec.defaults),
        limits=asdict(spec.limits),
        usual_sizes=spec.usual_sizes,
        takes_loras=spec.takes_loras,
        variants=[_variant_facts(variant) for variant in spec.variants],
        loras=[_lora_facts(lora) for lora in spec.loras],
        picked={"variant": picked.variant.id, "reason": picked.reason} if picked else None,
    )
    rows = about(presence) | usage(spec)
    rows |= {f"  {variant.id}": f"{download_size(variant.nbytes)}, {variant.title}" for variant in spec.variants}
    rows |= {
        f"  LoRA {index}": f"{download_size(lora.nbytes)}, {lora.title}" for index, lora in enumerate(spec.loras, 1)
    }
    rows["for this computer"] = f"{picked.variant.id}: {picked.reason}" if picked else None
    output.result(table(rows))


def inputs(spec: ModelEntry) -> str:
    """What a video is made from, such as "text or image"."""
    names = " or ".join(INPUTS[task] for task in Task if task in spec.tasks)
    return f"{names}, end image too" if spec.takes_end_image else names


def about(presence: Presence) -> dict[str, object]:
    """What a model is and where it is, by label; None where there is nothing to say."""
    spec, model = presence.spec, presence.model
    return {
        "model": f"{spec.id}{' (demo)' if spec.demo else ''}: {spec.title}",
        "made from": inputs(spec),
        "good at": spec.good_at,
        "needs": spec.needs,
        "licence": spec.licence,
        "repository": spec.repo_id,
        "on disk": _on_disk(model) if model else None,
        presence.state: presence.problem.message if presence.problem else None,
    }


def usage(spec: ModelEntry) -> dict[str, object]:
    """What a model makes unless told otherwise, and what it can be told, by label."""
    d, limits = spec.defaults, spec.limits
    guidance = f"{d.guidance_high:g}"
    if spec.experts == 2:
        guidance += f" for high noise, {d.guidance_low:g} for low"
    return {
        "defaults": f"{d.width}x{d.height}, {d.frames} frames at {d.fps} fps, {d.steps} steps of {d.solver}, "
        f"shift {d.shift:g}, guidance {guidance}",
        "negative": d.negative_prompt or None,
        "limits": f"sides from {limits.min_side} pixels in multiples of {limits.size_multiple}, area up to "
        f"{limits.max_area} pixels, up to {limits.max_frames} frames",
    }


def size(nbytes: float) -> str:
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if nbytes >= scale:
            return f"{nbytes / scale:.1f} {unit}"
    return f"{nbytes:.0f} bytes"


def download_size(nbytes: int | None) -> str:
    """In 10^9 bytes, as the hub counts."""
    return "size not known beforehand" if nbytes is None else f"{nbytes / 1e9:.1f} GB"


def _lines(presence: Presence) -> Iterator[str]:
    spec, model = presence.spec, presence.model
    yield f"{spec.id}{' (demo)' if spec.demo else ''}: {spec.title}, from {inputs(spec)}"
    yield f"  good at   {spec.good_at}"
    yield f"  needs     {spec.needs}"
    if model is not None:
        yield f"  on disk   {_on_disk(model)}"
        yield from (f"            {part}: {path}" for part, path in model.parts.items())
    elif isinstance(presence.problem, ModelMissing) and presence.problem.suggestions:
        yield f"  missing   `{presence.problem.suggestions[0]}` downloads it"
    elif presence.problem is not None:
        yield f"  {presence.state:9} {presence.problem.message}"


def _on_disk(model: InstalledModel) -> str:
    return f"{size(model.nbytes)}{f' of {model.precision}' if model.precision else ''} in {model.path}"


def _variant_facts(variant: Variant) -> dict[str, object]:
    return {
        "id": variant.id,
        "title": variant.title,
        "bytes": variant.nbytes,
        "quantised": variant.quantised,
        "files": [asdict(files) for files in variant.files],
    }


def _lora_facts(lora: PresetLora) -> dict[str, object]:
    return {
        "title": lora.title,
        "bytes": lora.nbytes,
        "strength": lora.strength_high,
        "strength_low": lora.strength_low,
        "files": [asdict(files) for files in lora.files],
    }


def _downloads(where: Places) -> Path:
    """Where downloads go."""
    assert where.hub_cache is not None  # `environment.places` always names one
    return where.hub_cache
