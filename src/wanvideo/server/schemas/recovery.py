"""What recovers by itself, and what can be asked to."""

from typing import Literal

from pydantic import Field

from wanvideo.server.schemas.common import JsonObject, LenientBody, Time, Wire

FailureType = Literal[
    "model_loading_failure",
    "vram_exhaustion",
    "generation_pipeline_error",
    "hardware_optimization_failure",
    "system_resource_error",
    "network_error",
]


class RecoveryAction(Wire):
    failure_type: FailureType
    action: str
    automatic: str = Field(description="What happens without being asked.")


class RecoveryActions(Wire):
    actions: list[RecoveryAction]


class RecoveryStatus(Wire):
    status: Literal["ok", "recovering", "failing"]
    workers: int
    worker_restarts: int
    failed_jobs_24h: int
    queue_paused: bool
    timestamp: Time


class RecoveryHealth(Wire):
    status: Literal["healthy", "degraded"]
    message: str
    timestamp: Time


class TriggerBody(LenientBody):
    failure_type: FailureType
    context: JsonObject = Field(default_factory=dict)


class Triggered(Wire):
    success: bool
    failure_type: FailureType
    action: str
    message: str
