"""A worker: its process, and one job after the other."""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from wanvideo.errors import DiskFull, StorageFailed
from wanvideo.jobs.attempt import POLL_SECONDS, Attempt
from wanvideo.jobs.executor import Executor, MakeExecutor, Message
from wanvideo.jobs.job import Job
from wanvideo.jobs.leases import Leases
from wanvideo.jobs.nodes import worker_name
from wanvideo.jobs.placement import Out, Record, Seat, WorkerLimits
from wanvideo.jobs.queue import Queue
from wanvideo.jobs.terms import Terms

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerView:
    """A worker, as others may see it."""

    name: str
    state: str  # "starting", "idle", "busy", "lent", "waiting" before a new start, "out", "leaving" or "stopped"
    pid: int | None
    job: str | None
    about: Mapping[str, Any]  # what it said when it was ready
    beat: Mapping[str, Any]  # its last heartbeat
    starts: int
    problem: str | None  # why it is not working
    limits: WorkerLimits
    out: Out | None  # why it gets no jobs, and others do
    seat: Seat


class Dispatcher(Protocol):
    """Who has all workers in view."""

    node: str | None

    def judge(self, lane: "Lane") -> Out | None:
        """Why a worker is to get no jobs now."""

    def place(self, lane: "Lane") -> "tuple[Job, tuple[Lane, ...]] | None":
        """The next job for a worker, and who lends it a device meanwhile."""

    def give_back(self, lenders: "Sequence[Lane]") -> None:
        """They are needed no more."""

    def recover(self, lane: "Lane") -> None:
        """The database is back: what a worker had in it, and what it was about to have fetched, waits again.

        Raises StorageFailed, DiskFull.
        """

    def left(self, lane: "Lane") -> None:
        """A worker has stopped for good."""


