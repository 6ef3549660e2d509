"""The computer: /system."""

import os
import platform
import sys
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Final

from fastapi import Header, Query, Response

from wanvideo.failure.paths import without_folders
from wanvideo.jobs.nodes import NodeView
from wanvideo.runtime.machine import OLDEST
from wanvideo.runtime.monitor import gpus
from wanvideo.server.deps import PartsDep, SettingsDep
from wanvideo.server.health import checks, engine_missing, system_info
from wanvideo.server.limits import DEFAULT_TILE, DEFAULT_VRAM, GIB, Limits
from wanvideo.server.machine import cpu_cores, cpu_name, rates_of, this_machine
from wanvideo.server.model_views import MIB, at, now
from wanvideo.server.monitor import Sample
from wanvideo.server.parts import API_VERSION, Parts, package_version
from wanvideo.server.responses import group
from wanvideo.server.schemas.common import Message
from wanvideo.server.schemas.system import (
    Connectivity,
    CorsView,
    Diagnostics,
    Endpoints,
    Expiring,
    Gpus,
    GpuUserView,
    GpuView,
    HardwareProfile,
    Health,
    Machines,
    MachineView,
    NodeGpuView,
    NodeWorkerView,
    Optimization,
    OptimizationBody,
    OptimizationChanged,
    Ports,
    Released,
    ServerInfo,
    Stats,
    StatsHistory,
    Storage,
    TimeRange,
)
from wanvideo.server.sign_in import COOKIE

router = group("system", "/system")

_SHOWN: Final = 100  # jobs that will be removed


@router.get("/health")
def get_system_health(parts: PartsDep) -> Health:
    """Whether jobs are done here, in the form that every kind of existing client reads."""
    found = checks(parts)
    failing = [check for check in found if not check.ok]
    database = next(check.ok for check in found if check.name == "database")
    info = system_info(parts, found)
    taken = parts.monitor.latest.taken
    settings, url = parts.settings, parts.url
    return Health(
        status="healthy" if not failing else "degraded" if database else "unhealthy",
        message="; ".join(info.issues) or "everything works",
        timestamp=now(),
        version=package_version(),
        api_version=API_VERSION,
        service="wanvideo",
        system=platform.system(),
        uptime=round(parts.uptime, 1),
        port=parts.port,
        backend_online=True,
        database_connected=database,
        gpu_available=taken.gpu is not None,
        memory_usage=_percent(taken.host_used, taken.host_total),
        gpu_memory_usage=0.0 if taken.gpu is None else _percent(taken.gpu.total - taken.gpu.free, taken.gpu.total),
        active_tasks=parts.active_jobs(),
        queue_paused=parts.queue_paused(),
        workers=parts.workers(),
        demo=settings.demo,
        system_info=info,
        endpoints=Endpoints(
            health="/api/v1/system/health",
            docs="/openapi.json",
            websocket=f"{url.replace('http', 'ws', 1)}/ws",
            api_base="/api/v1",
        ),
        connectivity=Connectivity(
            cors_enabled=bool(settings.compat_origin), allowed_origins=list(settings.compat_origin), websocket=True
        ),
        server_info=ServerInfo(
            host=settings.host,
            port=parts.port,
            demo=settings.demo,
            pid=os.getpid(),
            token_needed=settings.token is not None,
        ),
    )


@router.get("/ports")
def get_system_ports(parts: PartsDep) -> Ports:
    return Ports(backend_port=parts.port, frontend_port=parts.port, status="ok")


@router.get("/stats")
def get_system_stats(parts: PartsDep) -> Stats:
    return stats_of(parts.monitor.latest)


@router.get("/stats/history")
def get_system_stats_history(parts: PartsDep, hours: Annotated[float, Query(ge=0.01, le=168)] = 1.0) -> StatsHistory:
    """Since the server started: one a second of the last ten minutes, one a minute before."""
    span = timedelta(hours=hours)
    end = now()
    stats = [stats_of(sample) for sample in parts.monitor.since(span)]
    return StatsHistory(
        stats=stats, total_count=len(stats), time_range=TimeRange(start=end - span, end=end, hours=hours)
    )


@router.get("/optimization")
def get_optimization(parts: PartsDep) -> Optimization:
    """The limits that plans obey."""
    return _optimization(parts.limits.current)


@router.get("/optimization/status")
def get_optimization_status(parts: PartsDep) -> Optimization:
    """The same as /system/optimization."""
    return _optimization(parts.limits.current)


