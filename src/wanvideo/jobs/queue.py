"""The queue: every change of a job is one transaction, and what is acknowledged is on disk.

`Queue` is what servers and the supervisor call, from any thread; calls block for as long as a transaction takes.
"""

import contextlib
import json
import logging
import secrets
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, delete, func, insert, or_, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from wanvideo.errors import IdempotencyConflict, InvalidRequest, JobConflict, JobNotFound, QueueFull
from wanvideo.jobs.database import Database
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.job import DONE, NEXT, WAITING, Job, JobEvent, Progress, State, require
from wanvideo.jobs.rows import digest, dumped, event_of, job_of
from wanvideo.jobs.spec import JobSpec
from wanvideo.jobs.tables import EVENTS, JOBS, RUNS, SETTINGS

log = logging.getLogger(__name__)

SEEDS: Final = 2**32
_STEP: Final = 1024.0  # between the ranks of two jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which jobs; everything unset lets all through."""

    states: frozenset[State] = frozenset()
    model: str | None = None
    text: str | None = None  # in the prompt
    batch: str | None = None
    favourite: bool | None = None
    since: float | None = None  # created then or later


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    jobs: tuple[Job, ...]
    next: str | None  # give it for the page after this one; None: there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What subscribers are told. `event` is set if it is kept and can be had again."""

    job: Job
    kind: str  # of the event; "progress" and "preview" are never kept, "deleted" is the last
    data: Mapping[str, Any]
    event: JobEvent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one job took, as far as it was measured."""

    job: str
    model: str
    tier: str
    at: float
    outcome: State
    code: str | None
    numbers: Mapping[str, Any]


Subscriber = Callable[[Change], None]


class Queue:
    """All jobs of one data folder."""

    def __init__(
        self,
        database: Database,
        folder: DataFolder,
        *,
        most_waiting: int = 1000,
        now: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        """most_waiting: jobs that may wait; more are refused."""
        self.database, self.folder, self.most_waiting = database, folder, most_waiting
        self._now, self._new_id = now, new_id
        self._live: dict[str, Progress] = {}
        self._subscribers: list[Subscriber] = []
        self._lock = threading.Lock()
        self._changed = threading.Condition()

    # --- what there is -----------------------------------------------------------------------------------------------

    def get(self, job: str) -> Job:
        """Raises JobNotFound."""
        with self.database.read() as connection:
            return self._get(connection, job)

    def find(self, job: str) -> Job | None:
        """As `get`; None: there is none."""
        with self.database.read() as connection:
            row = connection.execute(select(JOBS).where(JOBS.c.id == job)).first()
            return None if row is None else self._job(row)

    def page(self, which: Filter = Filter(), *, limit: int = 50, cursor: str | None = None) -> Page:
        """Newest first. Raises InvalidRequest for a cursor that no page gave."""
        query = _filtered(select(JOBS), which).order_by(JOBS.c.created.desc(), JOBS.c.id.desc()).limit(limit + 1)
        if cursor is not None:
            created, job = _after(cursor)
            query = query.where(or_(JOBS.c.created < created, and_(JOBS.c.created == created, JOBS.c.id < job)))
        with self.database.read() as connection:
            jobs = [self._job(row) for row in connection.execute(query)]
        more = len(jobs) > limit
        last = jobs[limit - 1] if more else None
        return Page(jobs=tuple(jobs[:limit]), next=None if last is None else f"{last.created!r}:{last.id}")

    def after(self, job: str | None, *, limit: int, oldest_first: bool = False) -> Page:
        """The jobs that come after one in time, or before it. Raises JobNotFound."""
        order = [JOBS.c.created, JOBS.c.id] if oldest_first else [JOBS.c.created.desc(), JOBS.c.id.desc()]
        query = select(JOBS).order_by(*order).limit(limit + 1)
        with self.database.read() as connection:
            if job is not None:
                seen = self._get(connection, job)
                place, seen_place = tuple_(JOBS.c.created, JOBS.c.id), tuple_(seen.created, seen.id)
                query = query.where(place > seen_place if oldest_first else place < seen_place)
            jobs = [self._job(row) for row in connection.execute(query)]
        return Page(jobs=tuple(jobs[:limit]), next=jobs[limit - 1].id if len(jobs) > limit else None)

    def waiting(self) -> tuple[Job, ...]:
        """In the order in which they will run; held ones are where they would be."""
        states = [str(state) for state in WAITING]
        query = select(JOBS).where(JOBS.c.state.in_(states)).order_by(*_ORDER)
        with self.database.read() as connection:
            return tuple(self._job(row) for row in connection.execute(query))

    def counts(self, which: Filter = Filter()) -> dict[State, int]:
        """How many there are in every state."""
        query = _filtered(select(JOBS.c.state, func.count()), which).group_by(JOBS.c.state)
        with self.database.read() as connection:
            found = {State(state): count for state, count in connection.execute(query)}
        return {state: found.get(state, 0) for state in State}

    def events(self, job: str | None = None, *, since: int = 0, limit: int = 1000) -> tuple[JobEvent, ...]:
        """What was kept after the event numbered `since`, of one job or of all."""
        query = select(EVENTS).where(EVENTS.c.seq > since).order_by(EVENTS.c.seq).limit(limit)
        if job is not None:
            query = query.where(EVENTS.c.job == job)
        with self.database.read() as connection:
            return tuple(event_of(row) for row in connection.execute(query))

    def last_seq(self) -> int:
        """The number of the newest event."""
        with self.database.read() as connection:
            return int(connection.execute(select(func.coalesce(func.max(EVENTS.c.seq), 0))).scalar_one())

    def runs(self, model: str | None = None, *, limit: int = 1000) -> tuple[Run, ...]:
        """What was measured, newest first."""
        query = select(RUNS).order_by(RUNS.c.at.desc()).limit(limit)
        if model is not None:
            query = query.where(RUNS.c.model == model)
        with self.database.read() as connection:
            return tuple(
                Run(
                    job=row.job, model=row.model, tier=row.tier, at=row.at, outcome=State(row.outcome), code=row.code,
                    numbers=json.loads(row.numbers),
                )
                for row in connection.execute(query)
            )  # fmt: skip

    @property
    def paused(self) -> bool:
        """Whether no job is started."""
        with self.database.read() as connection:
            value = connection.execute(select(SETTINGS.c.value).where(SETTINGS.c.name == "paused")).scalar()
        return bool(json.loads(value)) if value is not None else False

    # --- what users do -----------------------------------------------------------------------------------------------

    def submit(
        self,
        spec: JobSpec,
        *,
        key: str | None = None,
        priority: int = 0,
        count: int = 1,
        held: bool = False,
        origin: str | None = None,
    ) -> list[Job]:
        """Add `count` jobs, with seeds that follow one another; they are on disk when this returns.

        key: of the client. The same key with the same request gives the jobs that are there already.
        Raises QueueFull, IdempotencyConflict.
        """
        asked = digest({"spec": spec.to_json(), "priority": priority, "count": count, "held": held})
        if key is not None and (known := self._known(key, asked)):
            return known
        seed = secrets.randbelow(SEEDS) if spec.request.seed is None else spec.request.seed
        batch = self._new_id() if count > 1 else None
        jobs, state = [], State.HELD if held else State.QUEUED
        try:
            with self.database.write() as connection:
                self._require_room(connection, count)
                rank = self._last_rank(connection)
                for number in range(count):
                    # Seeds of more than 63 bits cannot be; those that follow one stay in range.
                    own = replace(spec, request=replace(spec.request, seed=(seed + number) % 2**63))
                    job = Job(
                        id=self._new_id(), spec=own, state=state, batch=batch, origin=origin, priority=priority,
                        rank=rank + _STEP * (number + 1), created=self._now(),
                    )  # fmt: skip
                    marked = {"key": key, "key_digest": asked} if number == 0 else {}
                    connection.execute(insert(JOBS).values(**_row_of(job), **marked))
                    jobs.append((job, self._keep(connection, job, "submitted", {"state": str(state)})))
        except IntegrityError:  # another thread was quicker with the same key
            if key is None:
                raise
            return self._known(key, asked)
        self._tell(*(Change(job=job, kind="submitted", data=event.data, event=event) for job, event in jobs))
        return [job for job, _ in jobs]

    def cancel(self, job: str) -> Job:
        """At once if it waits; if it runs, within a step. Raises JobNotFound, JobConflict."""
        with self.database.write() as connection:
            found = self._get(connection, job)
            require(found, *WAITING, State.RUNNING, what="cancelled")
            if found.state is not State.RUNNING:
                change = self._move(connection, found, State.CANCELLED, "cancelled", {}, finished=self._now())
            else:
                connection.execute(update(JOBS).where(JOBS.c.id == job).values(cancelling=1))
                found = replace(found, cancelling=True)
                event = self._keep(connection, found, "cancelling", {})
                change = Change(job=found, kind="cancelling", data={}, event=event)
        self._tell(change)
        return change.job

    def retry(self, job: str) -> Job:
        """Again, from what was kept. Raises JobNotFound, JobConflict, QueueFull."""
        with self.database.write() as connection:
            found = self._get(connection, job)
            require(found, State.FAILED, State.CANCELLED, what="tried again")
            self._require_room(connection, 1)
            change = self._move(
                connection, found, State.QUEUED, "retried", {}, failure=None, finished=None, deaths=0, cancelling=0,
                rank=self._last_rank(connection) + _STEP,
            )  # fmt: skip
        self._tell(change)
        return change.job

    def rerun(self, job: str, changes: Mapping[str, Any], *, key: str | None = None) -> Job:
        """A new job with the settings of another one and `changes`, in the form of `JobSpec.to_json`."""
        found = self.get(job)
        return self.submit(changed(found.spec, changes), key=key, priority=found.priority, origin=found.id)[0]

    def edit(self, job: str, changes: Mapping[str, Any]) -> Job:
        """Change what a job that waits will make. Raises JobNotFound, JobConflict, InvalidRequest."""
        with self.database.write() as connection:
            found = self._get(connection, job)
            require(found, *WAITING, what="edited")
            spec = changed(found.spec, changes)
            values = {"spec": dumped(spec.to_json()), "model": spec.model, "prompt": spec.request.prompt}
            # What was kept of an earlier attempt belongs to other settings.
            connection.execute(update(JOBS).where(JOBS.c.id == job).values(**values))
            found = replace(found, spec=spec)
            event = self._keep(connection, found, "edited", dict(changes))
        self._tell(Change(job=found, kind="edited", data=event.data, event=event))
        return found

    def prioritise(self, job: str, priority: int) -> Job:
        """Higher comes first. Raises JobNotFound, JobConflict."""
        if not -1000 <= priority <= 1000:
            raise InvalidRequest(f"priority is {priority}: give a whole number from -1000 to 1000")
        with self.database.write() as connection:
            found = self._get(connection, job)
            require(found, *WAITING, what="moved")
            connection.execute(update(JOBS).where(JOBS.c.id == job).values(priority=priority))
            found = replace(found, priority=priority)
            event = self._keep(connection, found, "moved", {"priority": priority})
        self._tell(Change(job=found, kind="moved", data=event.data, event=event))
        return found

    def reorder(self, jobs: Sequence[str]) -> None:
        """Let these jobs run in this order, in the places that they have together. Raises JobNotFound, JobConflict."""
        if len(set(jobs)) != len(jobs):
            raise InvalidRequest("a job is named twice: name every job once")
        changes = []
        with self.database.write() as connection:
            found = [self._get(connection, job) for job in jobs]
            for job in found:
                require(job, *WAITING, what="moved")
            places = sorted((-job.priority, job.rank) for job in found)
            for job, (priority, rank) in zip(found, places, strict=True):
                moved = replace(job, priority=-priority, rank=rank)
                values = {"priority": moved.priority, "rank": moved.rank}
                connection.execute(update(JOBS).where(JOBS.c.id == job.id).values(**values))
                event = self._keep(connection, moved, "moved", values)
                changes.append(Change(job=moved, kind="moved", data=event.data, event=event))
        self._tell(*changes)

    def hold(self, job: str) -> Job:
        return self._simple(job, State.HELD, (State.QUEUED,), "held")

    def release(self, job: str) -> Job:
        return self._simple(job, State.QUEUED, (State.HELD,), "released")

    def pause(self, paused: bool = True) -> None:
        """Start no further job; with `paused` False, go on."""
        with self.database.write() as connection:
            connection.execute(delete(SETTINGS).where(SETTINGS.c.name == "paused"))
            connection.execute(insert(SETTINGS).values(name="paused", value=dumped(paused)))
        self.wake()

    def favour(self, job: str, favourite: bool = True) -> Job:
        with self.database.write() as connection:
            found = self._get(connection, job)
            connection.execute(update(JOBS).where(JOBS.c.id == job).values(favourite=int(favourite)))
            found = replace(found, favourite=favourite)
            event = self._keep(connection, found, "favourite", {"favourite": favourite})
        self._tell(Change(job=found, kind="favourite", data=event.data, event=event))
        return found

    def delete(self, job: str, *, with_files: bool = True) -> Job:
        """Forget a job that is done, and remove its files. Raises JobNotFound, JobConflict."""
        with self.database.write() as connection:
            found = self._get(connection, job)
            require(found, *DONE, what="deleted")
            self._forget(connection, [found])
        self._remove(found, with_files=with_files)
        self._tell(Change(job=found, kind="deleted", data={}))
        return found

    def clear(self, states: Iterable[State] = DONE, *, with_files: bool = True) -> list[Job]:
        """Forget all jobs that are done, or those in some of these states."""
        chosen = [str(state) for state in states if state in DONE]
        with self.database.write() as connection:
            rows = connection.execute(select(JOBS).where(JOBS.c.state.in_(chosen)))
            jobs = [self._job(row) for row in rows]
            self._forget(connection, jobs)
        for job in jobs:
            self._remove(job, with_files=with_files)
        self._tell(*(Change(job=job, kind="deleted", data={}) for job in jobs))
        return jobs

    # --- what the supervisor does ------------------------------------------------------------------------------------

    def next(self) -> Job | None:
        """The job that is to run next; None: there is none, or the queue is paused."""
        if self.paused:
            return None
        with self.database.read() as connection:
            row = connection.execute(_queued().limit(1)).first()
            return None if row is None else self._job(row)

    def start(self, job: str, worker: str, *, phase: str | None = None) -> Job | None:
        """Give a queued job to a worker; None: somebody was quicker. `phase`: it begins with that."""
        with self.database.write() as connection:
            found = self._get(connection, job)
            if found.state is not State.QUEUED:
                return None
            change = self._move(
                connection, found, State.RUNNING, "started", {"attempt": found.attempt + 1, "worker": worker},
                attempt=found.attempt + 1, worker=worker, started=found.started or self._now(), phase=phase,
            )  # fmt: skip
        with self._lock:
            self._live[job] = Progress(phase=phase)
        self._tell(change)
        return change.job

    def record(self, job: Job, kind: str, data: Mapping[str, Any]) -> bool:
        """Keep an event of a running attempt. False: the attempt is over, and nothing was kept."""
        with self.database.write() as connection:
            if (found := self._current(connection, job)) is None:
                return False
            if kind == "phase":
                connection.execute(update(JOBS).where(JOBS.c.id == job.id).values(phase=data.get("phase")))
            event = self._keep(connection, found, kind, data)
        self._tell(Change(job=self._with_live(found), kind=kind, data=data, event=event))
        return True

    def report(self, job: Job, progress: Progress) -> None:
        """How far an attempt is; told to subscribers, and forgotten when it is over."""
        with self._lock:
            if job.id not in self._live:
                return
            self._live[job.id] = progress
        self._tell(Change(job=replace(job, progress=progress), kind="progress", data={}))

    def show(self, job: Job, data: Mapping[str, Any]) -> None:
        """A preview, for those who watch."""
        self._tell(Change(job=self._with_live(job), kind="preview", data=data))

    def succeed(self, job: Job, result: Mapping[str, Any]) -> bool:
        """Publish a result. False: this attempt is over, and another one's result counts."""
        return self._end(job, State.SUCCEEDED, "succeeded", {}, result=dict(result))

    def fail(self, job: Job, failure: Mapping[str, Any]) -> bool:
        return self._end(job, State.FAILED, "failed", failure, failure=dict(failure))

    def confirm_cancelled(self, job: Job) -> bool:
        return self._end(job, State.CANCELLED, "cancelled", {})

    def requeue(self, job: Job, reason: str, *, death: bool = False) -> bool:
        """Put an attempt that cannot go on back where it was; it goes on from its last checkpoint."""
        with self.database.write() as connection:
            if (found := self._current(connection, job)) is None:
                return False
            data = {"reason": reason, "deaths": found.deaths + int(death)}
            change = self._move(
                connection,
                found,
                State.QUEUED,
                "requeued",
                data,
                deaths=found.deaths + int(death),
                worker=None,
                phase=None,
            )
        self._tell(change)
        return True

    def recover(self) -> list[Job]:
        """At the start of a server: what the last one left running waits again, or is cancelled if that was asked."""
        with self.database.read() as connection:
            rows = connection.execute(select(JOBS).where(JOBS.c.state == str(State.RUNNING)))
            left = [self._job(row) for row in rows]
        for job in left:
            if job.cancelling:
                self.confirm_cancelled(job)
            else:
                self.requeue(job, "the server was stopped")
        return left

    def is_cancelling(self, job: Job) -> bool:
        with self.database.read() as connection:
            query = select(JOBS.c.cancelling).where(JOBS.c.id == job.id)
            return bool(connection.execute(query).scalar())

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

    def _tell(self, *changes: Change) -> None:
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

    # --- inside ------------------------------------------------------------------------------------------------------

    def _get(self, connection: Connection, job: str) -> Job:
        row = connection.execute(select(JOBS).where(JOBS.c.id == job)).first()
        if row is None:
            raise JobNotFound(f"there is no job {job!r:.60}: it was deleted, or never here")
        return self._job(row)

    def _job(self, row: Any) -> Job:
        with self._lock:
            live = self._live.get(row.id)
        return job_of(row, live)

    def _with_live(self, job: Job) -> Job:
        with self._lock:
            live = self._live.get(job.id)
        return job if live is None else replace(job, progress=live)

    def _current(self, connection: Connection, job: Job) -> Job | None:
        """The job, if it still runs in this attempt."""
        query = select(JOBS).where(
            JOBS.c.id == job.id, JOBS.c.attempt == job.attempt, JOBS.c.state == str(State.RUNNING)
        )
        row = connection.execute(query).first()
        return None if row is None else self._job(row)

    def _known(self, key: str, asked: str) -> list[Job]:
        """The jobs that were made with a key."""
        with self.database.read() as connection:
            row = connection.execute(select(JOBS).where(JOBS.c.key == key)).first()
            if row is None:
                return []
            if row.key_digest != asked:
                raise IdempotencyConflict(
                    f"the key {key!r:.80} belongs to job {row.id}, which asks for something else: take a new key",
                    facts={"job": row.id},
                )
            if row.batch is None:
                return [self._job(row)]
            rows = connection.execute(select(JOBS).where(JOBS.c.batch == row.batch).order_by(JOBS.c.rank))
            return [self._job(each) for each in rows]

    def _require_room(self, connection: Connection, count: int) -> None:
        states = [str(state) for state in WAITING]
        there = connection.execute(select(func.count()).where(JOBS.c.state.in_(states))).scalar_one()
        if there + count > self.most_waiting:
            raise QueueFull(
                f"{there} jobs wait, and {self.most_waiting} may: wait until some are done, or cancel some",
                facts={"waiting": there, "most": self.most_waiting},
            )

    def _last_rank(self, connection: Connection) -> float:
        query = select(func.max(JOBS.c.rank)).where(JOBS.c.state.in_([str(s) for s in (*WAITING, State.RUNNING)]))
        return float(connection.execute(query).scalar() or 0.0)

    def _keep(self, connection: Connection, job: Job, kind: str, data: Mapping[str, Any]) -> JobEvent:
        last = select(func.coalesce(func.max(EVENTS.c.number), 0) + 1).where(EVENTS.c.job == job.id)
        at = self._now()
        values = {"job": job.id, "at": at, "kind": kind, "data": dumped(data), "number": last.scalar_subquery()}
        row = connection.execute(insert(EVENTS).values(**values).returning(EVENTS.c.seq, EVENTS.c.number)).one()
        return JobEvent(seq=row.seq, job=job.id, number=row.number, at=at, kind=kind, data=dict(data))

    def _move(
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
        event = self._keep(connection, job, kind, data)
        if state is not State.RUNNING:
            with self._lock:
                self._live.pop(job.id, None)
        return Change(job=self._get(connection, job.id), kind=kind, data=event.data, event=event)

    def _end(self, job: Job, state: State, kind: str, data: Mapping[str, Any], **values: Any) -> bool:
        with self.database.write() as connection:
            if (found := self._current(connection, job)) is None:
                return False
            change = self._move(
                connection,
                found,
                state,
                kind,
                data,
                finished=self._now(),
                worker=None,
                phase=None,
                cancelling=0,
                **values,
            )
            if state is not State.CANCELLED:
                connection.execute(insert(RUNS).values(**_run_of(change.job, self._now())))
        if state is State.SUCCEEDED:
            shutil.rmtree(self.folder.job(job.id), ignore_errors=True)
        self._tell(change)
        return True

    def _simple(self, job: str, state: State, allowed: tuple[State, ...], kind: str) -> Job:
        with self.database.write() as connection:
            found = self._get(connection, job)
            require(found, *allowed, what=kind)
            change = self._move(connection, found, state, kind, {})
        self._tell(change)
        return change.job

    def _forget(self, connection: Connection, jobs: Sequence[Job]) -> None:
        for start in range(0, len(jobs), 500):  # a statement may have so many values
            ids = [job.id for job in jobs[start : start + 500]]
            connection.execute(delete(EVENTS).where(EVENTS.c.job.in_(ids)))
            connection.execute(delete(JOBS).where(JOBS.c.id.in_(ids)))

    def _remove(self, job: Job, *, with_files: bool) -> None:
        """The files of a job that is forgotten."""
        shutil.rmtree(self.folder.job(job.id), ignore_errors=True)
        if with_files and job.result is not None:
            (self.folder.outputs / str(job.result.get("file", ""))).unlink(missing_ok=True)
            self.folder.thumbnail(job.id).unlink(missing_ok=True)


def changed(spec: JobSpec, changes: Mapping[str, Any]) -> JobSpec:
    """With other values, in the form of `JobSpec.to_json`; null unsets one. Raises InvalidRequest."""
    values = spec.to_json()
    asked = dict(changes)
    request = asked.pop("request", {})
    if not isinstance(request, Mapping):
        raise InvalidRequest(f"request is {request!r:.80}: give an object")
    return JobSpec.from_json({**values, **asked, "request": {**values["request"], **request}})


# --- SQL -------------------------------------------------------------------------------------------------------------

_ORDER: Final = (JOBS.c.priority.desc(), JOBS.c.rank, JOBS.c.created, JOBS.c.id)


def _queued() -> Select[Any]:
    return select(JOBS).where(JOBS.c.state == str(State.QUEUED)).order_by(*_ORDER)


def _filtered(query: Select[Any], which: Filter) -> Select[Any]:
    if which.states:
        query = query.where(JOBS.c.state.in_([str(state) for state in which.states]))
    if which.model is not None:
        query = query.where(JOBS.c.model == which.model)
    if which.text is not None:
        query = query.where(JOBS.c.prompt.icontains(which.text, autoescape=True))
    if which.batch is not None:
        query = query.where(JOBS.c.batch == which.batch)
    if which.favourite is not None:
        query = query.where(JOBS.c.favourite == int(which.favourite))
    if which.since is not None:
        query = query.where(JOBS.c.created >= which.since)
    return query


def _after(cursor: str) -> tuple[float, str]:
    created, _, job = cursor.partition(":")
    try:
        return float(created), job
    except ValueError:
        raise InvalidRequest(f"cursor is {cursor!r:.60}: give what the page before gave as `next`") from None


def _row_of(job: Job) -> dict[str, Any]:
    return {
        "id": job.id, "state": str(job.state), "model": job.model, "prompt": job.spec.request.prompt,
        "spec": dumped(job.spec.to_json()), "batch": job.batch, "origin": job.origin, "priority": job.priority,
        "rank": job.rank, "attempt": 0, "deaths": 0, "cancelling": 0, "created": job.created, "favourite": 0,
    }  # fmt: skip


def _run_of(job: Job, now: float) -> dict[str, Any]:
    result, failure = job.result or {}, job.failure or {}
    kept = ("phases", "seconds", "peak_vram", "peak_rss", "width", "height", "frames", "steps", "seconds_per_step")
    numbers = {name: result[name] for name in kept if name in result}
    return {
        "job": job.id, "model": job.model, "tier": str(job.spec.tier), "at": now, "outcome": str(job.state),
        "code": failure.get("code"), "numbers": dumped(numbers),
    }  # fmt: skip
