"""Runs jobs: starts workers, gives them work, watches them, and replaces them when they die or hang."""

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from wanvideo.errors import InvalidRequest, WorkerNotFound
from wanvideo.jobs.executor import MakeExecutor
from wanvideo.jobs.fetching import Fetching, Preparer
from wanvideo.jobs.job import Job, State
from wanvideo.jobs.lane import Lane, WorkerView, log
from wanvideo.jobs.leases import DOWNLOADER, Leases
from wanvideo.jobs.ledger import Change
from wanvideo.jobs.nodes import worker_name
from wanvideo.jobs.placement import Out, Seat, Turns, WorkerLimits, allowed, elsewhere, judged, wishes
from wanvideo.jobs.queries import Which
from wanvideo.jobs.queue import Queue
from wanvideo.jobs.spec import JobSpec
from wanvideo.jobs.terms import MOST_DEATHS, Deadlines, Describe, Terms

PATIENCE: Final = 120.0  # seconds for which a job may be passed over by others whose models are loaded
UNABLE: Final = 600.0  # seconds after which a machine tries again to fetch what it could not


def share(free: int, waiting: int) -> int:
    """How many of `free` devices a job gets while `waiting` others could begin as well: its even share, or one."""
    return max(1, free // (1 + waiting))


class Supervisor:
    """Workers by name, each with what starts it."""

    def __init__(
        self,
        queue: Queue,
        workers: Mapping[str, MakeExecutor],
        *,
        describe: Describe,
        limits: Mapping[str, WorkerLimits] | None = None,
        preparer: Preparer | None = None,
        node: str | None = None,
        deadlines: Deadlines = Deadlines(),
        now: Callable[[], float] = time.monotonic,
        start_again_after: float = 1.0,
        lending: bool = False,
        patience: float = PATIENCE,
    ) -> None:
        """limits: by the names of workers.

        node: which of several processes with one database this is; None: it is the only one.
        start_again_after: seconds, twice as long after every failed start, up to a minute.
        lending: while few jobs wait, idle workers lend their devices to one that begins.
        patience: seconds for which a job may be passed over by others whose models are loaded.
        """
        self.queue, self.leases, self.node, self.lending = queue, Leases(queue), node, lending
        self.terms = Terms(describe=describe, deadlines=deadlines, now=now, start_again_after=start_again_after)
        self.downloader, self.preparer = worker_name(node, DOWNLOADER), preparer
        self.fetching = None if preparer is None else Fetching(
            self.leases, preparer, describe, self._pass_on, start_again_after
        )  # fmt: skip
        self.elsewhere: Callable[[], Collection[Seat]] = tuple  # workers of other machines, as far as is known
        self._turns = Turns(patience, now)
        self._left: Mapping[str, float] = {}  # a model that others have, and since when its jobs are left to them
        self._unable: dict[str, float] = {}  # models that cannot be fetched here, and since when
        self._placing = threading.Lock()
        self._lanes: dict[str, Lane] = {}
        self._started = False
        self._unsubscribe: Callable[[], None] = lambda: None
        for name, make in workers.items():
            self.add(name, make, (limits or {}).get(name, WorkerLimits()))

    def start(self) -> None:
        """Take up what a predecessor left, and begin."""
        self._unsubscribe = self.queue.subscribe(self._on_change)
        self.leases.recover(node=self.node)
        self._started = True
        for lane in self.lanes:
            lane.thread.start()

    def drain(self, seconds: float = 10.0) -> bool:
        """Stop taking jobs, and let those at work keep their state and wait again. False: a worker had to be killed."""
        self.terms.stopping.set()
        self.queue.wake()
        if self.fetching is not None:
            self.fetching.stop()
        until = time.monotonic() + seconds
        lanes = self.lanes
        for lane in lanes:
            lane.thread.join(max(0.0, until - time.monotonic()))
        late = [lane for lane in lanes if lane.thread.is_alive()]
        for lane in late:
            lane.executor.kill()
        for lane in late:
            lane.thread.join(5.0)
        self._unsubscribe()
        return not late

    def take_back(self, node: str) -> None:
        """What a node had that is lost waits again, unless it was lost with too many."""
        for job in self.leases.running(node=node):
            if job.cancelling:
                self.leases.confirm_cancelled(job)
            elif job.deaths + 1 >= MOST_DEATHS:
                failed = replace(job, deaths=job.deaths + 1)
                self.leases.fail(failed, self.terms.describe(job, "crash", {"phase": job.progress.phase}))
            else:
                self.leases.requeue(job, "its machine was lost", death=True)

    # --- the workers -------------------------------------------------------------------------------------------------

    @property
    def lanes(self) -> tuple[Lane, ...]:
        return tuple(self._lanes.values())  # a dict that is never changed, but replaced

    def workers(self) -> tuple[WorkerView, ...]:
        return tuple(lane.view() for lane in self.lanes)

    def worker(self, name: str) -> WorkerView:
        """Raises WorkerNotFound."""
        return self._lane(name).view()

    def add(self, name: str, make: MakeExecutor, limits: WorkerLimits = WorkerLimits()) -> None:
        """One more, which begins at once if the others have. Raises InvalidRequest for a name that is taken."""
        lane = Lane(self, name, make, limits, queue=self.queue, terms=self.terms)
        with self._placing:
            if name in self._lanes:
                raise InvalidRequest(f"there is a worker {name!r:.60} already, or it is still at its last job")
            self._lanes = {**self._lanes, name: lane}
        if self._started:
            lane.thread.start()

    def remove(self, name: str, *, now: bool = False) -> None:
        """Let one go when it has done its job. now: its job waits again, and goes on elsewhere from what was kept.

        Raises WorkerNotFound.
        """
        lane = self._lane(name)
        lane.leaving = "now" if now or lane.leaving == "now" else "when idle"
        self.queue.wake()

    def limit(self, name: str, limits: WorkerLimits) -> None:
        """From its next job on; one that it is just about to take comes before. Raises WorkerNotFound."""
        with self._placing:
            self._lane(name).limits = limits
        self.queue.wake()

    def put_back(self, name: str) -> None:
        """Let one that was taken out have jobs again. Raises WorkerNotFound."""
        self._lane(name).put_back()
        self.queue.wake()

    def unload(self) -> None:
        """Let idle workers give back the memory of their models; a busy one does it after its job."""
        self._send_on("unload")

    def calibrate(self) -> None:
        """Let idle workers measure how fast their device is; a busy one does it after its job."""
        self._send_on("calibrate")

    def _send_on(self, errand: str) -> None:
        for lane in self.lanes:
            lane.errands.add(errand)
        self.queue.wake()

    def _lane(self, name: str) -> Lane:
        lanes = self._lanes
        if name not in lanes:
            raise WorkerNotFound(f"there is no worker {name!r:.60} here, but {', '.join(lanes) or 'none at all'}")
        return lanes[name]

    # --- what lanes ask for ------------------------------------------------------------------------------------------

    def judge(self, lane: Lane) -> Out | None:
        """Why a worker gets no jobs now. The last one that works is never taken out."""
        with self._placing:
            others = self._others(lane)
            if not others:
                return None
            found = lane.out or judged(lane.record, [each.pace for each in others if each.kind == lane.kind])
            if found is not None and lane.out is None:
                log.error("the worker %s is taken out: %s", lane.name, found.reason)
            lane.out = found  # before another one is judged
            return found

    def recover(self, lane: Lane) -> None:
        with self._placing:  # nothing begins meanwhile
            self.leases.recover(lane.owner)
            if self.fetching is not None:
                self.fetching.recover(self.downloader)

    def left(self, lane: Lane) -> None:
        with self._placing:
            if lane.leaving != "no":
                self._lanes = {name: each for name, each in self._lanes.items() if each is not lane}

    def place(self, lane: Lane) -> tuple[Job, tuple[Lane, ...]] | None:
        """The next job for a worker, and who lends it a device meanwhile."""
        with self._placing:
            if lane.lent or lane.leaving != "no":
                return None
            lenders = self._lenders(lane) if self.lending else ()
            job = self._take(lane)
            if job is None:
                return None
            lane.begin(job)
            if job.spec.device is not None:
                lenders = ()
            for each in lenders:
                each.lent = True
                each.errands.add("unload")  # its models make room
        return job, lenders

    def give_back(self, lenders: Sequence[Lane]) -> None:
        with self._placing:
            for each in lenders:
                each.lent = False
        self.queue.wake()

    def devices_for_next(self) -> int:
        """How many a job would get that begins now."""
        free = sum(each.is_free for each in self.lanes)
        return share(free, self.queue.counts().get(State.QUEUED, 0)) if self.lending else 1

    def _lenders(self, lane: Lane) -> tuple[Lane, ...]:
        others = [each for each in self.lanes if each is not lane and each.is_free and each.kind == lane.kind]
        waiting = self.queue.counts().get(State.QUEUED, 0)  # with the one that begins
        return tuple(others[: share(1 + len(others), max(0, waiting - 1)) - 1])

    def _take(self, lane: Lane) -> Job | None:
        """The next job for a worker; those that lack files are set to fetch them."""
        while not self.terms.stopping.is_set():
            job = self._claim(lane)
            if job is None or self.fetching is None or job.worker != self.downloader:
                return job
            self.fetching.begin(job)
        return None

    def _claim(self, lane: Lane) -> Job | None:
        """The next job of a worker. One whose model other machines have is left to them for a while, one that waits for
        what is on its way here is left to all, and one whose model cannot be fetched here to those who can.
        """
        may = allowed(lane.seat, self._others(lane))
        seats = self.elsewhere()
        if self.preparer is None or self.fetching is None or not seats:
            return self._ask(lane, may)
        never = self.fetching.models.union(model for model in self.unable if any(s.takes("", model) for s in seats))
        there = elsewhere(seats, self.preparer.at_hand())
        job = self._ask(lane, may.except_for(never | there))
        head = self.leases.next(may.except_for(never)) if job is None and there else None
        if job is not None or head is None:
            self._left = {}
            return job
        now = self.terms.now()
        self._left = {head.model: self._left.get(head.model, now)}
        return self._ask(lane, may.except_for(never)) if now - self._left[head.model] >= self._turns.patience else None

    @property
    def unable(self) -> frozenset[str]:
        """Models that are not here, and could not be fetched of late."""
        now = self.terms.now()
        late = frozenset(model for model, since in list(self._unable.items()) if now - since < UNABLE)
        return late.difference(() if self.preparer is None or not late else self.preparer.at_hand())

    def _pass_on(self, job: Job) -> bool:
        self._unable[job.model] = self.terms.now()
        return any(seat.takes(job.id, job.model) for seat in self.elsewhere())

    def _ask(self, lane: Lane, may: Which) -> Job | None:
        """By itself, a worker takes what comes; of several, each takes first what it has loaded."""
        mine, others = lane.seat, self._others(lane)
        asked: Sequence[Which] = (may,)
        head: Job | None = None
        if others and (mine.loaded or any(other.loaded for other in others)):
            if (head := self.leases.next(may)) is None:
                return None
            overdue = self._turns.is_overdue(head.id)
            asked = wishes(mine, others, may, (head.id, head.model), overdue=overdue)
        for which in asked:
            job = self.leases.claim(lane.owner, which, lacks=self._lacks, downloader=self.downloader)
            if job is not None:
                if head is not None and job.id != head.id:
                    self._turns.passed_over(head.id)
                return job
        return None

    def _others(self, lane: Lane) -> list[Seat]:
        """Who else works, here and on other machines."""
        return [*(each.seat for each in self.lanes if each is not lane and each.works), *self.elsewhere()]

    def _lacks(self, spec: JobSpec) -> bool:
        return self.preparer is not None and self.preparer.missing(spec)

    def _on_change(self, change: Change) -> None:
        if change.job.state is not State.QUEUED:
            self._turns.forget(change.job.id)
        if not change.here and self.fetching is not None:
            self.fetching.overtaken(change.job)
        if change.kind not in ("cancelling", "deleted") or change.job.state is not State.RUNNING:
            return
        if self.fetching is not None:
            self.fetching.cancel(change.job)
        for lane in self.lanes:
            if lane.owner == change.job.worker:
                lane.cancel(change.job.id)