@router.post("/optimization")
def set_optimization(body: OptimizationBody, parts: PartsDep) -> OptimizationChanged:
    """Set limits, for all jobs from now on and after a restart. null takes one away."""
    limits = parts.limits.current
    said = body.model_fields_set
    if body.quantization is not None:
        limits = replace(limits, quantization=body.quantization)
    if body.enable_offload is not None:
        limits = replace(limits, offload=body.enable_offload)
    if "vae_tile_size" in said:
        limits = replace(limits, tile=body.vae_tile_size)
    if "max_vram_usage_gb" in said:
        limits = replace(limits, vram_gib=body.max_vram_usage_gb)
    parts.limits.set(limits)
    gpu = parts.monitor.latest.taken.gpu
    used = 0.0 if gpu is None else (gpu.total - gpu.free) / GIB
    saved = 0.0 if gpu is None or limits.vram_gib is None else max(0.0, gpu.free / GIB - limits.vram_gib)
    return OptimizationChanged(
        **_optimization(limits).model_dump(),
        message="jobs obey these limits from now on",
        current_vram_usage_gb=round(used, 2),
        estimated_vram_savings_gb=round(saved, 2),
        recommendations=_about_limits(limits, has_gpu=gpu is not None),
    )


@router.get("/hardware/profile")
def get_hardware_profile(parts: PartsDep) -> HardwareProfile:
    return _hardware(parts)


@router.get("/storage")
def get_storage(parts: PartsDep) -> Storage:
    """What videos take, and which of them the rules will remove: a dry run as well as the announcement."""
    rules, due = parts.retention.rules, parts.retention.due()
    return Storage(
        stored_bytes=parts.output_bytes(),
        free_bytes=parts.free_bytes(),
        min_free_bytes=parts.settings.min_free_bytes,
        keep_days=rules.keep_days,
        quota_bytes=rules.quota_bytes,
        notice_hours=rules.notice_seconds / 3600,
        expiring=[
            Expiring(
                id=each.job,
                bytes=each.bytes,
                finished_at=at(each.finished),
                reason=each.reason,
                expires_at=None if each.expires is None else at(each.expires),
            )
            for each in due[:_SHOWN]
        ],
        expiring_count=len(due),
        expiring_bytes=sum(each.bytes for each in due),
    )


@router.get("/gpu")
def get_gpus(parts: PartsDep) -> Gpus:
    """All NVIDIA GPUs, as the driver sees them, and who holds their memory."""
    used = parts.monitor.latest.taken.gpu
    return Gpus(
        gpus=[
            GpuView(
                index=gpu.index,
                name=gpu.name,
                driver=gpu.driver,
                compute_capability=None if gpu.capability is None else f"{gpu.capability[0]}.{gpu.capability[1]}",
                total_mb=round(gpu.total / MIB, 1),
                free_mb=round(gpu.free / MIB, 1),
                busy_percent=gpu.busy_percent,
                celsius=gpu.celsius,
                supported=gpu.capability is None or gpu.capability >= OLDEST,
                users=[
                    GpuUserView(
                        pid=user.pid, name=user.name, mb=None if user.nbytes is None else round(user.nbytes / MIB, 1)
                    )
                    for user in gpu.users
                ],
            )
            for gpu in gpus()
        ],
        used=used.name if used else None,
        notes=list(this_machine("auto").notes),
    )


@router.get("/nodes")
def get_nodes(parts: PartsDep) -> Machines:
    """All processes that work on this queue, on one machine or on many."""
    return Machines(nodes=[_machine(node, here=node.id == parts.supervisor.node) for node in parts.nodes()])


@router.get("/diagnostics")
def get_diagnostics(parts: PartsDep) -> Diagnostics:
    """What to put into a report about a problem. No secrets and no places of files."""
    missing = engine_missing()
    return Diagnostics(
        checks=checks(parts),
        versions={
            "wanvideo": package_version(),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "engine": f"lacks {', '.join(missing)}" if missing else "installed",
        },
        hardware=_hardware(parts),
    )


@router.post("/memory/release")
def release_memory(parts: PartsDep) -> Released:
    """Free the GPU now: models that no job is using are unloaded."""
    count = parts.release_memory()
    return Released(message=f"{count} workers give their models' memory back", workers=count)


@router.post("/sign-out")
def sign_out(response: Response) -> Message:
    """Have this browser forget that it knows the token."""
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return Message(message="this browser is signed out")


@router.post("/calibration")
def calibrate(parts: PartsDep) -> Released:
    """Measure how fast this computer is, by workers that are free; plans tell times by it from then on."""
    count = parts.calibrate()
    return Released(message=f"{count} workers measure, which takes a few seconds", workers=count)


@router.get("/cors/validate")
def validate_cors(settings: SettingsDep, origin: Annotated[str | None, Header()] = None) -> CorsView:
    """Whether the page that asks is one that this server knows."""
    return _cors(settings.compat_origin, origin)


