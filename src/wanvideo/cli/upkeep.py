"""`wan models verify`, `repair` and `remove`: how downloaded models are, and what to do about it."""

from contextlib import closing
from typing import Annotated

import typer

from wanvideo.cli.downloads import cache, confirm, showing_download
from wanvideo.cli.environment import hubs
from wanvideo.cli.interrupt import catching_interruptions
from wanvideo.cli.models import size
from wanvideo.cli.output import FAILED, Output
from wanvideo.cli.pull import Endpoint, Json, Model, Quiet, VariantName, Yes
from wanvideo.errors import Cancelled
from wanvideo.families.obtain import files_of
from wanvideo.families.registry import installed_families
from wanvideo.families.upkeep import USABLE, removal_of, reports
from wanvideo.weights.download.health import Report, check, repair
from wanvideo.weights.download.removal import remove as remove_files
from wanvideo.weights.variants import Variant


def verify(
    model: Model,
    variant: VariantName = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Hash every file, which alone finds a flipped bit; about 1 min per 50 GB.")
    ] = False,
    online: Annotated[bool, typer.Option("--online", help="Ask the hub whether there is something newer.")] = False,
    endpoint: Endpoint = None,
    json: Json = False,
) -> None:
    """Check the files of a model in the Hugging Face cache; ends with 1 if some are missing or damaged."""
    output = Output(json=json)
    spec = installed_families().resolve(model)
    found = reports(spec, cache(), variant, deep=deep, hub=hubs(endpoint)[0] if online else None)
    for each, report in found:
        _show(output, each, report)
    if any(report.health not in USABLE for _, report in found):
        raise typer.Exit(FAILED)


def repair_model(
    model: Model,
    variant: VariantName = None,
    endpoint: Endpoint = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Hash all files of a model, and fetch again only those that are damaged or missing."""
    output = Output(json=json, quiet=quiet)
    spec = installed_families().resolve(model)
    with catching_interruptions(output):
        try:
            for found, report in reports(spec, cache(), variant, deep=True):
                _show(output, found, report)
                if report.faults:
                    files = files_of(spec, found)
                    repairing = repair(files, report, hubs(endpoint)[0], cache())
                    with showing_download(output) as show, closing(repairing) as events:
                        for event in events:
                            show(event)
                    _show(output, found, check(files, cache()))
        except KeyboardInterrupt:
            raise Cancelled(f"stopped; `wan models repair {spec.id}` goes on from there") from None


def remove(model: Model, variant: VariantName = None, yes: Yes = False, json: Json = False) -> None:
    """Delete the files of a model from the Hugging Face cache; what other models need stays."""
    output, families = Output(json=json), installed_families()
    spec = families.resolve(model)
    removal = removal_of(spec, cache(), families, variant)
    output.say(
        f"{spec.id}: {len(removal.links)} files go, which frees {size(removal.frees_bytes)}"
        + (f"; {len(removal.shared)} stay, since other models need them" if removal.shared else "")
    )
    confirm(output, "delete them?", yes=yes)
    remove_files(removal)
    output.event("removed", files=removal.links, frees_bytes=removal.frees_bytes, kept=removal.shared)
    output.result(f"{size(removal.frees_bytes)} freed")


def _show(output: Output, variant: Variant, report: Report) -> None:
    output.event(
        "health",
        variant=variant.id,
        health=report.health,
        files=report.files,
        bytes=report.nbytes,
        commits=report.commits,
        faults=[{"path": fault.path, "problem": fault.problem} for fault in report.faults],
    )
    output.result(f"{variant.id}: {report}, {report.files} files, {size(report.nbytes)}")
