"""A client of the server, in Python: `Client`, and `AsyncClient` with the same methods. No torch.

from wanvideo import GenerationRequest
from wanvideo.client import Client, Options

with Client() as client:
    job = client.submit(GenerationRequest(prompt="a heron lands on a frozen lake"), Options(model="t2v-A14B")).job
    client.download(client.wait(job.id), "heron.mp4")

What speaks HTTP is imported when it is first used: whether a server runs can be asked without.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from wanvideo.client.calls import Options
from wanvideo.client.errors import (
    BadAnswer,
    Busy,
    Conflict,
    DownloadDamaged,
    JobCancelled,
    JobFailed,
    NoServer,
    NotFound,
    NotInTime,
    Refused,
    ServerError,
    Unauthorized,
    Unreachable,
)
from wanvideo.client.find import Server, find_server
from wanvideo.client.values import (
    Action,
    Batch,
    Failure,
    Frame,
    Job,
    JobEvent,
    JobLora,
    Machine,
    MachineWorker,
    Model,
    Plan,
    PlanAlternative,
    PlannedPhase,
    Queue,
    Result,
    Submission,
    Variant,
    Worker,
)
from wanvideo.jobs.job import State

if TYPE_CHECKING:
    from wanvideo.client.asynchronous import AsyncClient
    from wanvideo.client.client import Client
    from wanvideo.client.patience import Patience

__all__ = [
    "Action",
    "AsyncClient",
    "BadAnswer",
    "Batch",
    "Busy",
    "Client",
    "Conflict",
    "DownloadDamaged",
    "Failure",
    "Frame",
    "Job",
    "JobCancelled",
    "JobEvent",
    "JobFailed",
    "JobLora",
    "Machine",
    "MachineWorker",
    "Model",
    "NoServer",
    "NotFound",
    "NotInTime",
    "Options",
    "Patience",
    "Plan",
    "PlanAlternative",
    "PlannedPhase",
    "Queue",
    "Refused",
    "Result",
    "Server",
    "ServerError",
    "State",
    "Submission",
    "Unauthorized",
    "Unreachable",
    "Variant",
    "Worker",
    "find_server",
]

_LAZY: Final = {
    "AsyncClient": "wanvideo.client.asynchronous",
    "Client": "wanvideo.client.client",
    "Patience": "wanvideo.client.patience",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
