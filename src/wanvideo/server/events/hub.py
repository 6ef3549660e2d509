"""One stream of frames to many clients. A slow one loses progress that is out of date anyway, never a final event.

All of it runs on the server's event loop; `publish` may be called from any thread.
"""

import asyncio
import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

PENDING: Final = 256  # frames that wait for one client, beyond which it is sent away
REPLAYED: Final = 10_000  # frames that a client may have missed
FRAMES: Final = 2**20  # numbers of frames from one stored event to the next


class Topic:
    """What clients may subscribe to. Frames without a topic go to everyone."""

    SYSTEM: Final = "system_stats"
    PROGRESS: Final = "generation_progress"
    QUEUE: Final = "queue_updates"
    ALERTS: Final = "alerts"
    MODELS: Final = "model_status"
    DOWNLOADS: Final = "download_progress"
    HEALTH: Final = "health_monitoring"
    FALLBACK: Final = "fallback_notifications"
    PREVIEWS: Final = "previews"
    ALL: Final = (SYSTEM, PROGRESS, QUEUE, ALERTS, MODELS, DOWNLOADS, HEALTH, FALLBACK, PREVIEWS)


@dataclass(frozen=True)
class Frame:
    """One message to clients."""

    type: str
    data: Mapping[str, Any]
    topic: str | None = None  # None: to everyone
    # Of frames with the same key, only the newest counts: a client that has not taken the last one gets the next in its
    # place. None: never lost.
    key: str | None = None
    every: float = 0.0  # seconds between two frames of that key
    ends: tuple[str, ...] = ()  # keys that are out of date once this frame is sent
    job: str | None = None
    event: int = 0  # of what was stored, the number; 0: nothing was
    seq: int = 0

    @cached_property
    def text(self) -> str:
        """As it is sent; made once for all clients."""
        return json.dumps({"type": self.type, "data": self.data, "seq": self.seq}, separators=(",", ":"))


class Overflow(Exception):
    """A client is so far behind that frames which may not be lost would be."""


class Mailbox:
    """What waits for one client."""

    def __init__(self, topics: frozenset[str] = frozenset(), job: str | None = None, most: int = PENDING) -> None:
        self.topics = set(topics)
        self.job = job  # None: of all jobs
        self._most = most
        self._frames: dict[str | int, Frame] = {}  # by key, or by seq
        self._arrived = asyncio.Event()
        self._overflown = False

    def wants(self, frame: Frame) -> bool:
        if self.job is not None:
            return frame.job == self.job
        return frame.topic is None or frame.topic in self.topics

    def put(self, frame: Frame) -> None:
        for key in frame.ends:
            self._frames.pop(key, None)
        if frame.key is not None:
            self._frames.pop(frame.key, None)
        if len(self._frames) >= self._most and not self._make_room():
            if frame.key is not None:
                return
            self._overflown = True
        self._frames[frame.seq if frame.key is None else frame.key] = frame
        self._arrived.set()

    def _make_room(self) -> bool:
        """Drop the oldest frame that may be dropped."""
        key = next((key for key, frame in self._frames.items() if frame.key is not None), None)
        if key is None:
            return False
        del self._frames[key]
        return True

    async def take(self) -> Frame:
        """The next frame. Raises Overflow once frames would have been lost."""
        while not self._frames:
            self._arrived.clear()
            await self._arrived.wait()
        if self._overflown:
            raise Overflow
        first = next(iter(self._frames))
        return self._frames.pop(first)


class Hub:
    """All clients, and the frames that they may ask for again."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._boxes: set[Mailbox] = set()
        self._kept: deque[Frame] = deque(maxlen=REPLAYED)
        self._first = self._last = 0
        self._sent: dict[str, float] = {}  # by key, when
        self._late: dict[str, tuple[Frame, asyncio.TimerHandle]] = {}
        self._arrived: deque[Frame] = deque()  # not yet seen by the loop
        self._arriving = threading.Lock()

    def open(self, event: int = 0) -> None:
        """From now on, on the running loop. `event` is the newest one that was stored."""
        self._loop = asyncio.get_running_loop()
        # Behind every number that an earlier server can have given to a frame, whether that was stored or not.
        self._first = self._last = (event + 1) * FRAMES - 1

    def close(self) -> None:
        self._loop = None
        self._arrived.clear()
        for _, timer in self._late.values():
            timer.cancel()
        self._late.clear()

    @property
    def clients(self) -> int:
        return len(self._boxes)

    @property
    def last_seq(self) -> int:
        return self._last

    def subscribers(self) -> Mapping[str, int]:
        """By topic."""
        return {topic: sum(topic in box.topics for box in self._boxes) for topic in Topic.ALL}

    def publish(self, frame: Frame) -> None:
        """From any thread; without anybody to tell, nothing happens."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        with self._arriving:
            self._arrived.append(frame)
            first = len(self._arrived) == 1
        if first:  # else the loop has been woken already, and to wake it takes longer than all the rest
            loop.call_soon_threadsafe(self._publish_arrived)

    def join(self, box: Mailbox) -> None:
        self._boxes.add(box)

    def leave(self, box: Mailbox) -> None:
        self._boxes.discard(box)

    def since(self, seq: int, box: Mailbox) -> Iterator[Frame] | None:
        """What a client has missed; None if that is no longer known, and only a snapshot helps."""
        oldest = self._kept[0].seq if len(self._kept) == REPLAYED else self._first
        if not oldest <= seq <= self._last:
            return None
        return (frame for frame in tuple(self._kept) if frame.seq > seq and box.wants(frame))

    def _publish_arrived(self) -> None:
        while self._arrived:
            self._publish(self._arrived.popleft())

    def _publish(self, frame: Frame) -> None:
        loop = self._loop
        if loop is None:
            return
        for key in frame.ends:
            self._sent.pop(key, None)
            if (late := self._late.pop(key, None)) is not None:
                late[1].cancel()
        if frame.key is None:
            self._deliver(frame)
            return
        due = self._sent.get(frame.key, float("-inf")) + frame.every
        if frame.key in self._late:
            self._late[frame.key] = (frame, self._late[frame.key][1])
        elif due <= loop.time():
            self._sent[frame.key] = loop.time()
            self._deliver(frame)
        else:
            self._late[frame.key] = (frame, loop.call_at(due, self._deliver_late, frame.key))

    def _deliver_late(self, key: str) -> None:
        found = self._late.pop(key, None)
        if found is not None and self._loop is not None:
            self._sent[key] = self._loop.time()
            self._deliver(found[0])

    def _deliver(self, frame: Frame) -> None:
        # Numbers come from the store: what a client has last seen means the same to the next server.
        self._last = max(self._last + 1, frame.event * FRAMES)
        frame = replace(frame, seq=self._last)
        if frame.key is None:
            self._kept.append(frame)
        for box in self._boxes:
            if box.wants(frame):
                box.put(frame)
