"""`wan models verify`, `repair` and `remove`: how downloaded models are, and what to do about it."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import Annotated

import typer

from wanvideo.cli.downloads import cache, confirm, showing_download
from wanvideo.cli.environment import hubs
from wanvideo.cli.interrupt import catching_interruptions
from wanvideo.cli.models import size
from wanvideo.cli.output import FAILED, Output
from wanvideo.cli.pull import Endpoint, Json, Model, Quiet, VariantName, Yes
from wanvideo.errors import Cancelled, ModelMissing
from wanvideo.families.obtain import files_of, named_variant
from wanvideo.families.registry import installed_families
from wanvideo.weights.download.health import Health, Report, check, repair
from wanvideo.weights.download.hub import Hub
from wanvideo.weights.download.plan import latest_commits
from wanvideo.weights.download.removal import plan_removal
from wanvideo.weights.download.removal import remove as remove_files
from wanvideo.weights.entry import ModelEntry
from wanvideo.weights.variants import RemoteFiles, Variant

USABLE = frozenset({Health.PRESENT, Health.READY, Health.OUTDATED})


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
    reports = _reports(spec, variant, deep=deep, hub=hubs(endpoint)[0] if online else None)
    for found, report in reports:
        _show(output, found, report)
    if any(report.health not in USABLE for _, report in reports):
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
            for found, report in _reports(spec, variant, deep=True):
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
    output = Output(json=json)
    spec = installed_families().resolve(model)
    going = _variants(spec, variant)
    wanted = [files for each in going for files in files_of(spec, each)]
    removal = plan_removal(wanted, cache(), keep=_needed_by_others(spec, going))
    if not removal.links and not removal.blobs:
        raise _missing(spec)
    output.say(
        f"{spec.id}: {len(removal.links)} files go, which frees {size(removal.frees_bytes)}"
        + (f"; {len(removal.shared)} stay, since other models need them" if removal.shared else "")
    )
    confirm(output, "delete them?", yes=yes)
    remove_files(removal)
    output.event("removed", files=removal.links, frees_bytes=removal.frees_bytes, kept=removal.shared)
    output.result(f"{size(removal.frees_bytes)} freed")


def _reports(
    spec: ModelEntry, variant: str | None, *, deep: bool, hub: Hub | None = None
) -> list[tuple[Variant, Report]]:
    """Of the named variant, or of all that are here; with `hub`, also whether it has newer files.

    Raises ModelMissing if none is here.
    """
    checked = [(each, check(files_of(spec, each), cache(), deep=deep)) for each in _variants(spec, variant)]
    here = [(each, report) for each, report in checked if report.health is not Health.MISSING]
    if not here:
        raise _missing(spec)
    # Variants share files, so one that nobody wanted looks unfinished: meant is what is whole, or nearest to it.
    whole = [(each, report) for each, report in here if report.health is not Health.INCOMPLETE]
    meant = whole or [max(here, key=lambda found: found[1].nbytes)]
    if hub is None:
        return meant
    return [(each, _compared(files_of(spec, each), report, hub)) for each, report in meant]


def _compared(files: Sequence[RemoteFiles], report: Report, hub: Hub) -> Report:
    """With what the hub has now: whole files of an older commit are outdated."""
    latest = latest_commits(files, hub)
    newer = any(latest.get(repo_id, commit) != commit for repo_id, commit in report.commits.items())
    return replace(report, health=Health.OUTDATED) if newer and report.health in USABLE else report


def _variants(spec: ModelEntry, name: str | None) -> tuple[Variant, ...]:
    return spec.variants if name is None else (named_variant(spec, name),)


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


def _needed_by_others(spec: ModelEntry, going: tuple[Variant, ...]) -> list[RemoteFiles]:
    """Files of every other variant that is whole, of this model and of the others."""
    gone = {variant.id for variant in going}
    entries = installed_families().entries
    # A preset runs with the files of its base, and does not keep them.
    others = [
        files_of(each, variant)
        for each in entries
        for variant in each.variants
        if spec.id not in (each.id, each.base) or variant.id not in gone
    ]
    return [file for files in others if check(files, cache()).health in USABLE for file in files]


def _missing(spec: ModelEntry) -> ModelMissing:
    command = f"wan models pull {spec.id}"
    return ModelMissing(
        f"{spec.id} is not in {cache()}: `{command}` downloads it", suggestions=(command,), facts={"model": spec.id}
    )
