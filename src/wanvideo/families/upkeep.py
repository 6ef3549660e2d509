"""How downloaded models are, and what removing one would delete. No torch."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from wanvideo.errors import ModelMissing
from wanvideo.families.obtain import files_of, named_variant
from wanvideo.families.registry import Registry
from wanvideo.weights.download.health import Health, Report, check
from wanvideo.weights.download.hub import Hub
from wanvideo.weights.download.plan import latest_commits
from wanvideo.weights.download.removal import Removal, plan_removal
from wanvideo.weights.entry import ModelEntry
from wanvideo.weights.variants import RemoteFiles, Variant

USABLE: Final = frozenset({Health.PRESENT, Health.READY, Health.OUTDATED})


def reports(
    spec: ModelEntry, cache: Path, variant: str | None = None, *, deep: bool = False, hub: Hub | None = None
) -> list[tuple[Variant, Report]]:
    """Of the named variant, or of all that are in the cache; with `hub`, also whether it has newer files.

    deep: hash every file, which alone finds a flipped bit. Raises ModelMissing if none is here, UnknownVariant.
    """
    checked = [(each, check(files_of(spec, each), cache, deep=deep)) for each in variants_of(spec, variant)]
    here = [(each, report) for each, report in checked if report.health is not Health.MISSING]
    if not here:
        raise not_downloaded(spec, cache)
    # Variants share files, so one that nobody wanted looks unfinished: meant is what is whole, or nearest to it.
    whole = [(each, report) for each, report in here if report.health is not Health.INCOMPLETE]
    meant = whole or [max(here, key=lambda found: found[1].nbytes)]
    if hub is None:
        return meant
    return [(each, _compared(files_of(spec, each), report, hub)) for each, report in meant]


def removal_of(spec: ModelEntry, cache: Path, families: Registry, variant: str | None = None) -> Removal:
    """What removing a model, or one variant of it, would delete; what other models need stays.

    Raises ModelMissing if nothing of it is in the cache, UnknownVariant.
    """
    going = variants_of(spec, variant)
    wanted = [files for each in going for files in files_of(spec, each)]
    removal = plan_removal(wanted, cache, keep=_needed_by_others(spec, going, cache, families))
    if not removal.links and not removal.blobs:
        raise not_downloaded(spec, cache)
    return removal


def variants_of(spec: ModelEntry, name: str | None) -> tuple[Variant, ...]:
    """The one of that name, or all. Raises UnknownVariant."""
    return spec.variants if name is None else (named_variant(spec, name),)


def not_downloaded(spec: ModelEntry, cache: Path) -> ModelMissing:
    command = f"wan models pull {spec.id}"
    return ModelMissing(
        f"{spec.id} is not in {cache}: `{command}` downloads it", suggestions=(command,), facts={"model": spec.id}
    )


def _compared(files: Sequence[RemoteFiles], report: Report, hub: Hub) -> Report:
    """With what the hub has now: whole files of an older commit are outdated."""
    latest = latest_commits(files, hub)
    newer = any(latest.get(repo_id, commit) != commit for repo_id, commit in report.commits.items())
    return replace(report, health=Health.OUTDATED) if newer and report.health in USABLE else report


def _needed_by_others(
    spec: ModelEntry, going: tuple[Variant, ...], cache: Path, families: Registry
) -> list[RemoteFiles]:
    """Files of every other variant that is whole, of this model and of the others."""
    gone = {variant.id for variant in going}
    # A preset runs with the files of its base, and does not keep them.
    others = [
        files_of(each, variant)
        for each in families.entries
        for variant in each.variants
        if spec.id not in (each.id, each.base) or variant.id not in gone
    ]
    return [file for files in others if check(files, cache).health in USABLE for file in files]
