"""What happens in one process, told in the others that have the same database. PostgreSQL's NOTIFY carries it.

What is kept is read from the database, and a notice says only that there is something new; so a notice that is lost, or
a connection, costs a second and nothing else. How far jobs are is kept nowhere: it is in the notices themselves, and so
are previews, in a few parts each.
"""

import json
import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Final

from wanvideo.errors import WanVideoError
from wanvideo.jobs.job import Job, JobEvent, Progress, State
from wanvideo.jobs.ledger import Change
from wanvideo.jobs.queue import Queue
from wanvideo.jobs.rows import dumped
from wanvideo.jobs.spec import JobSpec
from wanvideo.request import GenerationRequest

log = logging.getLogger(__name__)

CHANNEL: Final = "wanvideo"
MOST_BYTES: Final = 7000  # of a notice; PostgreSQL takes less than 8000
_PART: Final = 6000  # characters of a preview in one notice; base64 has nothing that would make it longer
MOST_PARTS: Final = 16  # of a preview; a larger one is seen by the server that made it alone
LATE: Final = 256  # events: one that is stored while so many others are, may come after them
_KNOWN: Final = 8192  # events that are remembered, so that none is told twice
_AT_ONCE: Final = 500  # events of one query
_SECONDS: Final = 1.0  # after which is looked without a notice
_PAUSE: Final = 0.02  # seconds between two messages, in which others gather


class Relay:
    """Two threads: one tells, the other listens."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self._me = secrets.token_hex(6)
        self._known: set[int] = set()  # events that are told here
        self._order: deque[int] = deque()  # the same, in the order in which they came
        self._last = 0  # the newest event that was seen
        self._running: dict[str, Job] = {}  # elsewhere, as they were last read
        self._out: dict[str, list[str]] = {}  # notices to come, by what they are about: only the newest counts
        self._parts: list[
            str
        ] = []  # of the preview that is being heard: PostgreSQL keeps those of one message together
        self._lock = threading.Lock()
        self._ready, self._stopping = threading.Event(), threading.Event()
        self._unsubscribe: Callable[[], None] = lambda: None
        self._threads = [
            threading.Thread(target=work, name=f"relay {name}", daemon=True)
            for name, work in (("out", self._tell), ("in", self._listen))
        ]

    def start(self) -> None:
        """Raises StorageFailed."""
        self._last = self.queue.last_seq()
        self._remember(event.seq for event in self.queue.events(since=max(0, self._last - LATE)))
        # Before they are stored: the listening thread may read them before the one that made them has told of them.
        self.queue.numbered = self._remember
        self._unsubscribe = self.queue.subscribe(self._on_change)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """What was done here is told first."""
        self._unsubscribe()
        self._stopping.set()
        self._ready.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(5)

    # --- out ---------------------------------------------------------------------------------------------------------

    def _on_change(self, change: Change) -> None:
        if not change.here:
            return
        if change.event is not None:
            self._put("", {})
        elif change.kind == "progress":
            self._put(change.job.id, {"job": change.job.id, "progress": asdict(change.job.progress)})
        elif change.kind == "preview":
            text = dumped(change.data)
            parts = [text[first : first + _PART] for first in range(0, len(text), _PART)]
            if len(parts) <= MOST_PARTS:
                about = {"preview": change.job.id, "parts": len(parts)}
                notices = ({**about, "number": number, "part": part} for number, part in enumerate(parts))
                self._put(f"preview {change.job.id}", *notices)

    def _put(self, about: str, *notices: Mapping[str, Any]) -> None:
        texts = [dumped({"from": self._me, **notice}) for notice in notices]
        if max(map(len, texts)) > MOST_BYTES:
            return
        with self._lock:
            self._out[about] = texts
        self._ready.set()

    def _tell(self) -> None:
        while not self._stopping.is_set():
            self._ready.wait()
            self._ready.clear()
            with self._lock:
                notices, self._out = [text for texts in self._out.values() for text in texts], {}
            try:
                if notices:
                    self.queue.database.notify(CHANNEL, notices)
            except WanVideoError as error:  # the others look by themselves, too
                log.warning("other processes are not told: %s", error.message)
            self._stopping.wait(_PAUSE)

    # --- in ----------------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        while not self._stopping.is_set():
            try:
                self._parts.clear()
                with self.queue.database.listening(CHANNEL) as heard:
                    while not self._stopping.is_set():
                        self._hear(heard(_SECONDS))
            except WanVideoError as error:
                log.warning("other processes are not heard: %s", error.message)
                self._stopping.wait(_SECONDS)

    def _hear(self, texts: Sequence[str]) -> None:
        notices = [notice for notice in map(json.loads, texts) if notice["from"] != self._me]
        if not texts or any(notice.keys() == {"from"} for notice in notices):
            self._catch_up()
        for notice in notices:
            if "job" in notice:
                self._progress(notice["job"], Progress(**notice["progress"]))
            elif "preview" in notice:
                self._preview(notice)

    def _catch_up(self) -> None:
        """Tell what others have stored."""
        since = max(0, self._last - LATE)
        while events := self.queue.events(since=since, limit=_AT_ONCE):
            since = events[-1].seq
            self._last = max(self._last, since)
            self._pass_on([event for event in events if event.seq not in self._known])
            if len(events) < _AT_ONCE:
                return

    def _pass_on(self, events: Sequence[JobEvent]) -> None:
        self._remember(event.seq for event in events)
        jobs = self.queue.find_all({event.job for event in events})
        for event in events:
            job = jobs.get(event.job)
            if job is None and event.kind == "deleted":
                job = _gone(event.job)
            if job is None:  # its deletion follows
                continue
            if job.state is State.RUNNING:
                self._running[job.id] = job
            else:
                self._running.pop(job.id, None)
            self.queue.hear(Change(job=job, kind=event.kind, data=event.data, event=event, here=False))

    def _progress(self, job: str, progress: Progress) -> None:
        if (found := self._runs(job)) is not None:
            found = self._running[job] = replace(found, progress=progress)
            self.queue.hear(Change(job=found, kind="progress", data={}, here=False))

    def _preview(self, notice: Mapping[str, Any]) -> None:
        """Of one that was cut off in the middle, nothing is shown: the next one follows soon."""
        if notice["number"] != len(self._parts):
            self._parts.clear()
        if notice["number"] != len(self._parts):
            return
        self._parts.append(notice["part"])
        if len(self._parts) < notice["parts"]:
            return
        text = "".join(self._parts)
        self._parts.clear()
        if (found := self._runs(notice["preview"])) is not None:
            self.queue.hear(Change(job=found, kind="preview", data=json.loads(text), here=False))

    def _runs(self, job: str) -> Job | None:
        """A job that runs elsewhere, as it was last heard of."""
        found = self._running.get(job) or self.queue.find(job)
        if found is None or found.state is not State.RUNNING:
            return None
        self._running[job] = found
        return found

    def _remember(self, events: Iterable[int]) -> None:
        with self._lock:
            for seq in events:
                self._known.add(seq)
                self._order.append(seq)
            while len(self._order) > _KNOWN:
                self._known.discard(self._order.popleft())


def _gone(job: str) -> Job:
    """Of a job that is deleted, nothing but its name is left."""
    return Job(id=job, spec=JobSpec(model="", request=GenerationRequest(prompt="")), state=State.CANCELLED)
