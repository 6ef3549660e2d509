"""What comes over the socket, and what may be sent to it."""

from typing import Annotated, Literal

from pydantic import Field, RootModel

from wanvideo.server.catalog import WireType
from wanvideo.server.schemas.common import LenientBody, Time, Wire
from wanvideo.server.schemas.models import DownloadView
from wanvideo.server.schemas.queue import FailureView, JobState, TaskStatus, TaskView
from wanvideo.server.schemas.system import Stats


class TopicBody(LenientBody):
    topic: str = Field(default="", max_length=60)


class SocketCommand(LenientBody):
    """Every message of a client."""

    type: Literal["subscribe", "unsubscribe", "ping", "get_status"]
    data: TopicBody = TopicBody()


class SocketStats(Wire):
    active_connections: int
    subscription_counts: dict[str, int]
    available_topics: list[str]


# --- what frames hold, type by type ----------------------------------------------------------------------------------


class Connection(Wire):
    connection_id: str
    available_topics: list[str]
    message: str
    replayed: bool = Field(description="What was missed follows; otherwise the snapshot says how things are.")


class Snapshot(Wire):
    counts: dict[JobState, int]
    paused: bool
    tasks: list[TaskView] = Field(description="That run or wait.")
    downloads: list[DownloadView]
    stats: Stats


class TaskUpdate(Wire):
    """How a job is. What is left out has not changed, but for `message`, which is news."""

    task_id: str
    status: TaskStatus
    state: JobState
    progress: int
    phase: str | None = None
    step: int | None = None
    steps: int | None = None
    seconds_per_step: float | None = None
    eta_seconds: float | None = None
    expert: str | None = None
    message: str | None = None
    error: str | None = None
    failure: FailureView | None = None
    output_path: str | None = None
    video_url: str | None = None


class TaskDeleted(Wire):
    task_id: str


class QueueUpdate(Wire):
    reason: str
    task_id: str | None = None
    paused: bool | None = None
    timestamp: Time | None = None


class Detail(Wire):
    """Of a running job, to who subscribes to generation_progress."""

    task_id: str
    stage: str
    phase: str | None = None
    progress: int
    message: str
    estimated_time_remaining: float | None = None
    generation_start_time: float | None = Field(default=None, description="Seconds since 1970.")
    current_step: int
    total_steps: int
    seconds_per_step: float | None = None
    expert: str | None = None
    vram_bytes: int | None = None
    ram_bytes: int | None = None
    received_bytes: int | None = None
    total_bytes: int | None = None
    timestamp: Time


class LatentPreview(Wire):
    """What the video looks like so far, to who subscribes to previews: some of its frames side by side."""

    task_id: str
    type: Literal["preview"] = "preview"
    step: int
    steps: int
    jpeg: str = Field(description="Base64.")
    width: int = Field(description="Of one frame.")
    height: int
    frames: int
    timestamp: Time


class DownloadUpdate(DownloadView):
    progress_percent: float
    downloaded_mb: float
    total_mb: float
    timestamp: Time
    old_status: str | None = None
    new_status: str | None = None


class DownloadComplete(Wire):
    model_type: WireType
    model_id: str
    status: Literal["success", "failed"]
    message: str


class DownloadRetry(Wire):
    model_id: str
    retry_count: int
    error_message: str
    timestamp: Time


class Availability(Wire):
    model_id: str
    old_availability: str
    new_availability: str
    reason: str
    timestamp: Time


class Fallback(Wire):
    task_id: str
    original_model: str
    alternative_model: str
    alternative_type: WireType | None = None
    strategy_type: str
    user_interaction_required: bool
    user_message: str
    timestamp: Time


class Alert(Wire):
    alert_type: str
    message: str
    severity: str
    task_id: str
    timestamp: Time


class Answer(Wire):
    """To a command."""

    message: str | None = None
    topic: str | None = None
    subscribed: bool | None = None
    unsubscribed: bool | None = None
    connection_id: str | None = None
    active_connections: int | None = None
    subscriptions: dict[str, bool] | None = None
    subscription_counts: dict[str, int] | None = None
    timestamp: Time


class _Sent(Wire):
    seq: int = Field(description="Grows, also over restarts; send the last one as `since` when connecting again.")


class ConnectionFrame(_Sent):
    type: Literal["connection_established"]
    data: Connection


class SnapshotFrame(_Sent):
    type: Literal["snapshot"]
    data: Snapshot


class TaskUpdateFrame(_Sent):
    type: Literal["task_update"]
    data: TaskUpdate


class TaskDeletedFrame(_Sent):
    type: Literal["task_deleted"]
    data: TaskDeleted


class QueueUpdateFrame(_Sent):
    type: Literal["queue_update"]
    data: QueueUpdate


class DetailFrame(_Sent):
    type: Literal["detailed_generation_progress"]
    data: Detail


class PreviewFrame(_Sent):
    type: Literal["preview"]
    data: LatentPreview


class DownloadFrame(_Sent):
    type: Literal["download_progress_update", "download_status_change"]
    data: DownloadUpdate


class DownloadCompleteFrame(_Sent):
    type: Literal["model_download_complete"]
    data: DownloadComplete


class DownloadRetryFrame(_Sent):
    type: Literal["download_retry"]
    data: DownloadRetry


class AvailabilityFrame(_Sent):
    type: Literal["model_availability_change"]
    data: Availability


class StatsFrame(_Sent):
    type: Literal["system_stats_update"]
    data: Stats


class FallbackFrame(_Sent):
    type: Literal["fallback_strategy"]
    data: Fallback


class AlertFrame(_Sent):
    type: Literal["alert"]
    data: Alert


class AnswerFrame(_Sent):
    type: Literal["subscription_response", "unsubscription_response", "pong", "status_response", "error"]
    data: Answer


class ServerFrame(
    RootModel[
        Annotated[
            ConnectionFrame
            | SnapshotFrame
            | TaskUpdateFrame
            | TaskDeletedFrame
            | QueueUpdateFrame
            | DetailFrame
            | PreviewFrame
            | DownloadFrame
            | DownloadCompleteFrame
            | DownloadRetryFrame
            | AvailabilityFrame
            | StatsFrame
            | FallbackFrame
            | AlertFrame
            | AnswerFrame,
            Field(discriminator="type"),
        ]
    ]
):
    """Every message to a client, told apart by `type`."""
