"""What can go wrong between this program and a server; errors of the server keep their code and their suggestions."""

from collections.abc import Mapping, Sequence
from typing import Any

from wanvideo.client.values import Action, Failure, Job
from wanvideo.errors import InvalidRequest, WanVideoError


class NoServer(WanVideoError):
    """No server is known: none runs for this user, and none was named."""

    code = "SERVER_NONE"


class Unreachable(WanVideoError):
    """The server does not answer."""

    code = "SERVER_UNREACHABLE"


class BadAnswer(WanVideoError):
    """What answers speaks another language: no wanvideo server, or one of another version."""

    code = "SERVER_BAD_ANSWER"


class NotInTime(WanVideoError):
    """The job was waited for as long as asked, and goes on."""

    code = "NOT_IN_TIME"
    category = "job"


class DownloadDamaged(WanVideoError):
    """Twice, the bytes that came were not those of the video."""

    code = "OUTPUT_DAMAGED"
    category = "output"


class ServerError(WanVideoError):
    """The server says no. `code`, `suggestions` and `facts` are its own."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str,
        category: str = "server",
        suggestions: Sequence[str] = (),
        actions: Sequence[Action] = (),
        facts: Mapping[str, Any] | None = None,
        error_id: str | None = None,
    ) -> None:
        super().__init__(message, suggestions=suggestions, facts=facts)
        self.status, self.code, self.category = status, code, category
        self.actions = tuple(actions)
        self.error_id = error_id  # of a bug: the server's log says more under it


class Refused(ServerError, InvalidRequest):
    """A value of the request cannot be used."""


class Unauthorized(ServerError):
    """The token is missing, or another one is needed."""


class NotFound(ServerError):
    """There is no such job or video, or no longer."""


class Conflict(ServerError):
    """It cannot be done in the state that things are in."""


class Busy(ServerError):
    """Not now: the queue is full, or the server is stopping."""


class JobFailed(WanVideoError):
    """The job ended without a video; `job` has everything that is known, `failure` why."""

    def __init__(self, job: Job, failure: Failure) -> None:
        super().__init__(failure.message, suggestions=failure.suggestions, facts=failure.facts)
        self.job, self.failure = job, failure
        self.code, self.category = failure.code, failure.category


class JobCancelled(WanVideoError):
    """The job was cancelled."""

    code = "JOB_CANCELLED"
    category = "job"

    def __init__(self, job: Job) -> None:
        super().__init__(f"job {job.id} was cancelled")
        self.job = job
