"""What both sides of the queue stand on: jobs by name, transitions with their events, and those who listen."""

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from wanvideo.errors import JobConflict, JobNotFound
from wanvideo.jobs.database import Database
from wanvideo.jobs.files import Files
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.job import NEXT, Job, JobEvent, Progress, State
from wanvideo.jobs.reserve import Reserve
from wanvideo.jobs.rows import dumped, job_of
from wanvideo.jobs.storage import Storage
from wanvideo.jobs.tables import EVENTS, JOBS, SETTINGS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What subscribers are told. `event` is set if it is kept and can be had again."""

    job: Job
    kind: str  # of the event; "progress" and "preview" are never kept, "deleted" is the last
    data: Mapping[str, Any]
    event: JobEvent | None = None
    here: bool = True  # it was made by this process, and not by another one with the same database


Subscriber = Callable[[Change], None]


class Ledger:
    """The jobs of one data folder."""

    def __init__(
        self,
        database: Database,
        folder: DataFolder,
        *,
        shared: Storage | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """shared: where several machines keep their files; None: in the folder alone."""
        self.database, self.folder, self.now = database, folder, now
        self.job_files = Files(folder, shared)
        self.reserve = Reserve(folder.reserve)
        self._live: dict[str, Progress] = {}
        self._subscribers: list[Subscriber] = []
        self._lock = threading.Lock()
        self._changed = threading.Condition()
        self.numbered: Callable[[Iterable[int]], None] = lambda _: None  # told of events before anybody can read them

    def get(self, job: str) -> Job:
        """Raises JobNotFound."""
        if (found := self.find(job)) is None:
            raise _no_job(job)
        return found

    def find(self, job: str) -> Job | None:
        """As `get`; None: there is none."""
        with self.database.read() as connection:
            row = connection.execute(select(JOBS).where(JOBS.c.id == job)).first()
            return None if row is None else self.job(row)

    @property
    def paused(self) -> bool:
        """Whether no job is started."""
        with self.database.read() as connection:
            value = connection.execute(select(SETTINGS.c.value).where(SETTINGS.c.name == "paused")).scalar()
        return bool(json.loads(value)) if value is not None else False

    # --- within a transaction ----------------------------------------------------------------------------------------

    def load(self, connection: Connection, job: str) -> Job:
        """To change it: nobody else does until the transaction ends. Raises JobNotFound."""
        row = connection.execute(select(JOBS).where(JOBS.c.id == job).with_for_update()).first()
        if row is None:
            raise _no_job(job)
        return self.job(row)

    def keep(self, connection: Connection, job: Job, kind: str, data: Mapping[str, Any]) -> JobEvent:
        last = select(func.coalesce(func.max(EVENTS.c.number), 0) + 1).where(EVENTS.c.job == job.id)
        at = self.now()
        values = {"job": job.id, "at": at, "kind": kind, "data": dumped(data), "number": last.scalar_subquery()}
        row = connection.execute(insert(EVENTS).values(**values).returning(EVENTS.c.seq, EVENTS.c.number)).one()
        self.numbered([row.seq])
        return JobEvent(seq=row.seq, job=job.id, number=row.number, at=at, kind=kind, data=dict(data))

    def move(
        self, connection: Connection, job: Job, state: State, kind: str, data: Mapping[str, Any], **values: Any
    ) -> Change:
        """One transition: the row and its event."""
        if state not in NEXT[job.state]:
            raise JobConflict(f"job {job.id} is {job.state} and cannot become {state}")
        stored = {
            name: dumped(value) if name in ("failure", "result") and value is not None else value
            for name, value in values.items()
        }
        connection.execute(update(JOBS).where(JOBS.c.id == job.id).values(state=str(state), **stored))
        event = self.keep(connection, job, kind, data)
        if state is not State.RUNNING:
            self.drop_live(job.id)
        return Change(job=self.load(connection, job.id), kind=kind, data=event.data, event=event)

    # --- how far the running ones are, which nobody stores -----------------------------------------------------------

    def job(self, row: Any) -> Job:
        with self._lock:
            live = self._live.get(row.id)
        return job_of(row, live)

    def with_live(self, job: Job) -> Job:
        with self._lock:
            live = self._live.get(job.id)
        return job if live is None else replace(job, progress=live)

    def set_live(self, job: str, progress: Progress) -> None:
        with self._lock:
            self._live[job] = progress

    def update_live(self, job: str, progress: Progress) -> bool:
        """False: it does not run any more, and nothing was changed."""
        with self._lock:
            if job not in self._live:
                return False
            self._live[job] = progress
            return True

    def drop_live(self, job: str) -> None:
        with self._lock:
            self._live.pop(job, None)

    # --- those who listen --------------------------------------------------------------------------------------------

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Be told every change, on the thread that made it, after it is on disk. Gives what ends that."""
        with self._lock:
            self._subscribers.append(subscriber)

        def end() -> None:
            with self._lock, contextlib.suppress(ValueError):
                self._subscribers.remove(subscriber)

        return end

    def wait(self, seconds: float) -> None:
        """Until something changes, or so long."""
        with self._changed:
            self._changed.wait(seconds)

    def hear(self, change: Change) -> None:
        """Of another process: as if it had been made here."""
        job = change.job
        with self._lock:
            if job.state is State.RUNNING and change.kind != "deleted":
                self._live[job.id] = job.progress
            else:
                self._live.pop(job.id, None)
        self.tell(change)

    def tell(self, *changes: Change) -> None:
        with self._lock:
            subscribers = tuple(self._subscribers)
        for change in changes:
            for subscriber in subscribers:
                try:
                    subscriber(change)
                except Exception:  # what one of them does is not the queue's affair, and others listen too
                    log.exception("a subscriber of the queue failed")
        self.wake()

    def wake(self) -> None:
        """Let all who wait look again."""
        with self._changed:
            self._changed.notify_all()


def _no_job(job: str) -> JobNotFound:
    return JobNotFound(f"there is no job {job!r:.60}: it was deleted, or never here")
