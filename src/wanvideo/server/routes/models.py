"""Models: /models."""

from datetime import timedelta
from typing import Annotated

from fastapi import Body, Path, Query, Request

from wanvideo.errors import InvalidRequest, ModelMissing
from wanvideo.failure.paths import without_folders
from wanvideo.families.upkeep import USABLE, removal_of, reports
from wanvideo.request import Tier
from wanvideo.server.adding import add_files
from wanvideo.server.deps import CatalogDep, DownloadsDep, PartsDep
from wanvideo.server.forecast import Wish, forecast, plan_view
from wanvideo.server.health import health_of, integration_of
from wanvideo.server.history import performance, recent
from wanvideo.server.model_views import MB, download_view, model_status, model_view, now
from wanvideo.server.parts import Parts
from wanvideo.server.recommend import cleanup, substitutes
from wanvideo.server.responses import group
from wanvideo.server.schemas.common import Message
from wanvideo.server.schemas.models import (
    AddBody,
    AddedView,
    Analytics,
    Cleanup,
    CleanupBody,
    DownloadBody,
    DownloadStarted,
    DownloadView,
    DownloadViews,
    FaultView,
    Integration,
    ManageBody,
    Managed,
    Models,
    ModelsHealth,
    ModelsStatus,
    ModelsSummary,
    ModelStatus,
    ModelView,
    Removed,
    Repairing,
    SuggestBody,
    Suggested,
    Validated,
    VariantHealth,
    Verified,
)
from wanvideo.server.schemas.plans import PlanBody, PlanView
from wanvideo.server.submission import at_hand
from wanvideo.weights.download.health import Report, discard
from wanvideo.weights.download.removal import remove as remove_files
from wanvideo.weights.entry import ModelEntry
from wanvideo.weights.variants import Variant

router = group("models", "/models")

ModelType = Annotated[str, Path(max_length=100, description="A model or a type, in any spelling.")]


@router.get("")
def list_models(parts: PartsDep) -> Models:
    """The whole catalog, with what is on disk and what suits this computer."""
    views = [_view(parts, entry) for entry in parts.catalog.entries]
    problems = [without_folders(problem.message) for problem in parts.catalog.families.problems]
    return Models(models=views, problems=problems)


@router.get("/status")
def get_models_status(parts: PartsDep) -> ModelsStatus:
    """In the words of existing clients, by id: the three types, and all models that are on disk."""
    wire = {entry.id for entry in parts.catalog.wire_entries().values()}
    presences = parts.catalog.presences()
    wanted = [entry for entry in parts.catalog.entries if entry.id in wire or presences[entry.id].ready]
    models = {entry.id: _status(parts, entry) for entry in wanted}
    available = sum(status.is_available for status in models.values())
    return ModelsStatus(models=models, timestamp=now(), total_models=len(models), available_models=available)


@router.get("/status/detailed")
def get_models_status_detailed(parts: PartsDep) -> ModelsStatus:
    """Of every model of the catalog."""
    models = {entry.id: _status(parts, entry) for entry in parts.catalog.entries}
    available = sum(status.is_available for status in models.values())
    return ModelsStatus(models=models, timestamp=now(), total_models=len(models), available_models=available)


@router.get("/status/{model_type}")
def get_model_status(model_type: ModelType, parts: PartsDep) -> ModelStatus:
    return _status(parts, parts.catalog.at(model_type))


@router.post("/download")
def download_model(body: DownloadBody, parts: PartsDep) -> DownloadStarted:
    """Begin to download a model, or go on with it."""
    entry = parts.catalog.listed(body.model_type)
    presence = parts.catalog.presence(entry)
    if not entry.variants or (presence.ready and body.variant is None and not body.force_redownload):
        return DownloadStarted(message=f"{entry.id} is here", model_type=body.model_type, status="already_available")
    if body.force_redownload:
        _discard_damaged(parts, entry)
    download = parts.downloads.add(entry.id, body.variant, priority=body.priority)
    return DownloadStarted(
        message=f"{entry.id} is downloaded as {download.variant}: {download.reason}",
        model_type=body.model_type,
        status="download_started",
        variant=download.variant,
        bytes=download.total_bytes,
        reason=download.reason,
    )


@router.get("/download/progress")
def list_download_progress(downloads: DownloadsDep, catalog: CatalogDep) -> DownloadViews:
    """Of all downloads since the list was last cleared, by model."""
    views = {
        each.model: download_view(each, entry)
        for each in downloads.list()
        if (entry := catalog.entry(each.model)) is not None
    }
    return DownloadViews(downloads=views, timestamp=now())


@router.get("/download/progress/{model_type}")
def get_download_progress(model_type: ModelType, downloads: DownloadsDep, catalog: CatalogDep) -> DownloadView:
    entry = catalog.at(model_type)
    return download_view(downloads.known(entry.id), entry)


