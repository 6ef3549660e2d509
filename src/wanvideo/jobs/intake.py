"""New jobs: those that many clients ask for at the same time go to disk in one transaction.

To reach the disk takes the same time for one job and for fifty, so they share the way.
"""

import secrets
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, func, insert, select
from sqlalchemy.exc import IntegrityError

from wanvideo.errors import IdempotencyConflict, QueueFull
from wanvideo.jobs.job import WAITING, Job, JobEvent, State
from wanvideo.jobs.ledger import Change, Ledger
from wanvideo.jobs.rows import digest, dumped, row_of
from wanvideo.jobs.spec import JobSpec
from wanvideo.jobs.tables import EVENTS, JOBS

SEEDS: Final = 2**32
STEP: Final = 1024.0  # between the ranks of two jobs
_TICK: Final = 1e-6  # seconds between the times of two jobs that come together, so that pages list them in order
# Made once: to build a statement takes longer than to run it.
_WAITING: Final = select(func.count()).where(JOBS.c.state.in_([str(state) for state in WAITING]))
_LAST_RANK: Final = select(func.max(JOBS.c.rank)).where(
    JOBS.c.state.in_([str(state) for state in (*WAITING, State.RUNNING)])
)
_ADD_JOBS: Final = insert(JOBS)
_ADD_EVENTS: Final = insert(EVENTS).returning(EVENTS.c.job, EVENTS.c.seq)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What one client asks for: `count` jobs, with seeds that follow one another; and `others`, all of them or none."""

    spec: JobSpec
    key: str | None = None  # of the client: the same key with the same request gives the jobs that are there already
    priority: int = 0
    count: int = 1
    held: bool = False
    origin: str | None = None
    others: tuple["Submission", ...] = ()  # under the key of this one

    @property
    def all(self) -> tuple["Submission", ...]:
        return (self, *self.others)

    @property
    def total(self) -> int:
        """Jobs."""
        return sum(each.count for each in self.all)

    @property
    def digest(self) -> str:
        """The same for the same request."""
        own = {"spec": self.spec.to_json(), "priority": self.priority, "count": self.count, "held": self.held}
        return digest(own | {"others": [other.digest for other in self.others]} if self.others else own)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The jobs of a submission; they are on disk."""

    jobs: tuple[Job, ...]
    replayed: bool = False  # they were there before


