"""What recovers by itself, and what can be asked to: /recovery."""

from datetime import timedelta
from typing import Final

from wanvideo.server.deps import PartsDep
from wanvideo.server.health import checks
from wanvideo.server.history import recent
from wanvideo.server.model_views import now
from wanvideo.server.parts import Parts
from wanvideo.server.responses import group
from wanvideo.server.schemas.recovery import (
    FailureType,
    RecoveryAction,
    RecoveryActions,
    RecoveryHealth,
    RecoveryStatus,
    TriggerBody,
    Triggered,
)

router = group("recovery", "/recovery")

ACTIONS: Final = (
    RecoveryAction(
        failure_type="model_loading_failure",
        action="look at the files of all models again",
        automatic="missing files are downloaded as part of the job; else the job says which file is wrong",
    ),
    RecoveryAction(
        failure_type="vram_exhaustion",
        action="free the GPU now",
        automatic="the job goes on with tiles, with more of the model outside of the GPU, or in another precision",
    ),
    RecoveryAction(
        failure_type="generation_pipeline_error",
        action="replace the workers that no job is using",
        automatic="a worker that dies or hangs is replaced, and its job goes on from its last saved step",
    ),
    RecoveryAction(
        failure_type="hardware_optimization_failure",
        action="take all limits of the optimizer away",
        automatic="plans are made from what is free at the moment",
    ),
    RecoveryAction(
        failure_type="system_resource_error",
        action="free the GPU now",
        automatic="no job is taken while the disk is too full",
    ),
    RecoveryAction(
        failure_type="network_error",
        action="go on with downloads that failed",
        automatic="downloads go on from what has arrived, and try again with growing pauses",
    ),
)


@router.get("/status")
def get_recovery_status(parts: PartsDep) -> RecoveryStatus:
    failed = sum(run.outcome == "failed" for run in recent(parts.runs(), timedelta(hours=24)))
    workers = parts.workers()
    return RecoveryStatus(
        status="ok" if workers else "recovering",
        workers=workers,
        worker_restarts=parts.worker_restarts(),
        failed_jobs_24h=failed,
        queue_paused=parts.queue_paused(),
        timestamp=now(),
    )


@router.get("/health")
def get_recovery_health(parts: PartsDep) -> RecoveryHealth:
    failing = [check for check in checks(parts) if not check.ok]
    return RecoveryHealth(
        status="degraded" if failing else "healthy",
        message="; ".join(f"{check.name}: {check.detail}" for check in failing) or "nothing has to recover",
        timestamp=now(),
    )


@router.get("/actions")
def list_recovery_actions() -> RecoveryActions:
    """What is done about each kind of failure."""
    return RecoveryActions(actions=list(ACTIONS))


@router.post("/trigger")
def trigger_recovery(body: TriggerBody, parts: PartsDep) -> Triggered:
    """Do now what helps against a kind of failure. Jobs that run are left alone."""
    action = next(each.action for each in ACTIONS if each.failure_type == body.failure_type)
    return Triggered(
        success=True, failure_type=body.failure_type, action=action, message=_recover(parts, body.failure_type)
    )


@router.post("/reset")
def reset_recovery(parts: PartsDep) -> RecoveryStatus:
    """Go on: the queue runs, files are looked at again, downloads that failed go on."""
    parts.resume_queue()
    parts.catalog.look_again()
    _go_on_with_downloads(parts)
    return get_recovery_status(parts)


def _recover(parts: Parts, failure: FailureType) -> str:
    match failure:
        case "model_loading_failure":
            parts.catalog.look_again()
            return f"{sum(each.ready for each in parts.catalog.presences().values())} models are ready"
        case "vram_exhaustion" | "system_resource_error" | "generation_pipeline_error":
            return f"{parts.release_memory()} workers give their models' memory back"
        case "hardware_optimization_failure":
            from wanvideo.server.limits import Limits

            parts.limits.set(Limits())
            return "plans decide alone again"
        case "network_error":
            return f"{_go_on_with_downloads(parts)} downloads go on"


def _go_on_with_downloads(parts: Parts) -> int:
    failed = [each.model for each in parts.downloads.list() if each.state == "failed"]
    for model in failed:
        parts.downloads.resume(model)
    return len(failed)
