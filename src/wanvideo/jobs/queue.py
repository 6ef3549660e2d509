"""The queue: every change of a job is one transaction, and what is acknowledged is on disk.

`Queue` is what servers and the supervisor call, from any thread; calls block for as long as a transaction takes.
"""

import json
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, and_, delete, func, insert, or_, select, text, tuple_, update

from wanvideo.errors import Cancelled, InvalidRequest
from wanvideo.jobs.database import Database
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.intake import STEP, Intake, Submission, last_rank, require_room
from wanvideo.jobs.job import DONE, WAITING, Job, JobEvent, State, require
from wanvideo.jobs.ledger import Change, Ledger
from wanvideo.jobs.queries import (
    ALL,
    AT_ONCE,
    MADE,
    TURN,
    Filter,
    Page,
    as_json,
    chunks,
    counted,
    cursor_of,
    few_with_text,
    newest,
    picture_names,
    stored_bytes,
)
from wanvideo.jobs.rows import dumped, event_of, spec_row
from wanvideo.jobs.spec import JobSpec
from wanvideo.jobs.storage import Storage
from wanvideo.jobs.tables import EVENTS, IS_DELETION, JOBS, RUNS, SETTINGS, TOTALS

AHEAD: Final = (State.QUEUED, State.HELD, State.RUNNING)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A job that has made a video."""

    job: str
    file: str
    finished: float


class Queue(Ledger):
    """All jobs of one data folder, and what users do with them."""

    def __init__(
        self,
        database: Database,
        folder: DataFolder,
        *,
        most_waiting: int = 1000,
        shared: Storage | None = None,
        now: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        """most_waiting: jobs that may wait; more are refused."""
        super().__init__(database, folder, shared=shared, now=now)
        self.intake = Intake(ledger=self, most_waiting=most_waiting, new_id=new_id)

    # --- what there is -----------------------------------------------------------------------------------------------

    def page(self, which: Filter = ALL, *, limit: int = 50, cursor: str | None = None) -> Page:
        """Newest first. Raises InvalidRequest for a cursor that no page gave."""
        with self.database.read() as connection:
            query = newest(which, limit, cursor, few_with_text(connection, which))
            jobs = [self.job(row) for row in connection.execute(query)]
        more = len(jobs) > limit
        return Page(jobs=tuple(jobs[:limit]), next=cursor_of(jobs[limit - 1]) if more else None)

    def after(self, job: str | None, *, limit: int, oldest_first: bool = False) -> Page:
        """The jobs that come after one in time, or before it. Raises JobNotFound."""
        order = [JOBS.c.created, JOBS.c.id] if oldest_first else [JOBS.c.created.desc(), JOBS.c.id.desc()]
        query = select(JOBS).order_by(*order).limit(limit + 1)
        if job is not None:
            seen = self.get(job)
            place, seen_place = tuple_(JOBS.c.created, JOBS.c.id), tuple_(seen.created, seen.id)
            query = query.where(place > seen_place if oldest_first else place < seen_place)
        with self.database.read() as connection:
            jobs = [self.job(row) for row in connection.execute(query)]
        return Page(jobs=tuple(jobs[:limit]), next=jobs[limit - 1].id if len(jobs) > limit else None)

    def waiting(self) -> tuple[Job, ...]:
        """In the order in which they will run; held ones are where they would be."""
        states = [str(state) for state in WAITING]
        query = select(JOBS).where(JOBS.c.state.in_(states)).order_by(*TURN)
        with self.database.read() as connection:
            return tuple(self.job(row) for row in connection.execute(query))

    def line(self) -> tuple[str, ...]:
        """Ids of the queued jobs, in the order in which they will run."""
        query = select(JOBS.c.id).where(JOBS.c.state == str(State.QUEUED)).order_by(*TURN)
        with self.database.read() as connection:
            return tuple(connection.execute(query).scalars())

    def place(self, job: Job) -> int | None:
        """Of a queued job among the others, without reading them; 1 is next. None: it does not wait to run."""
        if job.state is not State.QUEUED:
            return None
        before = or_(
            JOBS.c.priority > job.priority,
            and_(JOBS.c.priority == job.priority, JOBS.c.rank < job.rank),
        )
        query = select(func.count()).where(JOBS.c.state == str(State.QUEUED), before)
        with self.database.read() as connection:
            return int(connection.execute(query).scalar_one()) + 1

    def videos(self) -> Iterator[list[Made]]:
        """Of every job that succeeded, the oldest first; some at a time, and between them nothing is kept open."""
        # Taken out of the result by the database: to read ten thousand results here would take seconds.
        file = as_json(JOBS.c.result, sqlite=self.database.is_sqlite)["file"].as_string().label("file")
        age = (JOBS.c.created, JOBS.c.id)
        query = select(JOBS.c.id, JOBS.c.created, JOBS.c.finished, file).where(MADE).order_by(*age).limit(AT_ONCE)
        after = query
        while True:
            with self.database.read() as connection:
                rows = connection.execute(after).all()
            if not rows:
                return
            yield [Made(job=row.id, file=str(row.file), finished=row.finished) for row in rows]
            after = query.where(tuple_(*age) > tuple_(rows[-1].created, rows[-1].id))

    def counts(self, which: Filter = ALL) -> dict[State, int]:
        """How many there are in every state; see `counted` for what is more than states."""
        with self.database.read() as connection:
            query = counted(which, few_with_text(connection, which))
            found = {State(state): int(count) for state, count in connection.execute(query)}
        return {state: found.get(state, 0) for state in State}

    def ahead(self) -> dict[str, dict[State, int]]:
        """By model: how many wait, are held and run."""
        query = select(JOBS.c.model, JOBS.c.state, func.count()).group_by(JOBS.c.model, JOBS.c.state)
        found: dict[str, dict[State, int]] = {}
        with self.database.read() as connection:
            for model, state, count in connection.execute(query.where(JOBS.c.state.in_(map(str, AHEAD)))):
                found.setdefault(model, dict.fromkeys(AHEAD, 0))[State(state)] = int(count)
        return found

    def pictures(self) -> frozenset[str]:
        """The names of stored pictures that any job begins or ends with, or did."""
        with self.database.read() as connection:
            names = connection.execute(picture_names(sqlite=self.database.is_sqlite)).scalars()
            return frozenset(str(name) for name in names if name is not None)

    def events(self, job: str | None = None, *, since: int = 0, limit: int = 1000) -> tuple[JobEvent, ...]:
        """What was kept after the event numbered `since`, of one job or of all."""
        query = select(EVENTS).where(EVENTS.c.seq > since).order_by(EVENTS.c.seq).limit(limit)
        if job is not None:
            query = query.where(EVENTS.c.job == job)
        with self.database.read() as connection:
            return tuple(event_of(row) for row in connection.execute(query))

    def stored_bytes(self) -> int:
        """Of all videos."""
        with self.database.read() as connection:
            return stored_bytes(connection)

    def find_all(self, jobs: Collection[str]) -> dict[str, Job]:
        """Those that there are, by id."""
        found: dict[str, Job] = {}
        with self.database.read() as connection:
            for some in chunks(jobs, AT_ONCE):
                rows = connection.execute(select(JOBS).where(JOBS.c.id.in_(some)))
                found |= {row.id: self.job(row) for row in rows}
        return found

    def forget_deletions(self, before: float) -> int:
        """Of jobs that were deleted before that time, not even this is kept any more; how many there were."""
        with self.database.read() as connection:  # which takes long, and keeps nobody from writing
            old = select(EVENTS.c.seq).where(text(IS_DELETION), EVENTS.c.at < before)
            numbers = list(connection.execute(old).scalars())
        for some in chunks(numbers, AT_ONCE):
            with self.database.write() as connection:
                connection.execute(delete(EVENTS).where(EVENTS.c.seq.in_(some)))
        return len(numbers)

    def gather_totals(self) -> None:
        """Add up what the connections of earlier servers have counted."""
        with self.database.write() as connection:
            sums: dict[str, dict[str, Any]] = {}
            for row in connection.execute(delete(TOTALS).returning(*TOTALS.c)):
                total = sums.setdefault(row.state, {"state": row.state, "shard": 0, "jobs": 0, "bytes": 0})
                total["jobs"] += row.jobs
                total["bytes"] += row.bytes
            if sums:
                connection.execute(insert(TOTALS), list(sums.values()))

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
        submission = Submission(spec=spec, key=key, priority=priority, count=count, held=held, origin=origin)
        return list(self.intake.submit(submission).jobs)

    def cancel(self, job: str) -> Job:
        """At once if it waits; if it runs, within a step. Raises JobNotFound, JobConflict."""
        with self.database.write() as connection:
            found = self.load(connection, job)
            require(found, *WAITING, State.RUNNING, what="cancelled")
            if found.state is not State.RUNNING:
                change = self.move(
                    connection, found, State.CANCELLED, "cancelled", {"code": Cancelled.code}, finished=self.now()
                )
            else:
                connection.execute(update(JOBS).where(JOBS.c.id == job).values(cancelling=1))
                found = replace(found, cancelling=True)
                event = self.keep(connection, found, "cancelling", {})
                change = Change(job=found, kind="cancelling", data={}, event=event)
        self.tell(change)
        return change.job

    def retry(self, job: str, changes: Mapping[str, Any] | None = None) -> Job:
        """Again, from what was kept, with `changes` in the form of `JobSpec.to_json`.

        Raises JobNotFound, JobConflict, QueueFull, InvalidRequest.
        """
        with self.database.write() as connection:
            found = self.load(connection, job)
            require(found, State.FAILED, State.CANCELLED, what="tried again")
            require_room(connection, self.intake.most_waiting)
            change = self.move(
                connection, found, State.QUEUED, "retried", dict(changes or {}), failure=None, finished=None, deaths=0,
                cancelling=0, expires=None, rank=last_rank(connection) + STEP,
                **spec_row(changed(found.spec, changes or {})),
            )  # fmt: skip
        self.tell(change)
        return change.job

    def rerun(self, job: str, changes: Mapping[str, Any], *, key: str | None = None) -> Job:
        """A new job with the settings of another one and `changes`, in the form of `JobSpec.to_json`."""
        found = self.get(job)
        return self.submit(changed(found.spec, changes), key=key, priority=found.priority, origin=found.id)[0]

    def edit(self, job: str, changes: Mapping[str, Any]) -> Job:
        """Change what a job that waits will make. Raises JobNotFound, JobConflict, InvalidRequest."""
        with self.database.write() as connection:
            found = self.load(connection, job)
            require(found, *WAITING, what="edited")
            spec = changed(found.spec, changes)
            # What was kept of an earlier attempt belongs to other settings.
            connection.execute(update(JOBS).where(JOBS.c.id == job).values(**spec_row(spec)))
            found = replace(found, spec=spec)
            event = self.keep(connection, found, "edited", dict(changes))
        self.tell(Change(job=found, kind="edited", data=event.data, event=event))
        return found

    def prioritise(self, job: str, priority: int) -> Job:
        """Higher comes first. Raises JobNotFound, JobConflict."""
        if not -1000 <= priority <= 1000:
            raise InvalidRequest(f"priority is {priority}: give a whole number from -1000 to 1000")
        with self.database.write() as connection:
            found = self.load(connection, job)
            require(found, *WAITING, what="moved")
            connection.execute(update(JOBS).where(JOBS.c.id == job).values(priority=priority))
            found = replace(found, priority=priority)
            event = self.keep(connection, found, "moved", {"priority": priority})
        self.tell(Change(job=found, kind="moved", data=event.data, event=event))
        return found

    def reorder(self, jobs: Sequence[str]) -> None:
        """Let these jobs run in this order, in the places that they have together. Raises JobNotFound, JobConflict."""
        if len(set(jobs)) != len(jobs):
            raise InvalidRequest("a job is named twice: name every job once")
        changes = []
        with self.database.write() as connection:
            # In the order of their ids, so that two who reorder at the same time do not wait for each other.
            loaded = {job: self.load(connection, job) for job in sorted(jobs)}
            found = [loaded[job] for job in jobs]
            for job in found:
                require(job, *WAITING, what="moved")
            places = sorted((-job.priority, job.rank) for job in found)
            for job, (priority, rank) in zip(found, places, strict=True):
                moved = replace(job, priority=-priority, rank=rank)
                values = {"priority": moved.priority, "rank": moved.rank}
                connection.execute(update(JOBS).where(JOBS.c.id == job.id).values(**values))
                event = self.keep(connection, moved, "moved", values)
                changes.append(Change(job=moved, kind="moved", data=event.data, event=event))
        self.tell(*changes)

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
        """A favourite is never removed by rules, also if that was announced. Raises JobNotFound."""
        with self.database.write() as connection:
            found = self.load(connection, job)
            values = {"favourite": int(favourite), "expires": None if favourite else found.expires}
            connection.execute(update(JOBS).where(JOBS.c.id == job).values(**values))
            found = replace(found, favourite=favourite, expires=values["expires"])
            event = self.keep(connection, found, "favourite", {"favourite": favourite})
        self.tell(Change(job=found, kind="favourite", data=event.data, event=event))
        return found

    def delete(self, job: str, *, with_files: bool = True) -> Job:
        """Forget a job that is done, and remove its files. Raises JobNotFound, JobConflict."""

        def forgotten() -> tuple[Job, JobEvent]:
            with self.database.write() as connection:
                found = self.load(connection, job)
                require(found, *DONE, what="deleted")
                return found, self.forget(connection, [found])[0]

        found, event = self.reserve.use(forgotten)
        self.remove_files(found, video=with_files)
        self.reserve.fill()
        self.tell(Change(job=found, kind="deleted", data={}, event=event))
        return found

    def discard(self, job: str) -> Job:
        """As `delete`, of a job in any state: whoever runs it is told, and what it still makes is removed as well.

        Raises JobNotFound.
        """

        def forgotten() -> tuple[Job, JobEvent]:
            with self.database.write() as connection:
                found = self.load(connection, job)
                return found, self.forget(connection, [found])[0]

        found, event = self.reserve.use(forgotten)
        self.drop_live(job)
        if found.state is not State.RUNNING:
            self.remove_files(found)
        self.reserve.fill()
        self.tell(Change(job=found, kind="deleted", data={}, event=event))
        return found

    def clear(self, states: Iterable[State] = DONE, *, with_files: bool = True) -> list[Job]:
        """Forget all jobs that are done, or those in some of these states. Favourites stay."""
        chosen = [str(state) for state in states if state in DONE]

        def forgotten() -> tuple[list[Job], list[JobEvent]]:
            with self.database.write() as connection:
                going = select(JOBS).where(JOBS.c.state.in_(chosen), JOBS.c.favourite == 0)
                jobs = [self.job(row) for row in connection.execute(going.with_for_update())]
                return jobs, self.forget(connection, jobs)

        jobs, events = self.reserve.use(forgotten)
        for job in jobs:
            self.remove_files(job, video=with_files)
        self.reserve.fill()
        told = zip(jobs, events, strict=True)
        self.tell(*(Change(job=job, kind="deleted", data={}, event=event) for job, event in told))
        return jobs

    # --- inside ------------------------------------------------------------------------------------------------------

    def _simple(self, job: str, state: State, allowed: tuple[State, ...], kind: str) -> Job:
        with self.database.write() as connection:
            found = self.load(connection, job)
            require(found, *allowed, what=kind)
            change = self.move(connection, found, state, kind, {})
        self.tell(change)
        return change.job

    def forget(self, connection: Connection, jobs: Sequence[Job]) -> list[JobEvent]:
        """Of all that happened to them, that they were deleted is kept, for those who were away meanwhile."""
        for ids in chunks([job.id for job in jobs], AT_ONCE):
            connection.execute(delete(EVENTS).where(EVENTS.c.job.in_(ids)))
            connection.execute(delete(JOBS).where(JOBS.c.id.in_(ids)))
        return [self.keep(connection, job, "deleted", {}) for job in jobs]

    def remove_files(self, job: Job, *, video: bool = True) -> None:
        """Of a job that is forgotten."""
        self.job_files.remove_state(job.id)
        if video and job.result is not None:
            self.job_files.remove_video(job.id, str(job.result.get("file", "")))


def changed(spec: JobSpec, changes: Mapping[str, Any]) -> JobSpec:
    """With other values, in the form of `JobSpec.to_json`; null unsets one. Raises InvalidRequest."""
    values = spec.to_json()
    asked = dict(changes)
    request = asked.pop("request", {})
    if not isinstance(request, Mapping):
        raise InvalidRequest(f"request is {request!r:.80}: give an object")
    return JobSpec.from_json({**values, **asked, "request": {**values["request"], **request}})
