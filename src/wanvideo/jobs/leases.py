"""The supervisor's side of the queue: attempts begin, report, and end.

An attempt is fenced by its number: what one says after it was ended is not kept.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from wanvideo.errors import Cancelled
from wanvideo.jobs.job import DOWNLOAD, Job, Progress, State
from wanvideo.jobs.ledger import Change, Ledger
from wanvideo.jobs.queries import ANY, Which, next_queued
from wanvideo.jobs.rows import dumped
from wanvideo.jobs.spec import JobSpec
from wanvideo.jobs.tables import JOBS, RUNS

DOWNLOADER: Final = "downloader"  # in the place of a worker's name
CANCELLED: Final[Mapping[str, Any]] = {"code": Cancelled.code}  # of the event


class Leases:
    """Jobs on loan to workers."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def next(self, which: Which = ANY) -> Job | None:
        """The job that is to run next; None: there is none, or the queue is paused."""
        if self.ledger.paused:
            return None
        with self.ledger.database.read() as connection:
            row = connection.execute(next_queued(which)).first()
            return None if row is None else self.ledger.job(row)

    def claim(
        self,
        worker: str,
        which: Which = ANY,
        *,
        lacks: Callable[[JobSpec], bool] = lambda _: False,
        downloader: str = DOWNLOADER,
    ) -> Job | None:
        """Give the job whose turn it is to a worker; None: there is none.

        lacks: whether files have to be fetched first; then the job goes to `downloader`, and is in that phase. Where
        many claim from PostgreSQL at the same time, each gets another job, and nobody waits.
        """
        # Where one writes at a time, those who find nothing to do look first, and keep nobody from writing.
        if self.next(which) is None if self.ledger.database.is_sqlite else self.ledger.paused:
            return None
        with self.ledger.database.write() as connection:
            row = connection.execute(next_queued(which).with_for_update(skip_locked=True)).first()
            if row is None:
                return None
            found = self.ledger.job(row)
            fetches = lacks(found.spec)
            change = self._begin(connection, found, downloader if fetches else worker, DOWNLOAD if fetches else None)
        return self._begun(change)

    def start(self, job: str, worker: str, *, phase: str | None = None) -> Job | None:
        """Give a queued job to a worker; None: somebody was quicker. `phase`: it begins with that."""
        with self.ledger.database.write() as connection:
            found = self.ledger.load(connection, job)
            if found.state is not State.QUEUED:
                return None
            change = self._begin(connection, found, worker, phase)
        return self._begun(change)

    def record(self, job: Job, kind: str, data: Mapping[str, Any]) -> bool:
        """Keep an event of a running attempt. False: the attempt is over, and nothing was kept."""
        with self.ledger.database.write() as connection:
            if (found := self._current(connection, job)) is None:
                return False
            if kind == "phase":
                connection.execute(update(JOBS).where(JOBS.c.id == job.id).values(phase=data.get("phase")))
            event = self.ledger.keep(connection, found, kind, data)
        self.ledger.tell(Change(job=self.ledger.with_live(found), kind=kind, data=data, event=event))
        return True

    def report(self, job: Job, progress: Progress) -> None:
        """How far an attempt is; told to subscribers, and forgotten when it is over."""
        if self.ledger.update_live(job.id, progress):
            self.ledger.tell(Change(job=replace(job, progress=progress), kind="progress", data={}))

    def show(self, job: Job, data: Mapping[str, Any]) -> None:
        """A preview, for those who watch."""
        self.ledger.tell(Change(job=self.ledger.with_live(job), kind="preview", data=data))

    def succeed(self, job: Job, result: Mapping[str, Any]) -> bool:
        """Publish a result. False: this attempt is over, and another one's result counts."""
        return self._end(job, State.SUCCEEDED, "succeeded", {}, result=dict(result), bytes=result.get("bytes"))

    def fail(self, job: Job, failure: Mapping[str, Any]) -> bool:
        return self._end(job, State.FAILED, "failed", failure, failure=dict(failure))

    def confirm_cancelled(self, job: Job) -> bool:
        return self._end(job, State.CANCELLED, "cancelled", CANCELLED)

    def requeue(self, job: Job, reason: str, *, death: bool = False) -> bool:
        """Put an attempt that cannot go on back where it was; it goes on from its last checkpoint.

        A job that is to be cancelled ends instead. False: the attempt is over.
        """
        with self.ledger.database.write() as connection:
            if (found := self._current(connection, job)) is None:
                return False
            if found.cancelling:  # which may have been asked a moment ago
                change = self._close(connection, found, State.CANCELLED, "cancelled", CANCELLED)
            else:
                deaths = found.deaths + int(death)
                change = self.ledger.move(
                    connection, found, State.QUEUED, "requeued", {"reason": reason, "deaths": deaths},
                    deaths=deaths, worker=None, phase=None,
                )  # fmt: skip
        self.ledger.tell(change)
        return True

    def recover(self, worker: str | None = None, *, node: str | None = None) -> list[Job]:
        """What nobody works on any more waits again, or is cancelled if that was asked: all that a former server left
        running, or a node, or a worker.
        """
        reason = "the server was stopped" if worker is None else "the database was away or full"
        left = self.running(worker, node=node)
        for job in left:
            self.requeue(job, reason)
        return left

    def running(self, worker: str | None = None, *, node: str | None = None) -> list[Job]:
        """What a worker has, or all workers of a node; else all."""
        query = select(JOBS).where(JOBS.c.state == str(State.RUNNING))
        if worker is not None:
            query = query.where(JOBS.c.worker == worker)
        if node is not None:
            query = query.where(JOBS.c.worker.startswith(f"{node}/", autoescape=True))
        with self.ledger.database.read() as connection:
            rows = connection.execute(query)
            return [self.ledger.job(row) for row in rows]

    def is_cancelling(self, job: Job) -> bool:
        with self.ledger.database.read() as connection:
            query = select(JOBS.c.cancelling).where(JOBS.c.id == job.id)
            return bool(connection.execute(query).scalar())

    def _begin(self, connection: Connection, job: Job, worker: str, phase: str | None) -> Change:
        return self.ledger.move(
            connection, job, State.RUNNING, "started", {"attempt": job.attempt + 1, "worker": worker},
            attempt=job.attempt + 1, worker=worker, phase=phase,
            started=job.started or max(job.created, self.ledger.now()),  # clocks of machines differ
        )  # fmt: skip

    def _begun(self, change: Change) -> Job:
        self.ledger.set_live(change.job.id, Progress(phase=change.job.progress.phase))
        self.ledger.tell(change)
        return change.job

    def _current(self, connection: Connection, job: Job) -> Job | None:
        """The job, if it still runs in this attempt."""
        query = (
            select(JOBS)
            .where(JOBS.c.id == job.id, JOBS.c.attempt == job.attempt, JOBS.c.state == str(State.RUNNING))
            .with_for_update()
        )
        row = connection.execute(query).first()
        return None if row is None else self.ledger.job(row)

    def _end(self, job: Job, state: State, kind: str, data: Mapping[str, Any], **values: Any) -> bool:
        with self.ledger.database.write() as connection:
            if (found := self._current(connection, job)) is None:
                return False
            change = self._close(connection, found, state, kind, data, **values)
            if state is not State.CANCELLED:
                connection.execute(insert(RUNS).values(**_run_of(change.job, self.ledger.now())))
        if state is State.SUCCEEDED:
            self.ledger.job_files.remove_state(job.id)
        self.ledger.tell(change)
        return True

    def _close(
        self, connection: Connection, job: Job, state: State, kind: str, data: Mapping[str, Any], **values: Any
    ) -> Change:
        """The last transition of an attempt and of its job."""
        return self.ledger.move(
            connection, job, state, kind, data,
            finished=max(job.started or job.created, self.ledger.now()),
            worker=None, phase=None, cancelling=0, **values,
        )  # fmt: skip


def _run_of(job: Job, now: float) -> dict[str, Any]:
    result, failure = job.result or {}, job.failure or {}
    kept = ("phases", "seconds", "peak_vram", "peak_rss", "width", "height", "frames", "steps", "seconds_per_step")
    numbers = {name: result[name] for name in kept if name in result}
    return {
        "job": job.id, "model": job.model, "tier": str(job.spec.tier), "at": now, "outcome": str(job.state),
        "code": failure.get("code"), "numbers": dumped(numbers),
    }  # fmt: skip