@router.get("/cors/test")
def check_cors(settings: SettingsDep, origin: Annotated[str | None, Header()] = None) -> CorsView:
    """The same as /system/cors/validate."""
    return _cors(settings.compat_origin, origin)


# --- what they share -------------------------------------------------------------------------------------------------


def stats_of(sample: Sample) -> Stats:
    taken, gpu = sample.taken, sample.taken.gpu
    return Stats(
        cpu_percent=round(taken.cpu_percent, 1),
        ram_used_gb=round(taken.host_used / GIB, 2),
        ram_total_gb=round(taken.host_total / GIB, 2),
        ram_percent=_percent(taken.host_used, taken.host_total),
        disk_used_gb=round((taken.disk_total - taken.disk_free) / GIB, 2),
        disk_total_gb=round(taken.disk_total / GIB, 2),
        disk_percent=_percent(taken.disk_total - taken.disk_free, taken.disk_total),
        gpu_percent=float(gpu.busy_percent or 0) if gpu else 0.0,
        vram_used_mb=round((gpu.total - gpu.free) / MIB, 1) if gpu else 0.0,
        vram_total_mb=round(gpu.total / MIB, 1) if gpu else 0.0,
        vram_percent=_percent(gpu.total - gpu.free, gpu.total) if gpu else 0.0,
        gpu_celsius=gpu.celsius if gpu else None,
        timestamp=sample.at,
    )


def _machine(node: NodeView, *, here: bool) -> MachineView:
    about = node.about
    return MachineView(
        id=node.id,
        here=here,
        host=about["host"],
        kind=about["kind"],
        version=about["version"],
        available_memory_gb=round(about["host_available"] / GIB, 2),
        gpus=[
            NodeGpuView(name=gpu["name"], total_mb=round(gpu["total"] / MIB, 1), free_mb=round(gpu["free"] / MIB, 1))
            for gpu in about["gpus"]
        ],
        workers=[
            NodeWorkerView(
                name=each["name"],
                state=each["state"],
                task_id=each["job"],
                problem=None if each["problem"] is None else without_folders(each["problem"]),
            )
            for each in about["workers"]
        ],
    )


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0


def _optimization(limits: Limits) -> Optimization:
    return Optimization(
        quantization=limits.quantization,
        enable_offload=limits.offload,
        vae_tile_size=limits.tile or DEFAULT_TILE,
        max_vram_usage_gb=limits.vram_gib or DEFAULT_VRAM,
        tile_is_set=limits.tile is not None,
        vram_is_set=limits.vram_gib is not None,
    )


def _about_limits(limits: Limits, *, has_gpu: bool) -> list[str]:
    said = []
    if not has_gpu:
        said.append("there is no GPU here: limits of its memory have no effect")
    if limits.tier.value == "fast":
        said.append("int8 is the tier fast: quicker on a recent GPU, and the picture differs a little")
    if limits.tile is not None:
        said.append("tiles change the picture slightly: leave the size out, and plans use tiles only where needed")
    if not limits.offload:
        said.append("without offload, a model that is larger than the GPU cannot run")
    return said


def _hardware(parts: Parts) -> HardwareProfile:
    machine = this_machine("cpu" if parts.settings.first_device == "cpu" else "auto")
    gpu = machine.gpu
    capability = machine.capability
    return HardwareProfile(
        cpu_model=cpu_name(),
        cpu_cores=cpu_cores(),
        total_memory_gb=round(machine.host_total / GIB, 2),
        available_memory_gb=round(machine.host_available / GIB, 2),
        gpu_model=gpu,
        vram_gb=round(machine.gpu_total / GIB, 2),
        free_vram_gb=round(machine.gpu_free / GIB, 2),
        compute_capability=None if capability is None else f"{capability[0]}.{capability[1]}",
        driver=machine.driver,
        platform_info=f"{platform.platform()}, Python {sys.version.split()[0]}",
        architecture_type=platform.machine(),
        free_disk_gb=round(parts.free_bytes() / 1e9, 2),
        rates=rates_of(machine).origin,
        optimization_recommendations=[*machine.notes, *_about_limits(parts.limits.current, has_gpu=gpu is not None)],
    )


def _cors(allowed: tuple[str, ...], origin: str | None) -> CorsView:
    known = origin in allowed
    return CorsView(
        cors_enabled=bool(allowed),
        allowed_origins=list(allowed),
        origin=origin,
        origin_allowed=known,
        message="this page may call the server"
        if known
        else "other pages may call this server only if --compat-origin names them",
    )