@router.post("/download/manage")
def manage_download(body: ManageBody, downloads: DownloadsDep, catalog: CatalogDep) -> Managed:
    """Pause, resume, cancel, or say which goes first. What has arrived is always kept."""
    if body.bandwidth_limit_mbps is not None:
        raise InvalidRequest("bandwidth_limit_mbps is not supported: pause the download while the line is needed")
    entry = catalog.listed(body.model_id)
    if body.action == "priority":
        if body.priority is None:
            raise InvalidRequest("priority is missing: give a number, more goes first")
        download = downloads.prioritise(entry.id, body.priority)
    else:
        act = {"pause": downloads.pause, "resume": downloads.resume, "cancel": downloads.cancel}[body.action]
        download = act(entry.id)
    return Managed(
        success=True,
        message=f"{entry.id}: {body.action}",
        model_id=entry.id,
        action=body.action,
        current_status=download.state.value,
        progress_percent=download.percent,
    )


@router.post("/verify/{model_type}")
def verify_model(
    model_type: ModelType,
    parts: PartsDep,
    deep: Annotated[bool, Query(description="Hash every file; about a minute per 50 GB.")] = False,
) -> Verified:
    """Check the files of a model."""
    entry = parts.catalog.at(model_type)
    found = _reports(parts, entry, deep=deep)
    parts.catalog.look_again()
    valid = all(report.health in USABLE for _, report in found)
    return Verified(
        model_type=model_type,
        model_id=entry.id,
        is_valid=valid,
        deep=deep,
        details=[_variant_health(variant, report) for variant, report in found],
        message="all files are as they should be" if valid else "some files are missing or damaged: repair the model",
    )


@router.post("/validate/{model_type}")
def validate_model(model_type: ModelType, parts: PartsDep) -> Validated:
    """The same without hashing, in the words of existing clients."""
    entry = parts.catalog.at(model_type)
    try:
        found = _reports(parts, entry, deep=False)
    except ModelMissing as error:
        return Validated(
            model_type=model_type,
            integrity_status="not_available",
            is_valid=False,
            message=without_folders(error.message),
            missing_files=[],
        )
    faults = [fault for _, report in found for fault in report.faults]
    return Validated(
        model_type=model_type,
        integrity_status="corrupted" if faults else "valid",
        is_valid=not faults,
        message=f"{len(faults)} files are missing or damaged" if faults else "all files are as they should be",
        missing_files=[fault.path.name for fault in faults if fault.missing],
    )


@router.post("/repair/{model_type}")
def repair_model(model_type: ModelType, parts: PartsDep) -> Repairing:
    """Hash every file, delete what is damaged, and fetch that and what is missing again."""
    entry = parts.catalog.at(model_type)
    repaired = _discard_damaged(parts, entry)
    if not repaired:
        return Repairing(message=f"nothing is wrong with {entry.id}", model_id=entry.id, repaired=[])
    variant, names = repaired
    download = parts.downloads.add(entry.id, variant)
    return Repairing(
        message=f"{len(names)} files of {entry.id} are fetched again",
        model_id=entry.id,
        repaired=names,
        download=download_view(download, entry),
    )


@router.get("/summary")
def get_models_summary(parts: PartsDep) -> ModelsSummary:
    presences = parts.catalog.presences().values()
    return ModelsSummary(
        total_models=len(presences),
        available_models=sum(each.ready for each in presences),
        missing_models=sum(each.state == "missing" for each in presences),
        corrupted_models=sum(each.state == "unusable" for each in presences),
        total_size_mb=round(sum(each.model.nbytes for each in presences if each.model) / MB, 1),
        downloads_active=sum(not each.state.over for each in parts.downloads.list()),
        free_disk_gb=round(parts.hardware().disk_free / 1e9, 2),
        timestamp=now(),
    )


@router.get("/health")
def get_models_health(parts: PartsDep) -> ModelsHealth:
    """How the three types are and how they did lately."""
    runs = parts.runs()
    models = {entry.id: health_of(parts, entry, runs) for entry in parts.catalog.wire_entries().values()}
    states = {health.health_status for health in models.values()}
    return ModelsHealth(
        status="healthy" if states == {"healthy"} else "degraded" if "healthy" in states else "unhealthy",
        models=models,
        timestamp=now(),
    )


@router.get("/analytics")
def get_models_analytics(parts: PartsDep, time_period_days: Annotated[int, Query(ge=1, le=3650)] = 30) -> Analytics:
    """What was measured here, by model."""
    runs = recent(parts.runs(), timedelta(days=time_period_days))
    models = {entry.id: performance(entry, runs) for entry in parts.catalog.entries}
    used = {name: each for name, each in models.items() if each.runs}
    return Analytics(time_period_days=time_period_days, models=used, total_runs=len(runs), timestamp=now())


@router.get("/integration/status")
def get_integration_status(parts: PartsDep) -> Integration:
    """Whether jobs can run here."""
    return integration_of(parts)


@router.post("/cleanup")
def cleanup_models(body: CleanupBody, parts: PartsDep) -> Cleanup:
    """Models that were not used for long, and could go. With `dry_run` (the default) they stay."""
    return cleanup(parts, body)


