"""The server as a process: until it is told to stop."""

import asyncio
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from wanvideo.server.app import create_app
from wanvideo.server.parts import Sources
from wanvideo.server.settings import Settings

MAX_MESSAGE = 64 * 1024  # bytes of a WebSocket message
KEEP_ALIVE = 30  # seconds


def run(settings: Settings, sources: Sources, listener: socket.socket, started: Callable[[], None]) -> None:
    """Serve on `listener`, which is bound. SIGTERM and SIGINT drain; a second one stops at once."""
    server = _Server(configure(settings, sources), started)
    asyncio.run(server.serve(sockets=[listener]))


def configure(settings: Settings, sources: Sources) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(settings, sources),
        log_config=None,
        access_log=False,
        server_header=False,
        ws_max_size=MAX_MESSAGE,
        ws_ping_interval=20.0,
        ws_ping_timeout=20.0,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=MAX_MESSAGE,
        lifespan="on",
    )


class _Server(uvicorn.Server):
    """Says when it is ready, and ends its children when it is told twice."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._tell()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig == signal.SIGTERM and self.should_exit:
            self.force_exit = True
        super().handle_exit(sig, frame)
