"""The workers of this process: /system/workers. What is changed here holds until the server stops."""

from typing import Annotated

from fastapi import Query

from wanvideo.failure.paths import without_folders
from wanvideo.jobs.lane import WorkerView
from wanvideo.jobs.placement import WorkerLimits
from wanvideo.server.deps import PartsDep
from wanvideo.server.parts import Parts
from wanvideo.server.responses import group
from wanvideo.server.schemas.common import Message
from wanvideo.server.schemas.system import NewWorkerBody, WorkerInfo, WorkerLimitsBody, Workers
from wanvideo.server.settings import GIB, MIB
from wanvideo.server.workers import devices_in, new_worker, worker_limits, worker_on

router = group("system", "/system/workers")


@router.get("")
def list_workers(parts: PartsDep) -> Workers:
    """Who makes videos here, what they have loaded, and why one does not work."""
    return Workers(workers=[_info(view) for view in parts.supervisor.workers()])


@router.post("")
def add_worker(parts: PartsDep, body: NewWorkerBody) -> WorkerInfo:
    """One more, which takes jobs as soon as it is ready. A GPU that a worker has cannot be given to another one."""
    limits = _limits(parts, body.models, body.memory_limit_gb)
    name, devices = new_worker(body.devices, [view.name for view in parts.supervisor.workers()])
    parts.supervisor.add(name, worker_on(devices, name, parts.settings, parts.sources, parts.folder), limits)
    return _info(parts.supervisor.worker(name))


@router.put("/{name}/limits")
def limit_worker(parts: PartsDep, name: str, body: WorkerLimitsBody) -> WorkerInfo:
    """What it may take and use, from its next job on."""
    parts.supervisor.limit(name, _limits(parts, body.models, body.memory_limit_gb))
    return _info(parts.supervisor.worker(name))


@router.post("/{name}/return")
def return_worker(parts: PartsDep, name: str) -> WorkerInfo:
    """Let it have jobs again, after it was taken out or while it waits before a new start."""
    parts.supervisor.put_back(name)
    return _info(parts.supervisor.worker(name))


@router.delete("/{name}")
def remove_worker(
    parts: PartsDep,
    name: str,
    now: Annotated[
        bool, Query(description="Not when its job is done: that goes on elsewhere, as far as it is.")
    ] = False,
) -> Message:
    """Let it go, and its device with it."""
    parts.supervisor.remove(name, now=now)
    return Message(message=f"the worker {name} goes {'now' if now else 'when it has done its job'}")


def _limits(parts: Parts, models: list[str], memory_gb: float | None) -> WorkerLimits:
    return worker_limits(models, memory_gb, lambda model: parts.catalog.resolve(model).id)


def _info(view: WorkerView) -> WorkerInfo:
    memory = view.limits.memory
    return WorkerInfo(
        name=view.name,
        devices=list(devices_in(view.name)),
        state=view.state,
        task_id=view.job,
        problem=None if view.problem is None else without_folders(view.problem),
        out=None if view.out is None else view.out.code,
        loaded=sorted(set(view.beat.get("loaded") or ())),
        models=sorted(view.limits.models),
        memory_limit_gb=None if memory is None else round(memory / GIB, 3),
        restarts=max(0, view.starts - 1),
        ram_mb=_mib(view.beat.get("rss")),
        vram_mb=_mib(view.beat.get("vram_used")),
        peak_vram_mb=_mib(view.beat.get("vram_peak")),
        pace=None if view.seat.pace is None else round(view.seat.pace, 3),
    )


def _mib(count: int | None) -> float | None:
    return None if count is None else round(count / MIB, 1)
