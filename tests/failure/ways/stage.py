"""Where failures are played: a real server with a real worker, models that can be damaged, and a hub that fails."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import httpx2

from tests.hub.loopback import LoopbackHub
from tests.server.serving import Serving
from wanvideo.server.downloads import DownloadState
from wanvideo.weights.download.hub import Hub

DEMO: Final = "t2v-A14B-demo"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Set once for all ways; each leaves it as it found it."""

    server: Serving
    demo: Path  # the demo models, of which each way may damage what it likes, and mend it again
    hub: LoopbackHub  # where the server downloads from
    tmp: Path

    def submit(self, **asked: Any) -> str:
        """A job of a demo model, unless another one is named; its id."""
        task: str = self.server.submit(**{"model_type": DEMO} | asked)["task_id"]
        return task

    def failed(self, **asked: Any) -> dict[str, Any]:
        """The failure of a job, which nothing stands in for."""
        task = self.submit(fallback="off", **asked)
        found = self.server.until(task, "completed", "failed", seconds=120)
        assert found["status"] == "failed", found
        failure: dict[str, Any] = found["failure"]
        return failure

    def faulty(self, prompt: str, **asked: Any) -> dict[str, Any]:
        """That of a job of a model which fails as it is told: see `tests/worker/faulty`."""
        return self.failed(model_type="faulty-large", prompt=prompt, steps=None, frames=None, **asked)

    def refused(self, path: str = "/generation/submit", *, method: str = "POST", **fields: Any) -> dict[str, Any]:
        """The answer to a request that is not taken."""
        usual = {"model_type": DEMO, "prompt": "a small red circle"} if path == "/generation/submit" else {}
        answer = self.server.client.request(method, f"/api/v1{path}", json=usual | fields)
        return problem(answer)

    @contextmanager
    def without(self, path: Path) -> Iterator[None]:
        """While a file or a folder is not there."""
        hidden = path.with_name(f"{path.name}.hidden")
        path.rename(hidden)
        self.server.parts.catalog.look_again()
        try:
            yield
        finally:
            hidden.rename(path)
            self.server.parts.catalog.look_again()

    @contextmanager
    def instead(self, path: Path, data: bytes) -> Iterator[None]:
        """While a file holds something else."""
        with self.without(path):
            path.write_bytes(data)
            try:
                yield
            finally:
                path.unlink()

    def until_download(self, model: str, state: DownloadState) -> None:
        end = time.monotonic() + 30
        while (found := self.server.parts.downloads.get(model)) is None or found.state is not state:
            assert time.monotonic() < end, found
            time.sleep(0.02)

    def worker_pid(self) -> int:
        """Of the worker that is ready."""
        end = time.monotonic() + 60
        while not (pids := self.server.parts.worker_pids()) or not self.server.parts.workers():
            assert time.monotonic() < end
            time.sleep(0.05)
        return pids[0]


def hub_of(loopback: LoopbackHub) -> Hub:
    return Hub(endpoint=loopback.endpoint)


def problem(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.status_code >= 400, answer.text
    found: dict[str, Any] = answer.json()
    return found


Way: TypeAlias = Callable[[Stage], Mapping[str, Any]]
WAYS: dict[str, Way] = {}
SLOW: set[str] = set()


def way(code: str, *, slow: bool = False) -> Callable[[Way], Way]:
    """Marks what leads to a failure with that code. slow: takes more than some seconds."""

    def note(play: Way) -> Way:
        assert code not in WAYS, code
        WAYS[code] = play
        if slow:
            SLOW.add(code)
        return play

    return note
