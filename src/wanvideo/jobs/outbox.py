"""Messages about ends of jobs, which must arrive though the other side, or this one, is down for a while.

The kept events are the truth: a number says up to which of them messages were made, and messages and number change in
one transaction. So a server that is killed at any time makes every message once, and sends it at least once.
"""

import threading
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select, update

from wanvideo.jobs.job import Job, JobEvent
from wanvideo.jobs.ledger import Ledger
from wanvideo.jobs.rows import event_of
from wanvideo.jobs.tables import DELIVERIES, EVENTS, JOBS, SETTINGS

ENDS: Final = ("succeeded", "failed", "cancelled")  # kinds of events
_NAME: Final = "told"  # of the setting that holds the number
_AT_ONCE: Final = 500  # events


@dataclass(frozen=True, slots=True)
class Target:
    """Who is told about jobs that end so."""

    url: str
    ends: frozenset[str] = frozenset(ENDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message to one target."""

    id: int
    message: str
    target: str
    body: str
    tries: int  # that have failed
    due: float  # seconds since 1970


class Outbox:
    """May be used by several threads."""

    def __init__(
        self,
        ledger: Ledger,
        targets: Sequence[Target],
        write: Callable[[Job, JobEvent], str],
        *,
        allowed: Collection[str] = (),
        new_id: Callable[[], str] = lambda: f"msg_{uuid.uuid4().hex}",
    ) -> None:
        """targets: of all jobs. write: gives the body of the message about an event. allowed: addresses that a job may
        name for itself. What ended before there were any is not told.
        """
        self.ledger, self._targets, self._write, self._new_id = ledger, tuple(targets), write, new_id
        self._allowed = frozenset(allowed)
        self.urls = tuple(dict.fromkeys((*(target.url for target in targets), *allowed)))
        self._lock = threading.Lock()
        self._told = self._begin()

    def collect(self) -> int:
        """Make the messages about what has ended meanwhile; how many there are."""
        made = 0
        with self._lock:
            while self.urls and (events := self._untold()):
                made += self._make(events)
        return made

    def next(self, url: str) -> Delivery | None:
        """The message to a target that is due first, perhaps only later."""
        query = select(DELIVERIES).where(DELIVERIES.c.target == url).order_by(DELIVERIES.c.due, DELIVERIES.c.id)
        with self.ledger.database.read() as connection:
            row = connection.execute(query.limit(1)).first()
        return None if row is None else Delivery(**row._mapping)

    def take(self, delivery: Delivery, seconds: float) -> bool:
        """Keep other servers from sending it too for so long. False: one of them was quicker."""
        if self.ledger.database.is_sqlite:  # there is no other one
            return True
        mine = (DELIVERIES.c.id == delivery.id) & (DELIVERIES.c.due == delivery.due)
        with self.ledger.database.write() as connection:
            values = {"due": self.ledger.now() + seconds}
            return connection.execute(update(DELIVERIES).where(mine).values(**values)).rowcount == 1

    def remove(self, delivery: Delivery) -> None:
        """It has arrived, or is given up."""
        with self.ledger.database.write() as connection:
            connection.execute(delete(DELIVERIES).where(DELIVERIES.c.id == delivery.id))

    def put_off(self, delivery: Delivery, seconds: float) -> None:
        """A try has failed; the next one comes so much later."""
        values = {"tries": delivery.tries + 1, "due": self.ledger.now() + seconds}
        with self.ledger.database.write() as connection:
            connection.execute(update(DELIVERIES).where(DELIVERIES.c.id == delivery.id).values(**values))

    def waiting(self) -> int:
        with self.ledger.database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(DELIVERIES)).scalar_one())

    # --- inside ------------------------------------------------------------------------------------------------------

    def _begin(self) -> int:
        """The number of the last event that was told; and forget what was meant for others than the targets."""
        with self.ledger.database.write() as connection:
            connection.execute(delete(DELIVERIES).where(DELIVERIES.c.target.not_in(self.urls)))
            if not self.urls:  # nobody is to be told later what ends now
                connection.execute(delete(SETTINGS).where(SETTINGS.c.name == _NAME))
                return 0
            value = connection.execute(select(SETTINGS.c.value).where(SETTINGS.c.name == _NAME)).scalar()
            if value is not None:
                return int(value)
            last = int(connection.execute(select(func.coalesce(func.max(EVENTS.c.seq), 0))).scalar_one())
            self._set_told(connection, last)
        return last

    def _untold(self) -> list[tuple[Job, JobEvent]]:
        query = (select(EVENTS).where(EVENTS.c.seq > self._told, EVENTS.c.kind.in_(ENDS)).order_by(EVENTS.c.seq)).limit(
            _AT_ONCE
        )
        with self.ledger.database.read() as connection:
            events = [event_of(row) for row in connection.execute(query)]
            rows = connection.execute(select(JOBS).where(JOBS.c.id.in_({event.job for event in events})))
            jobs = {row.id: self.ledger.job(row) for row in rows}
        return [(jobs[event.job], event) for event in events if event.job in jobs]

    def _make(self, events: Sequence[tuple[Job, JobEvent]]) -> int:
        messages = [message for job, event in events for message in self._messages(job, event)]
        last = events[-1][1].seq
        with self.ledger.database.write() as connection:
            told = connection.execute(select(SETTINGS.c.value).where(SETTINGS.c.name == _NAME).with_for_update())
            if (others := int(told.scalar_one())) != self._told:  # another server was quicker
                self._told = others
                return 0
            if messages:
                connection.execute(insert(DELIVERIES), messages)
            self._set_told(connection, last)
        self._told = last
        return len(messages)

    def _messages(self, job: Job, event: JobEvent) -> list[dict[str, Any]]:
        """A row for each who is told about an end."""
        urls = [target.url for target in self._targets if event.kind in target.ends]
        own, ends = job.spec.webhook, job.spec.webhook_ends
        if own in self._allowed and own not in urls and (ends is None or event.kind in ends):
            urls.append(own)
        if not urls:
            return []
        same = {"message": self._new_id(), "body": self._write(job, event), "tries": 0, "due": self.ledger.now()}
        return [same | {"target": url} for url in urls]

    @staticmethod
    def _set_told(connection: Connection, seq: int) -> None:
        changed = connection.execute(update(SETTINGS).where(SETTINGS.c.name == _NAME).values(value=str(seq)))
        if changed.rowcount == 0:
            connection.execute(insert(SETTINGS).values(name=_NAME, value=str(seq)))