class Lane:
    """One worker and its job. It has a thread of its own, which is the only one that talks to its process."""

    def __init__(
        self, dispatcher: Dispatcher, name: str, make: MakeExecutor, limits: WorkerLimits, *, queue: Queue, terms: Terms
    ) -> None:
        self.name, self.dispatcher, self.make, self.limits = name, dispatcher, make, limits
        self.thread = threading.Thread(target=self.run, name=f"worker {name}", daemon=True)
        self.queue, self.leases, self.terms = queue, Leases(queue), terms
        self.executor: Executor = make()
        self.owner = worker_name(dispatcher.node, name)
        self.errands: set[str] = set()  # to be told between two jobs
        self.record = Record()
        self.out: Out | None = None  # why it gets no jobs
        self.lent = False
        self.leaving: Literal["no", "when idle", "now"] = "no"
        self.heard = 0.0
        self.beat: Message = {}
        self.cancelled: set[str] = set()
        self._state, self._job, self._problem = "starting", None, None  # type: tuple[str, Job | None, str | None]
        self._about: Message = {}
        self._starts = self._failed_starts = 0

    def view(self) -> WorkerView:
        return WorkerView(
            name=self.name,
            state="leaving" if self.leaving != "no" and self._state != "stopped" else self._state,
            pid=self.executor.pid if self.executor.alive else None,
            job=None if self._job is None else self._job.id,
            about=self._about,
            beat=self.beat,
            starts=self._starts,
            problem=self._problem,
            limits=self.limits,
            out=self.out,
            seat=self.seat,
        )

    @property
    def is_free(self) -> bool:
        return self._state == "idle" and not self.lent and self.leaving == "no" and self.executor.alive

    @property
    def works(self) -> bool:
        """Whether it does jobs, or will in a moment."""
        return self.out is None and self.leaving == "no" and self._failed_starts == 0 and self._state != "stopped"

    @property
    def ending(self) -> str | None:
        """Why it is to give up its job, and let it wait again; None: it is not."""
        if self.terms.stopping.is_set():
            return "the server stops"
        return "its worker is taken away" if self.leaving == "now" else None

    @property
    def seat(self) -> Seat:
        """A lent one keeps nothing loaded."""
        loaded = frozenset() if self.lent else frozenset(self.beat.get("loaded") or ())
        return Seat(
            loaded=loaded, limits=self.limits, lost=self.record.lost, free=self.is_free and self.works,
            kind=self.kind, pace=self.record.pace,
        )  # fmt: skip

    @property
    def device(self) -> str:
        """As the worker named it when it was ready."""
        return str(self._about.get("device", ""))

    @property
    def kind(self) -> str:
        """Of the device: one makes videos together with others of its kind alone."""
        return self.device.partition(":")[0]

    def cancel(self, job: str) -> None:
        self.cancelled.add(job)

    def begin(self, job: Job) -> None:
        self._state, self._job = "busy", job

    def put_back(self) -> None:
        """Let it have jobs again, and forget what was held against it."""
        self.record, self.out, self._failed_starts = Record(), None, 0

    def run(self) -> None:
        try:
            while not self.terms.stopping.is_set() and (self.lent or self.leaving == "no"):
                try:
                    self._turn()
                except DiskFull as error:
                    self._wait_for_database(error)
                except StorageFailed as error:
                    if self.queue.database.is_sqlite:  # which says so for good: it has to be opened anew
                        raise
                    self._wait_for_database(error)
        except StorageFailed:
            log.exception("the database failed, and no job is started any more")
            self._problem = "the database failed"
        finally:
            self._end_process()
            self._state = "stopped"
            self.dispatcher.left(self)

    def _turn(self) -> None:
        self.out = self.dispatcher.judge(self)
        if self.out is not None:
            self._rest(self.out)
            return
        if not self.executor.alive and not self._is_up():
            return
        self._state = "lent" if self.lent else "idle"
        while self.errands:
            self.executor.send({"type": self.errands.pop()})
        placed = self.dispatcher.place(self)
        if placed is None:
            self._idle()
        else:
            self._follow(*placed)

    def _wait_for_database(self, error: DiskFull | StorageFailed) -> None:
        """Until it takes what is written.

        What its worker did meanwhile nobody knows: the job goes on from what was kept.
        """
        log.warning("the worker %s waits for the database: %s", self.name, error.message)
        self._state, self._problem = "waiting", error.message
        self.executor.kill()
        while not self.terms.stopping.wait(self.terms.start_again_after):
            try:
                self.dispatcher.recover(self)
            except (DiskFull, StorageFailed):
                continue
            self._problem = None
            return

    # --- the process -------------------------------------------------------------------------------------------------

    def _is_up(self) -> bool:
        """Start a worker and wait until it is ready."""
        if self._failed_starts:
            self._state = "waiting"
            pause = self.terms.start_again_after * 2 ** (self._failed_starts - 1)
            until = self.terms.now() + min(60.0, pause)
            while self._failed_starts and not self._is_over and (left := until - self.terms.now()) > 0:
                self.queue.wait(min(1.0, left))  # it may be taken away, or told to begin at once
            if self._is_over:
                return False
        self._state, self._starts = "starting", self._starts + 1
        self.executor.kill()  # what is left of the one before: its pipes
        self.executor = self.make()
        try:
            self.executor.start()
        except OSError as error:
            return self._failed_start(f"it could not be started: {error}")
        until, broken = self.terms.now() + self.terms.deadlines.ready, None
        while self.executor.alive and not self._is_over:
            message = self.executor.receive(POLL_SECONDS)
            if message is not None and message["type"] == "ready":
                self._about, self.heard = message, self.terms.now()
                self._failed_starts, self._problem = 0, None
                return True
            if message is not None and message["type"] == "broken":
                broken = str(message["failure"]["message"])
            if self.terms.now() > until:
                break
        if self._is_over:
            return False
        said = "it did not get ready" if self.executor.alive else f"it ended with {self.executor.exitcode}"
        self.executor.kill()
        return self._failed_start(broken or said)

    @property
    def _is_over(self) -> bool:
        return self.terms.stopping.is_set() or self.leaving != "no"

    def _failed_start(self, problem: str) -> bool:
        self._failed_starts += 1
        self._problem = problem
        log.error("the worker %s is not there: %s", self.name, problem)
        return False

    def _rest(self, out: Out) -> None:
        """Without a process, until others want it to work again."""
        self._state, self._problem = "out", out.reason
        self._end_process()
        self.queue.wait(1.0)

    def _end_process(self) -> None:
        self.executor.send({"type": "stop"})
        self.executor.kill()
        self.beat = {}

    def _idle(self) -> None:
        """Until there may be something to do."""
        while (message := self.executor.receive(0.0)) is not None:
            self.hear(message)
        self.queue.wait(1.0)

    def hear(self, message: Message) -> None:
        self.heard = self.terms.now()
        if message["type"] == "heartbeat":
            self.beat = message

    # --- a job -------------------------------------------------------------------------------------------------------

    def _follow(self, job: Job, lenders: "Sequence[Lane]") -> None:
        try:
            attempt = Attempt(self, job, [each.device for each in lenders])
            attempt.run()
            if job.id in self.cancelled and self.queue.find(job.id) is None:
                self.queue.remove_files(attempt.job)  # of a job that was deleted meanwhile
        finally:
            self._job = None
            self.cancelled.discard(job.id)
            self.dispatcher.give_back(lenders)
