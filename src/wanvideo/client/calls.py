"""What can be asked of a server, as values: the synchronous and the asynchronous client send the same ones."""

import io
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeVar
from urllib.parse import quote

from wanvideo.client.values import Batch, Job, JobEvent, Machine, Model, Plan, Queue, Submission, Worker
from wanvideo.errors import InvalidImage, InvalidRequest
from wanvideo.request import GenerationRequest, ImageSource, LoraUse

ValueT = TypeVar("ValueT")

API: Final = "/api/v1"
Where = Literal["first", "last", "before", "after"]
Status = Literal["pending", "processing", "completed", "failed", "cancelled"]
_WORKERS: Final = f"{API}/system/workers"
_PICTURES: Final = ("image", "end_image")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[ValueT]):
    """One request, and what its answer is."""

    method: str
    path: str
    kind: type[ValueT]
    within: str | None = None  # the field of the answer that holds it
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    files: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)  # name and content
    key: str | None = None
    # Whether asking twice does no more than asking once. If not, it is asked again only when it surely was not heard.
    repeatable: bool = True

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.key is None else {"Idempotency-Key": self.key}

    @property
    def content(self) -> dict[str, Any]:
        """The body, in the words of httpx: JSON, or a form if there are files."""
        if not self.files:
            return {} if self.body is None else {"json": dict(self.body)}
        form = {
            name: value if isinstance(value, str) else json.dumps(value) for name, value in (self.body or {}).items()
        }
        return {"data": form, "files": dict(self.files)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a request to a server says besides what the video is to be."""

    model: str = "auto"  # a name, a type, or auto: the best that is ready
    variant: str | None = None
    tier: str | None = None
    fallback: str | None = None  # auto, demo or off
    count: int = 1  # jobs, with seeds that follow one another
    priority: int = 0  # higher comes first
    held: bool = False  # waits until it is released
    force: bool = False  # also what the plan says does not fit


def submit(request: GenerationRequest, options: Options, key: str | None) -> Call[Submission]:
    pictures = {name: source for name in _PICTURES if (source := getattr(request, name)) is not None}
    return Call(
        method="POST",
        path=f"{API}/generation/submit",
        kind=Submission,
        body=_asked(request, options),
        files={name: (f"{name}.png", _content(source)) for name, source in pictures.items()},
        key=key or uuid.uuid4().hex,
    )


def batch(requests: Sequence[GenerationRequest], options: Options, key: str | None) -> Call[Batch]:
    files: dict[str, tuple[str, bytes]] = {}
    asked = []
    for number, request in enumerate(requests, 1):
        body = _asked(request, options)
        for name in _PICTURES:
            if (source := getattr(request, name)) is not None:
                body[f"{name}_name"] = f"{name} {number}"
                files[f"{name} {number}"] = (f"{name}.png", _content(source))
        asked.append(body)
    return Call(
        method="POST",
        path=f"{API}/generation/batch",
        kind=Batch,
        body={"requests": asked},
        files=files,
        key=key or uuid.uuid4().hex,
    )


def get(job: str) -> Call[Job]:
    return Call(method="GET", path=_of(job), kind=Job)


def page(
    *,
    status: Status | None = None,
    model: str | None = None,
    text: str | None = None,
    favourite: bool | None = None,
    limit: int = 200,
    cursor: str | None = None,
) -> Call[Queue]:
    asked = {"status_filter": status, "model": model, "text": text, "limit": str(limit), "cursor": cursor}
    if favourite is not None:
        asked["favourite"] = str(favourite).lower()
    query = {name: value for name, value in asked.items() if value is not None}
    return Call(method="GET", path=f"{API}/queue", kind=Queue, query=query)


def events(job: str, since: int) -> Call[tuple[JobEvent, ...]]:
    query = {"since": str(since), "limit": "1000"}
    return Call(method="GET", path=f"{_of(job)}/events", kind=tuple[JobEvent, ...], within="events", query=query)


def cancel(job: str) -> Call[dict[str, Any]]:
    return _done("POST", f"{_of(job)}/cancel")


def delete(job: str) -> Call[dict[str, Any]]:
    return _done("DELETE", _of(job))


def retry(job: str) -> Call[Job]:
    return _changing(job, "retry", repeatable=False)


def hold(job: str) -> Call[Job]:
    return _changing(job, "hold", repeatable=False)


def release(job: str) -> Call[Job]:
    return _changing(job, "release", repeatable=False)


def prioritise(job: str, priority: int) -> Call[Job]:
    return _changing(job, "priority", {"priority": priority})


def move(job: str, to: Where, other: str | None) -> Call[Job]:
    return _changing(job, "move", {"to": to} if other is None else {"to": to, "other": other})


def favour(job: str, favourite: bool) -> Call[Job]:
    return _changing(job, "favourite", {"favourite": favourite})


def edit(job: str, changes: Mapping[str, Any]) -> Call[Job]:
    return Call(method="PATCH", path=_of(job), kind=Job, body=changes)


def rerun(
    job: str, changes: Mapping[str, Any], *, keep_seed: bool, count: int, key: str | None
) -> Call[tuple[Job, ...]]:
    body = {"changes": dict(changes), "keep_seed": keep_seed, "count": count}
    path = f"{_of(job)}/rerun"
    return Call(method="POST", path=path, kind=tuple[Job, ...], body=body, key=key or uuid.uuid4().hex)


def clear() -> Call[int]:
    return Call(method="POST", path=f"{API}/queue/clear", kind=int, within="removed", body={})


def pause() -> Call[bool]:
    return Call(method="POST", path=f"{API}/queue/pause", kind=bool, within="paused", body={})


def resume() -> Call[bool]:
    return Call(method="POST", path=f"{API}/queue/resume", kind=bool, within="paused", body={})


def models() -> Call[tuple[Model, ...]]:
    return Call(method="GET", path=f"{API}/models", kind=tuple[Model, ...], within="models")


def workers() -> Call[tuple[Worker, ...]]:
    return Call(method="GET", path=_WORKERS, kind=tuple[Worker, ...], within="workers")


def machines() -> Call[tuple[Machine, ...]]:
    return Call(method="GET", path=f"{API}/system/nodes", kind=tuple[Machine, ...], within="nodes")


def add_worker(devices: Sequence[str], models: Sequence[str], memory_limit_gb: float | None) -> Call[Worker]:
    body = {"devices": list(devices), **_limits(models, memory_limit_gb)}
    return Call(method="POST", path=_WORKERS, kind=Worker, body=body, repeatable=False)


def limit_worker(name: str, models: Sequence[str], memory_limit_gb: float | None) -> Call[Worker]:
    return Call(method="PUT", path=f"{_worker(name)}/limits", kind=Worker, body=_limits(models, memory_limit_gb))


def return_worker(name: str) -> Call[Worker]:
    return Call(method="POST", path=f"{_worker(name)}/return", kind=Worker, body={})


def remove_worker(name: str, now: bool) -> Call[str]:
    query = {"now": str(now).lower()}
    return Call(method="DELETE", path=_worker(name), kind=str, within="message", query=query, repeatable=False)


def plan(request: GenerationRequest, options: Options) -> Call[Plan]:
    asked = _asked(request, options)
    known = ("model_type", "variant", "resolution", "frames", "seconds", "steps", "tier", "step_cache")
    body = {name: asked[name] for name in known if name in asked} | {"image": request.image is not None}
    return Call(method="POST", path=f"{API}/generation/plan", kind=Plan, body=body)


def settings(job: str) -> Call[dict[str, Any]]:
    path = f"{API}/outputs/{_id(job)}/settings"
    return Call(method="GET", path=path, kind=dict[str, Any], within="settings")


def content_path(job: str) -> str:
    """Of the video."""
    return f"{API}/outputs/{_id(job)}/download"


def stream_path(job: str) -> str:
    """Of what happens to a job, as server-sent events."""
    return f"{_of(job)}/stream"


# --- inside ----------------------------------------------------------------------------------------------------------


def _id(job: str) -> str:
    if not job.isalnum() or not job.isascii():
        raise InvalidRequest(f"{job!r:.60} is no id of a job")
    return job


def _of(job: str) -> str:
    return f"{API}/queue/{_id(job)}"


def _worker(name: str) -> str:
    return f"{_WORKERS}/{quote(name, safe='')}"


def _limits(models: Sequence[str], memory_limit_gb: float | None) -> dict[str, Any]:
    return {"models": list(models), "memory_limit_gb": memory_limit_gb}


def _done(method: str, path: str) -> Call[dict[str, Any]]:
    return Call(method=method, path=path, kind=dict[str, Any], body=None if method == "DELETE" else {})


def _changing(job: str, what: str, body: Mapping[str, Any] | None = None, *, repeatable: bool = True) -> Call[Job]:
    return Call(method="POST", path=f"{_of(job)}/{what}", kind=Job, body=body or {}, repeatable=repeatable)


def _asked(request: GenerationRequest, options: Options) -> dict[str, Any]:
    """In the words of the API; what is unset is left out, so that the server's defaults count."""
    if request.sigmas is not None:
        raise InvalidRequest("sigmas cannot be sent to a server: give steps and shift")
    plain = (
        "prompt", "negative_prompt", "width", "height", "frames", "seconds", "steps", "guidance", "guidance_low",
        "shift", "solver", "step_cache", "seed",
    )  # fmt: skip
    values: dict[str, Any] = {name: getattr(request, name) for name in plain}
    if request.width is not None and request.height is not None:
        values |= {"resolution": f"{request.width}x{request.height}", "width": None, "height": None}
    values |= {
        "loras": [_lora(use) for use in request.loras] or None,
        "lora_policy": request.lora_policy.value if request.loras else None,
        "model_type": options.model,
        "variant": options.variant,
        "tier": options.tier,
        "fallback": options.fallback,
        "count": None if options.count == 1 else options.count,
        "priority": options.priority or None,
        "held": options.held or None,
        "force": options.force or None,
    }
    return {name: value for name, value in values.items() if value is not None}


def _lora(use: LoraUse) -> dict[str, Any]:
    values = {"name": str(use.source), "strength": use.strength, "strength_low": use.strength_low, "expert": use.expert}
    return {name: value for name, value in values.items() if value is not None}


def _content(source: ImageSource) -> bytes:
    """A picture as bytes of a file. Raises InvalidImage."""
    if isinstance(source, str | os.PathLike):
        try:
            return Path(source).read_bytes()
        except OSError as error:
            raise InvalidImage(f"{source} cannot be read: {error.strerror}") from None
    file = io.BytesIO()
    source.save(file, "PNG")
    return file.getvalue()
