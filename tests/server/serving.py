"""A real server on a free port of this computer, in a thread of the test."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import uvicorn

from wanvideo.server.app import create_app
from wanvideo.server.build import build
from wanvideo.server.node import Workers
from wanvideo.server.parts import Parts, Sources
from wanvideo.server.run import MAX_MESSAGE
from wanvideo.server.settings import Settings
from wanvideo.server.workers import workers_of
from wanvideo.weights.download.hub import Hub
from wanvideo.weights.lora.library import LoraLibrary
from wanvideo.weights.places import DEMO_FOLDER, Places


@dataclass(frozen=True, kw_only=True)
class Serving:
    """A server that answers."""

    url: str
    parts: Parts
    client: httpx2.Client  # of programs such as curl: it says nothing of pages

    def get(self, path: str, **query: Any) -> Any:
        answer = self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None) -> Any:
        answer = self.client.post(path, json={} if body is None else body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def submit(self, **fields: Any) -> Any:
        """A small job of the demo models."""
        usual = {"model_type": "T2V-A14B", "prompt": "a small red circle moves left", "steps": 2, "frames": 5}
        return self.post("/api/v1/generation/submit", usual | fields)

    def until(self, task: str, *statuses: str, seconds: float = 60.0) -> Any:
        """The task, once it has one of these statuses."""
        end = time.monotonic() + seconds
        while (found := self.get(f"/api/v1/queue/{task}"))["status"] not in statuses:
            assert time.monotonic() < end, found
            time.sleep(0.05)
        return found


def no_workers(*_: object) -> dict[str, Any]:
    """Jobs wait for ever."""
    return {}


def sources(tmp: Path, *, hubs: tuple[Hub, ...] = (), demo: Path = DEMO_FOLDER) -> Sources:
    """Nothing of this computer but what comes with the package."""
    return Sources(
        places=Places(roots=(tmp / "models",), hub_cache=tmp / "hub", demo=demo, registry=tmp / "models.json"),
        hubs=hubs,
        library=LoraLibrary(folder=tmp / "loras", roots=(DEMO_FOLDER / "loras",)),
    )


@contextmanager
def serving(
    tmp: Path,
    *,
    workers: Workers = workers_of,
    hubs: tuple[Hub, ...] = (),
    demo_folder: Path = DEMO_FOLDER,
    **settings: Any,
) -> Iterator[Serving]:
    """demo_folder: where the demo models are; there is room for others in `tmp / "models"`."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    chosen = Settings(data_dir=tmp / "data", port=port, **{"demo": True, "min_free_bytes": 0} | settings)
    parts = build(chosen, sources(tmp, hubs=hubs, demo=demo_folder), workers=workers)
    config = uvicorn.Config(
        create_app(parts), log_config=None, ws_max_size=MAX_MESSAGE, lifespan="on", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        url = f"http://127.0.0.1:{port}"
        with httpx2.Client(base_url=url, timeout=30) as client:
            yield Serving(url=url, parts=parts, client=client)
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
    assert not thread.is_alive(), "the server did not stop"
