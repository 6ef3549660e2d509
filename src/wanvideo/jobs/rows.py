"""Rows to values and back."""

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Row

from wanvideo.jobs.job import Job, JobEvent, Progress, State
from wanvideo.jobs.spec import JobSpec

_PLAIN: Final = (
    "id", "batch", "origin", "priority", "rank", "attempt", "deaths", "created", "started", "finished", "worker",
    "expires",
)  # fmt: skip


def job_of(row: Row[Any], progress: Progress | None = None) -> Job:
    """progress: what is known of a running one."""
    values = row._mapping
    state = State(values["state"])
    phase = values["phase"] if state is State.RUNNING else None
    return Job(
        **{name: values[name] for name in _PLAIN},
        spec=_spec(values["spec"]),
        state=state,
        cancelling=bool(values["cancelling"]),
        favourite=bool(values["favourite"]),
        failure=_loaded(values["failure"]),
        result=_loaded(values["result"]),
        progress=(progress if state is State.RUNNING else None) or Progress(phase=phase, percent=_percent(state)),
    )


def row_of(job: Job) -> dict[str, Any]:
    """Of a new job."""
    return {
        "id": job.id, "state": str(job.state), **spec_row(job.spec), "batch": job.batch, "origin": job.origin,
        "priority": job.priority, "rank": job.rank, "attempt": 0, "deaths": 0, "cancelling": 0, "created": job.created,
        "favourite": 0, "key": None, "key_digest": None,
    }  # fmt: skip


def spec_row(spec: JobSpec) -> dict[str, Any]:
    """What of a row says what the job makes."""
    return {"spec": dumped(spec.to_json()), "model": spec.model, "prompt": spec.request.prompt}


def event_of(row: Row[Any]) -> JobEvent:
    values = row._mapping
    return JobEvent(
        seq=values["seq"],
        job=values["job"],
        number=values["number"],
        at=values["at"],
        kind=values["kind"],
        data=json.loads(values["data"]),
    )


def dumped(value: object) -> str:
    """JSON in one form, so that equal values are equal texts. Raises ValueError for numbers that JSON has not."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(dumped(value).encode()).hexdigest()


@lru_cache(maxsize=256)  # a page of the queue, which is asked for again and again
def _spec(text: str) -> JobSpec:
    return JobSpec.from_json(json.loads(text))


def _loaded(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _percent(state: State) -> int:
    return 100 if state is State.SUCCEEDED else 0