@router.post("/fallback/suggest")
def suggest_fallback(body: SuggestBody, parts: PartsDep) -> Suggested:
    """What would do in a model's place: models with the same inputs that are ready, the best first."""
    return substitutes(parts, body)


@router.post("/plan", operation_id="plan_model")
def plan_model(body: Annotated[PlanBody, Body()], parts: PartsDep) -> PlanView:
    """What a video will take here, before it is asked for."""
    return make_plan(parts, body)


@router.post("/add")
def add_model(body: AddBody, request: Request, parts: PartsDep) -> AddedView:
    """Use files where they lie on the server's computer, which only that computer itself may ask for."""
    return add_files(parts, request.client.host if request.client else "", body)


@router.post("/refresh")
def refresh_models(catalog: CatalogDep) -> Message:
    """Look at the disk again."""
    catalog.look_again()
    return Message(message=f"{sum(each.ready for each in catalog.presences().values())} models are ready")


@router.get("/{model_type}")
def get_model(model_type: ModelType, parts: PartsDep) -> ModelView:
    return _view(parts, parts.catalog.at(model_type))


@router.delete("/{model_type}")
def remove_model(
    model_type: ModelType,
    parts: PartsDep,
    variant: Annotated[str | None, Query(max_length=40)] = None,
    dry_run: Annotated[bool, Query(description="Only say what would go.")] = False,
) -> Removed:
    """Delete a model, or one variant of it, from the cache; what other models need stays."""
    entry = parts.catalog.at(model_type)
    parts.check_unused(entry)
    removal = removal_of(entry, parts.cache, parts.catalog.families, variant)
    if not dry_run:
        remove_files(removal)
        parts.catalog.look_again()
    return Removed(
        message=f"{entry.id}: {len(removal.links)} files {'would go' if dry_run else 'are deleted'}",
        model_id=entry.id,
        files=len(removal.links),
        frees_bytes=removal.frees_bytes,
        kept=len(removal.shared),
        dry_run=dry_run,
    )


# --- what they share -------------------------------------------------------------------------------------------------


def make_plan(parts: Parts, body: PlanBody) -> PlanView:
    """Raises InvalidRequest and its kinds for what cannot be."""
    name = body.model_type if body.model_type != "auto" else ("I2V-A14B" if body.image else "T2V-A14B")
    entry = parts.catalog.resolve(name)
    width, height = map(int, body.resolution.split("x")) if body.resolution else (None, None)
    frames = body.frames
    if frames is None and body.seconds is not None:
        frames = round(body.seconds * entry.defaults.fps)
    wish = Wish(
        width=width,
        height=height,
        frames=frames,
        steps=body.steps,
        variant=body.variant,
        image=body.image,
        tier=None if body.tier is None else Tier(body.tier),
        step_cache=body.step_cache,
        loras=at_hand(body.loras, parts.sources.library) if body.loras else (),
        memory_limit=None if body.memory_limit_gb is None else int(body.memory_limit_gb * 2**30),
    )
    return plan_view(parts, entry, forecast(parts, entry, wish))


def _view(parts: Parts, entry: ModelEntry) -> ModelView:
    return model_view(
        parts.catalog.presence(entry),
        parts.hardware(),
        loaded=parts.is_loaded(entry.id),
        download=parts.downloads.get(entry.id),
    )


def _status(parts: Parts, entry: ModelEntry) -> ModelStatus:
    limits = parts.limits.current
    return model_status(
        parts.catalog.presence(entry),
        parts.hardware(),
        loaded=parts.is_loaded(entry.id),
        limited=limits.memory_limit is not None or limits.tile is not None,
        download=parts.downloads.get(entry.id),
    )


def _reports(parts: Parts, entry: ModelEntry, *, deep: bool) -> list[tuple[Variant, Report]]:
    """Of a model that comes with the package or lies loose, that it opens is all there is to check."""
    if not entry.variants or parts.catalog.presence(entry).ready:
        presence = parts.catalog.presence(entry)
        try:
            return reports(entry, parts.cache, deep=deep)
        except ModelMissing:
            if presence.problem is not None:
                raise presence.problem from None
            return []
    return reports(entry, parts.cache, deep=deep)


def _variant_health(variant: Variant, report: Report) -> VariantHealth:
    return VariantHealth(
        variant=variant.id,
        health=report.health.value,
        files=report.files,
        bytes=report.nbytes,
        faults=[
            FaultView(file=fault.path.name, problem=without_folders(fault.problem), missing=fault.missing)
            for fault in report.faults
        ],
    )


def _discard_damaged(parts: Parts, entry: ModelEntry) -> tuple[str, list[str]] | None:
    """The variant and the files that have to be fetched again; None if nothing is wrong."""
    for variant, report in reports(entry, parts.cache, deep=True):
        if report.faults:
            discard(report)
            parts.catalog.look_again()
            return variant.id, [fault.path.name for fault in report.faults]
    return None
