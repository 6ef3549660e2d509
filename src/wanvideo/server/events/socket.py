"""/ws: a snapshot, then what has been missed, then what happens."""

import asyncio
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from typing import Annotated, Any, Final

import structlog
from anyio import to_thread
from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from wanvideo.server.deps import PartsDep
from wanvideo.server.events.hub import Frame, Hub, Mailbox, Overflow, Topic
from wanvideo.server.events.replay import stored_since
from wanvideo.server.model_views import now
from wanvideo.server.parts import Parts
from wanvideo.server.responses import group
from wanvideo.server.schemas.events import ServerFrame, SocketCommand, SocketStats
from wanvideo.server.sign_in import PROTOCOL
from wanvideo.server.snapshot import snapshot

log = structlog.stdlib.get_logger(__name__)

SEND_SECONDS: Final = 10.0  # for which a client may take nothing
COMMANDS: Final = 50  # of one client in ten seconds
_WINDOW: Final = 10.0

sockets = APIRouter()
router = group("events", "/ws")
frames = APIRouter()


@router.get("/stats")
def get_socket_stats(parts: PartsDep) -> SocketStats:
    """Who is connected."""
    return SocketStats(
        active_connections=parts.hub.clients,
        subscription_counts=dict(parts.hub.subscribers()),
        available_topics=list(Topic.ALL),
    )


@frames.get("/ws")
def receive() -> ServerFrame:  # type: ignore[empty-body]
    """What comes over the socket: OpenAPI has no words for sockets, so this brings its types into the document."""


@sockets.websocket("/ws")
@sockets.websocket("/api/v1/ws")
async def talk(
    websocket: WebSocket,
    parts: PartsDep,
    since: Annotated[int | None, Query(ge=0, description="The last `seq` that was received.")] = None,
) -> None:
    """Frames {type, data, seq}. task_update and queue_update come to everyone; `subscribe` to a topic for more."""
    if parts.hub.clients >= parts.settings.max_sockets:
        await websocket.close(1013, "too many clients: try again later")
        return
    offered = websocket.headers.get("sec-websocket-protocol", "")
    chosen = next((each.strip() for each in offered.split(",") if each.strip().startswith(PROTOCOL)), None)
    client = _Client(websocket, parts)
    parts.hub.join(client.box)  # before anything is waited for, so that no two take the last place
    parts.metrics.sockets.inc()
    try:
        await websocket.accept(subprotocol=chosen)
        await client.greet(since)
        await client.run()
    finally:
        parts.hub.leave(client.box)
        parts.metrics.sockets.dec()


class _Client:
    def __init__(self, websocket: WebSocket, parts: Parts) -> None:
        self.websocket = websocket
        self.parts = parts
        self.hub: Hub = parts.hub
        self.box = Mailbox()
        self.id = secrets.token_hex(8)
        self._answers = count()

    async def greet(self, since: int | None) -> None:
        """Who they are, what there is, and what they have missed."""
        seq = self.hub.last_seq
        missed = None if since is None else await self._missed(since)
        await self._send(
            Frame(
                "connection_established",
                {
                    "connection_id": self.id,
                    "available_topics": list(Topic.ALL),
                    "message": "connected",
                    "replayed": missed is not None,
                },
                seq=seq,
            )
        )
        await self._send(Frame("snapshot", await to_thread.run_sync(snapshot, self.parts), seq=seq))
        for frame in missed or ():
            if frame.seq <= seq:  # what came later waits in the box
                await self._send(frame)

    async def _missed(self, since: int) -> Iterable[Frame] | None:
        """From memory, else from the store. None: too much, or not known."""
        # What other processes told their clients, in their order, only the store knows.
        alone = self.parts.node.relay is None
        if alone and (frames := self.hub.since(since, self.box)) is not None:
            return frames
        stored = await to_thread.run_sync(stored_since, self.parts, since)
        return None if stored is None else [frame for frame in stored if self.box.wants(frame)]

    async def run(self) -> None:
        """Until either side has had enough."""
        tasks = [asyncio.create_task(self._sending()), asyncio.create_task(self._receiving())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, WebSocketDisconnect | RuntimeError):
                raise error

    async def _sending(self) -> None:
        while True:
            try:
                await self._send(await self.box.take())
            except (Overflow, TimeoutError):
                log.info("a client is too slow and is sent away", connection=self.id)
                with suppress(RuntimeError, TimeoutError):
                    async with asyncio.timeout(1):
                        await self.websocket.close(1013, "too slow: connect again with since")
                return

    async def _receiving(self) -> None:
        window, received = time.monotonic(), 0
        while True:
            text = await self.websocket.receive_text()
            if time.monotonic() - window > _WINDOW:
                window, received = time.monotonic(), 0
            received += 1
            if received > COMMANDS:
                await self.websocket.close(1008, "too many messages")
                return
            try:
                command = SocketCommand.model_validate_json(text)
            except ValidationError:
                self._answer("error", message="not understood: send subscribe, unsubscribe, ping or get_status")
                continue
            self._obey(command)

    def _obey(self, command: SocketCommand) -> None:
        topic = command.data.topic
        known = topic in Topic.ALL
        match command.type:
            case "subscribe":
                if known:
                    self.box.topics.add(topic)
                said = "subscribed" if known else "there is no such topic"
                self._answer("subscription_response", topic=topic, subscribed=known, message=said)
            case "unsubscribe":
                self.box.topics.discard(topic)
                self._answer("unsubscription_response", topic=topic, unsubscribed=True, message="unsubscribed")
            case "ping":
                self._answer("pong", message="pong")
            case "get_status":
                self._answer(
                    "status_response",
                    connection_id=self.id,
                    active_connections=self.hub.clients,
                    subscriptions={each: each in self.box.topics for each in Topic.ALL},
                    subscription_counts=dict(self.hub.subscribers()),
                )

    def _answer(self, kind: str, **data: Any) -> None:
        """By way of the box, so that only one task sends."""
        stamp = now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        key = f"answer {next(self._answers)}"
        self.box.put(Frame(kind, {**data, "timestamp": stamp}, key=key, seq=self.hub.last_seq))

    async def _send(self, frame: Frame) -> None:
        async with asyncio.timeout(SEND_SECONDS):
            await self.websocket.send_text(frame.text)
