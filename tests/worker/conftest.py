import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from wanvideo.jobs.executor import Message
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.spec import Fallback, JobSpec
from wanvideo.request import GenerationRequest
from wanvideo.weights.lora.library import LoraLibrary
from wanvideo.weights.places import Places
from wanvideo.worker.handle import WorkerHandle
from wanvideo.worker.settings import WorkerSettings

CREATED = 1_000_000_000.0  # of every job
SMALL = GenerationRequest(prompt="a small red circle moves left", seed=3, steps=3, frames=5, width=64, height=64)


def spec(model: str = "t2v-A14B-demo", fallback: Fallback = Fallback.AUTO, **request: Any) -> JobSpec:
    return JobSpec(model=model, request=replace(SMALL, **request), fallback=fallback)


@dataclass
class Worker:
    """A real worker, driven without a supervisor."""

    settings: WorkerSettings
    handle: WorkerHandle
    heard: list[Message] = field(default_factory=list)

    def run(self, job: str, what: JobSpec, attempt: int = 1, resume: bool = True) -> None:
        folder = self.settings.data.job(job)
        folder.mkdir(parents=True, exist_ok=True)
        order = {"type": "run", "job": job, "attempt": attempt, "spec": what.to_json(), "folder": str(folder)}
        self.handle.send({**order, "created": CREATED, "resume": resume})

    def until(self, *kinds: str, enough: Callable[[Message], bool] = lambda _: True, seconds: float = 60) -> Message:
        """The first message of one of these kinds that is enough."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            message = self.handle.receive(0.2)
            if message is None:
                assert self.handle.alive, f"the worker ended with {self.handle.exitcode}"
                continue
            self.heard.append(message)
            if message["type"] in kinds and enough(message):
                return message
        raise AssertionError(f"none of {kinds} within {seconds} s, but {[m['type'] for m in self.heard]}")

    def end(self, seconds: float = 60) -> Message:
        return self.until("done", "failed", "cancelled", seconds=seconds)

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [m["event"] for m in self.heard if m["type"] == "event" and m["event"]["type"] == kind]


@pytest.fixture
def settings(tmp_path: Path) -> WorkerSettings:
    data = DataFolder(tmp_path / "data")
    data.make()
    return WorkerSettings(
        data=data,
        places=Places(roots=(tmp_path / "models",), hub_cache=tmp_path / "hub"),
        library=LoraLibrary(folder=tmp_path / "loras"),
        device="cpu",
    )


@pytest.fixture
def start(settings: WorkerSettings) -> Iterator[Callable[..., Worker]]:
    handles: list[WorkerHandle] = []

    def start(settings: WorkerSettings = settings) -> Worker:
        handle = WorkerHandle(settings)
        handles.append(handle)
        handle.start()
        worker = Worker(settings, handle)
        worker.until("ready")
        return worker

    yield start
    for handle in handles:
        handle.kill()


@pytest.fixture
def worker(start: Callable[[], Worker]) -> Worker:
    return start()


def kinds(messages: Sequence[Message]) -> list[str]:
    return [message["type"] for message in messages]
