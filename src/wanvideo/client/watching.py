"""What a stream of server-sent events says about one job, and where to go on after it broke."""

import json
from dataclasses import dataclass

import httpx2

from wanvideo.client.answers import read
from wanvideo.client.errors import BadAnswer, JobCancelled, JobFailed
from wanvideo.client.values import Frame, Job, JobEvent
from wanvideo.errors import JobConflict, JobNotFound
from wanvideo.jobs.job import State


class Watched:
    """One job, as far as it was followed."""

    def __init__(self, job: str, since: int = 0) -> None:
        """since: the number of the last event that is known."""
        self.job, self.since, self.over = job, since, False

    @property
    def headers(self) -> dict[str, str]:
        return {"Accept": "text/event-stream", "Last-Event-ID": str(self.since)}

    def hear(self, said: httpx2.ServerSentEvent) -> Job | JobEvent:
        """Raises JobNotFound if the job was deleted."""
        try:
            data = json.loads(said.data)
        except ValueError:
            raise BadAnswer("the server's stream of events is not understood: is it of another version?") from None
        if said.event == "deleted":
            raise JobNotFound(f"job {self.job} was deleted while it was watched")
        if said.event != "task":
            event = read(JobEvent, data)
            self.since = event.seq
            return event
        job = read(Job, data)
        self.over = job.done
        return job


def with_video(job: Job) -> Job:
    """The job, if it made its video. Raises JobFailed, JobCancelled."""
    if job.state is State.FAILED and job.failure is not None:
        raise JobFailed(job, job.failure)
    if job.state is State.CANCELLED:
        raise JobCancelled(job)
    return job


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """What identifies the video of a job."""

    job: str
    sha256: str


def video_of(job: Job) -> Video:
    """Raises JobFailed, JobCancelled, and JobConflict if it is not there yet."""
    result = with_video(job).result
    if result is None:
        raise JobConflict(f"job {job.id} is {job.state} and has no video yet: wait for it first")
    return Video(job=job.id, sha256=result.sha256)


def frame_of(text: str | bytes) -> Frame:
    """Of what came through a socket. Raises BadAnswer."""
    try:
        return read(Frame, json.loads(text))
    except ValueError:
        raise BadAnswer("the server's frames are not understood: is it of another version?") from None
