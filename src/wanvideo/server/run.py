"""The server as a process: until it is told to stop."""

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

import uvicorn

from wanvideo.jobs.lock import announced
from wanvideo.server.app import create_app
from wanvideo.server.build import build
from wanvideo.server.cluster import Cluster
from wanvideo.server.parts import Parts, Sources
from wanvideo.server.protocol import ImpatientProtocol
from wanvideo.server.settings import Settings

MAX_MESSAGE = 64 * 1024  # bytes of a WebSocket message
MAX_FILES = 8192
KEEP_ALIVE = 30  # seconds; also for the head of a request to arrive


def run(
    settings: Settings,
    sources: Sources,
    listener: socket.socket,
    started: Callable[[], None],
    *,
    cluster: Cluster | None = None,
) -> None:
    """Serve on `listener`, which is bound. SIGTERM and SIGINT drain; a second one stops at once.

    cluster: where workers are started, too. Raises what `build` and `Cluster.start` raise, and KeyboardInterrupt at the
    end if it was SIGINT.
    """
    parts = build(settings, sources)
    allow_open_files()
    if cluster is not None:
        _start(cluster, parts)

    def begun() -> None:
        parts.closing.enter_context(announced(parts.folder, parts.address))
        parts.queue.reserve.fill()
        spare_collector()
        started()

    server = _Server(configure(parts), begun)
    asyncio.run(server.serve(sockets=[listener]))
    if server.interrupted:
        raise KeyboardInterrupt


def spare_collector() -> None:
    """What there is now stays until the end. To look for garbage in it holds everybody up, for 50 ms each time."""
    gc.collect()
    gc.freeze()


def _start(cluster: Cluster, parts: Parts) -> None:
    """It ends with the parts, and they with it if it cannot start."""
    with ExitStack() as closing:
        closing.push(parts.closing)
        cluster.start()
        closing.pop_all()
    parts.closing.callback(cluster.stop, parts.settings.drain_seconds)


def allow_open_files() -> None:
    """As many as this user may have, up to what the most clients need: many systems begin with 1024."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MAX_FILES if hard == resource.RLIM_INFINITY else min(MAX_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def configure(parts: Parts) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(parts),
        http=ImpatientProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        ws_max_size=MAX_MESSAGE,
        ws_ping_interval=20.0,
        ws_ping_timeout=20.0,
        timeout_keep_alive=max(1, min(KEEP_ALIVE, round(parts.settings.body_seconds))),
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=MAX_MESSAGE,
        lifespan="on",
    )


class _Server(uvicorn.Server):
    """Says when it is ready, and ends well when it is told to."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell = started
        self.interrupted = False  # by the user at the terminal

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._tell()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As in uvicorn, but without raising the signals again at the end: what was asked for has been done."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, _frame: FrameType | None) -> None:
        self.interrupted = self.interrupted or sig == signal.SIGINT
        self.force_exit = self.should_exit  # the second one
        self.should_exit = True
