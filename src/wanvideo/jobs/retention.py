"""How long finished jobs are kept. Without rules for ever; with them, nothing goes that was not announced before.

A job that is due is marked with the time at which it will go, and that is an event. Until then a user may download the
video or make it a favourite, which is never removed. A job that is no longer due, because a rule was loosened, is
spared.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select, tuple_, update

from wanvideo.errors import WanVideoError
from wanvideo.jobs.job import DONE, Job, State
from wanvideo.jobs.ledger import Change
from wanvideo.jobs.queries import AT_ONCE, chunks, is_in, stored_bytes
from wanvideo.jobs.queue import Queue
from wanvideo.jobs.tables import JOBS

log = logging.getLogger(__name__)

DAY: Final = 86_400.0
Reason = Literal["keep_days", "quota_bytes"]
SECONDS: Final = 600.0  # between two sweeps
DELETIONS: Final = 30  # days for which clients may be away and still hear of deletions
SWEEPING: Final = 1  # see `Database.turn`
_AT_ONCE: Final = 100  # jobs of one transaction

_DONE: Final = is_in(*DONE)
_MADE: Final = is_in(State.SUCCEEDED)
_COLUMNS: Final = (JOBS.c.id, JOBS.c.bytes, JOBS.c.finished, JOBS.c.expires)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What may be removed. None: nothing by this rule."""

    keep_days: float | None = None  # after which finished jobs go, with their videos
    quota_bytes: int | None = None  # of all videos, beyond which the oldest go
    notice_seconds: float = DAY  # between the announcement and the removal

    @property
    def any(self) -> bool:
        return self.keep_days is not None or self.quota_bytes is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A job that will go."""

    job: str
    bytes: int  # of its video
    finished: float
    reason: Reason
    expires: float | None  # when, if that was announced already


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    announced: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    spared: tuple[str, ...] = ()


class Retention:
    """The rules, applied to a queue."""

    def __init__(self, queue: Queue, rules: Rules) -> None:
        self.queue, self.rules = queue, rules

    def due(self) -> tuple[Due, ...]:
        """What the rules say must go, the oldest first. Only reads."""
        with self.queue.database.read() as connection:
            found = [*self._too_old(connection), *self._too_much(connection)]
        first = {due.job: due for due in reversed(found)}
        return tuple(sorted(first.values(), key=lambda due: (due.finished, due.job)))

    def sweep(self) -> Swept:
        """Announce what is due, and remove what was announced long enough ago. Raises StorageFailed, DiskFull."""
        now, due = self.queue.now(), self.due()
        there = {each.job for each in due}
        spared = [job for job in self._announced() if job not in there]
        fresh = [each for each in due if each.expires is None]
        ripe = [each for each in due if each.expires is not None and each.expires <= now]
        self._mark(spared, "kept", {}, expires=None)
        expires = now + self.rules.notice_seconds
        for reason in ("keep_days", "quota_bytes"):
            jobs = [each.job for each in fresh if each.reason == reason]
            self._mark(jobs, "expiring", {"reason": reason, "expires": expires}, expires=expires)
        removed = tuple(each.job for each in ripe if self._remove(each))
        if removed:
            log.info("%d jobs were removed, as announced", len(removed))
        return Swept(announced=tuple(each.job for each in fresh), removed=removed, spared=tuple(spared))

    def announced(self) -> int:
        """How many jobs will go."""
        with self.queue.database.read() as connection:
            return int(connection.execute(select(func.count()).where(JOBS.c.expires.is_not(None))).scalar_one())

    # --- what is due -------------------------------------------------------------------------------------------------

    def _too_old(self, connection: Connection) -> Iterator[Due]:
        if self.rules.keep_days is None:
            return
        oldest = self.queue.now() - self.rules.keep_days * DAY
        for row in _rows(connection, select(*_COLUMNS).where(*_may_go(_DONE), JOBS.c.finished < oldest)):
            yield _due(row, "keep_days")

    def _too_much(self, connection: Connection) -> Iterator[Due]:
        """The oldest videos, so many that the others fit. Favourites count, and stay."""
        if self.rules.quota_bytes is None:
            return
        excess = stored_bytes(connection) - self.rules.quota_bytes
        for row in _oldest_videos(connection):
            if excess <= 0:
                return
            excess -= row.bytes
            yield _due(row, "quota_bytes")

    def _announced(self) -> list[str]:
        with self.queue.database.read() as connection:
            return list(connection.execute(select(JOBS.c.id).where(JOBS.c.expires.is_not(None))).scalars())

    # --- what is done about it ---------------------------------------------------------------------------------------

    def _mark(self, jobs: Sequence[str], kind: str, data: dict[str, Any], *, expires: float | None) -> None:
        for some in chunks(jobs, _AT_ONCE):
            changes = []
            with self.queue.database.write() as connection:
                query = select(JOBS).where(JOBS.c.id.in_(some), JOBS.c.favourite == 0).order_by(JOBS.c.id)
                rows = connection.execute(query.with_for_update()).all()
                for job in map(self.queue.job, rows):
                    connection.execute(update(JOBS).where(JOBS.c.id == job.id).values(expires=expires))
                    marked = replace(job, expires=expires)
                    event = self.queue.keep(connection, marked, kind, data)
                    changes.append(Change(job=marked, kind=kind, data=data, event=event))
            self.queue.tell(*changes)

    def _remove(self, due: Due) -> bool:
        """False: it is a favourite now, or was taken up again, or somebody else removed it."""
        with self.queue.database.write() as connection:
            row = connection.execute(
                select(JOBS).where(JOBS.c.id == due.job, *_may_go(_DONE)).with_for_update()
            ).first()
            job: Job | None = None if row is None else self.queue.job(row)
            if job is None or job.expires is None:
                return False
            # The file first: should the server die now, the row still says what there was, and the next sweep ends it.
            self.queue.remove_files(job)
            event = self.queue.forget(connection, [job])[0]
        self.queue.tell(Change(job=job, kind="deleted", data={"reason": due.reason}, event=event))
        return True


class Sweeper:
    """Sweeps now and then, on a thread of its own; without rules, never."""

    def __init__(self, retention: Retention, *, seconds: float = SECONDS) -> None:
        self.retention, self._seconds = retention, seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(10)

    def _run(self) -> None:
        while True:
            try:
                with self.retention.queue.database.turn(SWEEPING) as mine:
                    if mine:
                        self.retention.queue.forget_deletions(self.retention.queue.now() - DELETIONS * DAY)
                        # Without rules too: what others once announced is spared.
                        self.retention.sweep()
            except WanVideoError as error:
                log.error("finished jobs were not looked through: %s", error.message)
            if self._stopping.wait(self._seconds) or not self.retention.rules.any:
                return


def _may_go(done: ColumnElement[bool]) -> tuple[ColumnElement[bool], ...]:
    return done, JOBS.c.favourite == 0, JOBS.c.finished.is_not(None)


def _oldest_videos(connection: Connection) -> Iterator[Row[Any]]:
    """Some at a time: a few go, of perhaps a million."""
    age = (JOBS.c.finished, JOBS.c.id)
    query: Select[Any] = select(*_COLUMNS).where(*_may_go(_MADE), JOBS.c.bytes > 0).order_by(*age).limit(AT_ONCE)
    rows = connection.execute(query).all()
    while rows:
        yield from rows
        rows = connection.execute(query.where(tuple_(*age) > tuple_(rows[-1].finished, rows[-1].id))).all()


def _rows(connection: Connection, query: Select[Any]) -> Iterator[Row[Any]]:
    yield from connection.execute(query)


def _due(row: Row[Any], reason: Reason) -> Due:
    return Due(job=row.id, bytes=row.bytes or 0, finished=row.finished, reason=reason, expires=row.expires)
