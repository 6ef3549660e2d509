"""Models and downloads -> what is sent about them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from wanvideo.failure.paths import without_folders
from wanvideo.families.presence import Presence
from wanvideo.families.protocol import InstalledModel
from wanvideo.request import Task
from wanvideo.server.catalog import wire_type
from wanvideo.server.downloads import Download, DownloadState
from wanvideo.server.schemas.models import (
    DefaultsView,
    DownloadView,
    LimitsView,
    ModelState,
    ModelStatus,
    ModelView,
    SizeView,
    VariantView,
)
from wanvideo.server.schemas.wan_models import HardwareNeeds
from wanvideo.weights.entry import ModelEntry
from wanvideo.weights.pick import Hardware, pick_variant

MB: Final = 1_000_000  # sizes of files, as the hub counts
MIB: Final = 2**20  # memory
FRAME_STEP: Final = 4  # frames are 4 n + 1, for every model there is
GIB: Final = 2**30


def now() -> datetime:
    return datetime.now(UTC)


def at(seconds: float) -> datetime:
    """Seconds since 1970 as a time."""
    return datetime.fromtimestamp(seconds, UTC)


def inputs_of(entry: ModelEntry) -> list[str]:
    names = ["text"]
    if Task.IMAGE_TO_VIDEO in entry.tasks:
        names.append("image")
    if entry.takes_end_image:
        names.append("end_image")
    return names


def defaults_of(entry: ModelEntry) -> DefaultsView:
    d = entry.defaults
    return DefaultsView(
        width=d.width,
        height=d.height,
        frames=d.frames,
        fps=d.fps,
        steps=d.steps,
        shift=d.shift,
        guidance=d.guidance_high,
        guidance_low=d.guidance_low,
        negative_prompt=d.negative_prompt,
        solver=d.solver.value,
    )


def limits_of(entry: ModelEntry) -> LimitsView:
    limits = entry.limits
    return LimitsView(
        size_multiple=limits.size_multiple,
        min_side=limits.min_side,
        max_area=limits.max_area,
        max_frames=limits.max_frames,
        frame_step=FRAME_STEP,
        max_steps=limits.max_steps,
        max_guidance=limits.max_guidance,
        min_shift=limits.min_shift,
        max_shift=limits.max_shift,
        max_step_cache=limits.max_step_cache,
    )


def model_view(presence: Presence, hardware: Hardware, *, loaded: bool, download: Download | None) -> ModelView:
    entry, model = presence.spec, presence.model
    return ModelView(
        id=entry.id,
        model_type=wire_type(entry),
        title=entry.title,
        family=entry.family,
        demo=entry.demo,
        preset_of=entry.base,
        inputs=inputs_of(entry),
        image_required=entry.requires_image,
        good_at=entry.good_at,
        needs=entry.needs,
        licence=entry.licence,
        repository=entry.repo_id,
        state="ready" if model else "missing" if presence.state == "missing" else "unusable",
        problem=without_folders(presence.problem.message) if presence.problem else None,
        precision=model.precision or None if model else None,
        bytes=model.nbytes if model else None,
        loaded=loaded,
        takes_loras=entry.takes_loras,
        experts=entry.experts,
        defaults=defaults_of(entry),
        limits=limits_of(entry),
        usual_sizes=[SizeView(width=width, height=height) for width, height in entry.usual_sizes],
        variants=_variants(entry, hardware),
        download=None if download is None else download_view(download, entry),
    )


def _variants(entry: ModelEntry, hardware: Hardware) -> list[VariantView]:
    if not entry.variants:
        return []
    picked = pick_variant(entry, hardware)
    return [
        VariantView(
            id=variant.id,
            title=variant.title,
            bytes=variant.nbytes,
            quantised=variant.quantised,
            recommended=variant is picked.variant,
            reason=picked.reason if variant is picked.variant else None,
        )
        for variant in entry.variants
    ]


def model_status(
    presence: Presence, hardware: Hardware, *, loaded: bool, limited: bool, download: Download | None
) -> ModelStatus:
    """limited: the user has set limits that plans obey."""
    entry, model = presence.spec, presence.model
    active = download is not None and not download.state.over
    needs = needs_of(entry, model, hardware)
    return ModelStatus(
        model_id=entry.id,
        model_type=wire_type(entry),
        status=_state(presence, loaded=loaded, active=active),
        is_available=model is not None,
        is_loaded=loaded,
        is_valid=model is not None,
        size_mb=round(model.nbytes / MB, 1) if model else 0.0,
        model_path=entry.repo_id or entry.id,
        estimated_vram_usage_mb=round((needs.vram_minimum_gb or 0.0) * GIB / MIB, 1),
        hardware_compatible=entry.demo or needs.fits_this_computer is not False,
        optimization_applied=limited,
        download_progress=download.percent if active and download else None,
        error_message=without_folders(presence.problem.message) if presence.problem else None,
        demo=entry.demo,
    )


def _state(presence: Presence, *, loaded: bool, active: bool) -> ModelState:
    if active:
        return "downloading"
    if presence.ready:
        return "loaded" if loaded else "available"
    return "missing" if presence.state == "missing" else "corrupted"


def needs_of(entry: ModelEntry, model: InstalledModel | None, hardware: Hardware) -> HardwareNeeds:
    """Of one usual video."""
    disk = min((variant.nbytes for variant in entry.variants if variant.nbytes is not None), default=None)
    if model is None:
        return HardwareNeeds(
            disk_gb=None if disk is None else round(disk / 1e9, 1),
            fits_this_computer=None,
            note=f"{entry.needs}; /models/plan says what it takes here",
        )
    usual = entry.defaults
    memory = model.memory(usual.width, usual.height, usual.frames)
    fits = None if hardware.gpu is None else memory.in_turn <= hardware.gpu_total
    return HardwareNeeds(
        vram_comfortable_gb=round(memory.together / GIB, 2),
        vram_minimum_gb=round(memory.in_turn / GIB, 2),
        disk_gb=round(model.nbytes / 1e9, 2),
        fits_this_computer=True if entry.demo else bool(fits),
        note=entry.needs,
    )


def download_view(download: Download, entry: ModelEntry) -> DownloadView:
    state = download.state
    return DownloadView(
        model_id=download.model,
        model_type=wire_type(entry),
        variant=download.variant,
        reason=download.reason,
        status=state.value,
        progress=download.percent,
        done_bytes=download.done_bytes,
        total_bytes=download.total_bytes,
        fetched_bytes=download.fetched_bytes,
        speed_mbps=round(download.bytes_per_second / MB, 2),
        eta_seconds=download.seconds_left,
        priority=download.priority,
        retries=download.retries,
        title=download.title,
        note=download.note,
        error=without_folders(download.fault.message) if download.fault else None,
        error_code=download.fault.code if download.fault else None,
        can_pause=not state.over and state is not DownloadState.PAUSED,
        can_resume=state in (DownloadState.PAUSED, DownloadState.FAILED, DownloadState.CANCELLED),
        can_cancel=not state.over,
        last_update=at(download.changed),
    )


def resolutions_of(entries: Iterable[ModelEntry]) -> list[str]:
    """Usual sizes, each once."""
    return list(dict.fromkeys(f"{width}x{height}" for entry in entries for width, height in entry.usual_sizes))
