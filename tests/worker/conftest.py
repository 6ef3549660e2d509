import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.faulty import faulty_family
from wanvideo.failure import Failure
from wanvideo.jobs.executor import Message
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.spec import Fallback, JobSpec
from wanvideo.request import GenerationRequest, Tier
from wanvideo.weights.lora.library import LoraLibrary
from wanvideo.weights.places import Places
from wanvideo.worker.handle import WorkerHandle
from wanvideo.worker.settings import WorkerSettings

CREATED = 1_000_000_000.0  # of every job
SMALL = GenerationRequest(prompt="a small red circle moves left", seed=3, steps=3, frames=5, width=64, height=64)
JOB = "a" * 32
OTHER = "b" * 32


def spec(
    model: str = "t2v-A14B-demo", fallback: Fallback = Fallback.AUTO, tier: Tier = Tier.EXACT, **request: Any
) -> JobSpec:
    return JobSpec(model=model, request=replace(SMALL, **request), fallback=fallback, tier=tier)


def faulty(prompt: str, fallback: Fallback = Fallback.OFF, **more: Any) -> JobSpec:
    """A job that fails as its prompt says; see `tests/worker/faulty`."""
    return spec("faulty-large", fallback, prompt=prompt, steps=None, **more)


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

    def failed(self, what: JobSpec, **more: Any) -> Failure:
        """How a job fails."""
        self.run(JOB, what, **more)
        return Failure.from_json(self.end()["failure"])

    def done(self, what: JobSpec, job: str = JOB, **more: Any) -> dict[str, Any]:
        """What becomes of a job that succeeds."""
        self.run(job, what, **more)
        result: dict[str, Any] = self.end()["result"]
        return result

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [m["event"] for m in self.heard if m["type"] == "event" and m["event"]["type"] == kind]


def settings_in(folder: Path, **more: Any) -> WorkerSettings:
    data = DataFolder(folder / "data")
    data.make()
    places = Places(roots=(folder / "models",), hub_cache=folder / "hub", **more)
    return WorkerSettings(data=data, places=places, library=LoraLibrary(folder=folder / "loras"), devices=("cpu",))


@pytest.fixture(scope="module", autouse=True)
def _faulty_family(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with faulty_family(tmp_path_factory.mktemp("site")):
        yield


@pytest.fixture
def settings(tmp_path: Path) -> WorkerSettings:
    return settings_in(tmp_path)


@pytest.fixture
def start(settings: WorkerSettings) -> Iterator[Callable[..., Worker]]:
    """Starts workers of this test alone."""
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


@pytest.fixture(scope="session")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Worker]]:
    workers: list[Worker] = []
    yield workers
    for worker in workers:
        worker.handle.kill()


@pytest.fixture
def worker(_shared: list[Worker], tmp_path_factory: pytest.TempPathFactory) -> Worker:
    """One that many tests use, since it takes seconds to start; its folders are empty."""
    if not _shared or not _shared[-1].handle.alive:
        settings = settings_in(tmp_path_factory.mktemp("shared"))
        _shared.append(Worker(settings, WorkerHandle(settings)))
        _shared[-1].handle.start()
        _shared[-1].until("ready")
    worker = _shared[-1]
    for folder in (worker.settings.data.jobs, worker.settings.data.outputs):
        shutil.rmtree(folder)
        folder.mkdir()
    worker.heard.clear()
    return worker