Outcome = Stored | QueueFull | IdempotencyConflict


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Where jobs come into a ledger."""

    ledger: Ledger
    most_waiting: int  # jobs; more are refused
    new_id: Callable[[], str] = lambda: uuid.uuid4().hex

    def submit(self, submission: Submission) -> Stored:
        """Raises QueueFull, IdempotencyConflict, DiskFull, StorageFailed."""
        outcome = self.submit_all([submission])[0]
        if isinstance(outcome, Stored):
            return outcome
        raise outcome

    def submit_all(self, submissions: Sequence[Submission]) -> list[Outcome]:
        """All in one transaction; what becomes of each is its own affair. Raises DiskFull, StorageFailed: of none."""
        try:
            with self.ledger.database.write() as connection:
                batch = _Batch(connection, self.ledger.now(), self.most_waiting, self.new_id)
                outcomes = [batch.add(self.ledger, submission) for submission in submissions]
                events = batch.write()
                self.ledger.numbered(event.seq for _, event in events)
        except IntegrityError:  # another server of the same database was quicker with one of the keys
            if len(submissions) == 1:
                return [self._known_now(submissions[0])]
            return [outcome for submission in submissions for outcome in self.submit_all([submission])]
        self.ledger.tell(*(Change(job=job, kind="submitted", data=event.data, event=event) for job, event in events))
        return outcomes

    def _known_now(self, submission: Submission) -> Outcome:
        """Of a submission whose key has just been taken by somebody else."""
        assert submission.key is not None, "nothing but a key can be there already"
        with self.ledger.database.read() as connection:
            known = _known(self.ledger, connection, submission.key)
        assert known is not None, "it was there a moment ago"
        return _replayed(submission.key, submission.digest, *known)


class _Batch:
    """Jobs on their way into one transaction."""

    def __init__(self, connection: Connection, now: float, most_waiting: int, new_id: Callable[[], str]) -> None:
        self.connection, self.now, self.most_waiting, self.new_id = connection, now, most_waiting, new_id
        self._there = waiting(connection)
        self._rank = last_rank(connection)
        self._created = now - _TICK
        self._jobs: list[Job] = []
        self._rows: list[dict[str, Any]] = []
        self._keys: dict[str, tuple[str, tuple[Job, ...]]] = {}  # of this batch

    def add(self, ledger: Ledger, submission: Submission) -> Outcome:
        asked = None if submission.key is None else submission.digest
        if submission.key is not None and asked is not None:
            known = self._keys.get(submission.key) or _known(ledger, self.connection, submission.key)
            if known is not None:
                return _replayed(submission.key, asked, *known)
        if self._there + submission.total > self.most_waiting:
            return _full(self._there, self.most_waiting)
        batch = self.new_id() if submission.total > 1 else None
        jobs = tuple(job for each in submission.all for job in self._made(each, batch))
        self._there += len(jobs)
        self._jobs += jobs
        rows = [row_of(job) for job in jobs]
        rows[0] |= {"key": submission.key, "key_digest": asked}
        self._rows += rows
        if submission.key is not None and asked is not None:
            self._keys[submission.key] = asked, jobs
        return Stored(jobs=jobs)

    def _made(self, submission: Submission, batch: str | None) -> Iterable[Job]:
        spec = submission.spec
        seed = secrets.randbelow(SEEDS) if spec.request.seed is None else spec.request.seed
        for number in range(submission.count):
            self._rank += STEP
            self._created += _TICK
            # Seeds of more than 63 bits cannot be; those that follow one stay in range.
            own = replace(spec, request=replace(spec.request, seed=(seed + number) % 2**63))
            yield Job(
                id=self.new_id(), spec=own, state=State.HELD if submission.held else State.QUEUED, batch=batch,
                origin=submission.origin, priority=submission.priority, rank=self._rank, created=self._created,
            )  # fmt: skip

    def write(self) -> list[tuple[Job, JobEvent]]:
        """Every job and its first event."""
        if not self._jobs:
            return []
        data = [{"state": str(job.state)} for job in self._jobs]
        values = [
            {"job": job.id, "number": 1, "at": self.now, "kind": "submitted", "data": dumped(each)}
            for job, each in zip(self._jobs, data, strict=True)
        ]
        self.connection.execute(_ADD_JOBS, self._rows)
        numbers = {row.job: row.seq for row in self.connection.execute(_ADD_EVENTS, values)}
        return [
            (job, JobEvent(seq=numbers[job.id], job=job.id, number=1, at=self.now, kind="submitted", data=each))
            for job, each in zip(self._jobs, data, strict=True)
        ]


def waiting(connection: Connection) -> int:
    """How many jobs wait."""
    return int(connection.execute(_WAITING).scalar_one())


def last_rank(connection: Connection) -> float:
    """Behind which a job comes after all others."""
    return float(connection.execute(_LAST_RANK).scalar() or 0.0)


def require_room(connection: Connection, most_waiting: int) -> None:
    """Raises QueueFull if not one more job may wait."""
    there = waiting(connection)
    if there + 1 > most_waiting:
        raise _full(there, most_waiting)


def _full(there: int, most: int) -> QueueFull:
    return QueueFull(
        f"{there} jobs wait, and {most} may: wait until some are done, or cancel some",
        facts={"waiting": there, "most": most},
    )


def _known(ledger: Ledger, connection: Connection, key: str) -> tuple[str, tuple[Job, ...]] | None:
    """The jobs that were made with a key, and the digest of what was asked."""
    row = connection.execute(select(JOBS).where(JOBS.c.key == key)).first()
    if row is None:
        return None
    if row.batch is None:
        return row.key_digest, (ledger.job(row),)
    rows = connection.execute(select(JOBS).where(JOBS.c.batch == row.batch).order_by(JOBS.c.rank))
    return row.key_digest, tuple(ledger.job(each) for each in rows)


def _replayed(key: str, asked: str, known: str, jobs: tuple[Job, ...]) -> Stored | IdempotencyConflict:
    if known == asked:
        return Stored(jobs=jobs, replayed=True)
    job = jobs[0].id
    return IdempotencyConflict(
        f"the key {key!r:.80} belongs to job {job}, which asks for something else: take a new key", facts={"job": job}
    )
