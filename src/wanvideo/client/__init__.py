"""A client of the server, in Python: `Client`, and `AsyncClient` with the same methods. No torch.

from wanvideo import GenerationRequest
from wanvideo.client import Client, Options

with Client() as client:
    job = client.submit(GenerationRequest(prompt="a heron lands on a frozen lake"), Options(model="t2v-A14B")).job
    client.download(client.wait(job.id), "heron.mp4")
"""

from wanvideo.client.asynchronous import AsyncClient
from wanvideo.client.calls import Options
from wanvideo.client.client import Client
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
from wanvideo.client.patience import Patience
from wanvideo.client.values import (
    Action,
    Failure,
    Frame,
    Job,
    JobEvent,
    JobLora,
    Model,
    Plan,
    PlanAlternative,
    PlannedPhase,
    Queue,
    Result,
    Submission,
    Variant,
)
from wanvideo.jobs.job import State

__all__ = [
    "Action",
    "AsyncClient",
    "BadAnswer",
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
    "find_server",
]
