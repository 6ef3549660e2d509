"""Runs jobs: starts workers, gives them work, watches them, and replaces them when they die or hang.

Each worker has a thread of its own here, which is the only one that talks to it.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, TypeVar

from wanvideo.errors import DiskFull, StorageFailed, WanVideoError
from wanvideo.jobs.eta import Eta, scaled
from wanvideo.jobs.executor import Executor, MakeExecutor, Message
from wanvideo.jobs.job import DOWNLOAD, Job, Progress, State
from wanvideo.jobs.leases import DOWNLOADER, Leases
from wanvideo.jobs.ledger import Change
from wanvideo.jobs.nodes import worker_name
from wanvideo.jobs.queue import Queue
from wanvideo.jobs.reconcile import remove_drafts
from wanvideo.jobs.spec import JobSpec

log = logging.getLogger(__name__)
ResultT = TypeVar("ResultT")

MOST_DEATHS: Final = 3  # of workers with one job, after which it is the job's fault
STICKY: Final = frozenset({"CUDA_FATAL", "GPU_LOST"})  # failures after which only a new process helps
_POLL_SECONDS: Final = 0.1
_PAUSES: Final = (1, 2, 4, 8, 16)  # between tries to reach the storage, times `start_again_after`
# Events of a worker that are kept; the others are told to those who watch, and forgotten.
_KEPT: Final = frozenset(
    {"resolved", "plan", "phase", "checkpoint", "adapted", "warning", "fallback", "resumed", "together"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds after which a worker counts as hung."""

    ready: float = 180.0  # from its start
    heartbeat: float = 60.0  # without one
    phases: Mapping[str, float] = field(
        default_factory=lambda: {"load": 1800.0, "encode": 600.0, "denoise": 1800.0, "decode": 1800.0, "write": 600.0}
    )  # without progress
    steps: float = 20.0  # times the usual step, if that is more than `least_step`
    least_step: float = 120.0
    cancel: float = 30.0  # to give up a job, and as long again as two steps

    def of(self, eta: Eta) -> float:
        """Without progress, in the phase and with the steps that `eta` has seen."""
        usual = eta.seconds_per_step
        if usual is not None and eta.phase == "denoise":
            return max(self.least_step, self.steps * usual)
        return self.phases.get(eta.phase or "load", 1800.0)


class Preparer(Protocol):
    """Gets what a job needs before a worker can have it: files of its model."""

    def missing(self, spec: JobSpec) -> bool:
        """Whether something has to be fetched first; quick, and asked often."""

    def prepare(
        self, job: Job, progress: Callable[[int, int], None], done: Callable[[Mapping[str, Any] | None], None]
    ) -> Callable[[bool], None]:
        """Begin to fetch it, and return at once what ends the waiting for it; False: the job wants it no more.

        `progress` is told bytes received of bytes wanted, `done` a failure, or None when all is there; on any thread.
        """


def share(free: int, waiting: int) -> int:
    """How many of `free` devices a job gets while `waiting` others could begin as well: its even share, or one."""
    return max(1, free // (1 + waiting))


Describe = Callable[[Job, str, Mapping[str, Any]], Mapping[str, Any]]
"""A job, "crash" or "hang", and what is known of it -> the failure, as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerView:
    """A worker, as others may see it."""

    name: str
    state: str  # "starting", "idle", "busy", "lent" to another one, "waiting" before a new start, "stopped"
    pid: int | None
    job: str | None
    about: Mapping[str, Any]  # what it said when it was ready
    beat: Mapping[str, Any]  # its last heartbeat
    starts: int
    problem: str | None  # why it is not working


class Supervisor:
    """Workers by name, each with what starts it."""

    def __init__(
        self,
        queue: Queue,
        workers: Mapping[str, MakeExecutor],
        *,
        describe: Describe,
        preparer: Preparer | None = None,
        node: str | None = None,
        deadlines: Deadlines = Deadlines(),
        now: Callable[[], float] = time.monotonic,
        start_again_after: float = 1.0,
        lending: bool = False,
    ) -> None:
        """node: which of several processes with one database this is; None: it is the only one.

        start_again_after: seconds, twice as long after every failed start, up to a minute.
        lending: while few jobs wait, idle workers lend their devices to one that begins.
        """
        self.queue, self.leases, self.node = queue, Leases(queue), node
        self.downloader = worker_name(node, DOWNLOADER)
        self.describe, self.preparer = describe, preparer
        self.deadlines, self.now, self.start_again_after = deadlines, now, start_again_after
        self.lending, self.stopping = lending, threading.Event()
        self._lock, self._placing = threading.Lock(), threading.Lock()
        self._fetching: dict[str, tuple[Job, Callable[[bool], None]]] = {}
        self._lanes = [_Lane(self, name, make) for name, make in workers.items()]
        self._unsubscribe: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Take up what a predecessor left, and begin."""
        self._unsubscribe = self.queue.subscribe(self._on_change)
        self.leases.recover(node=self.node)
        for lane in self._lanes:
            lane.thread.start()

    def drain(self, seconds: float = 10.0) -> bool:
        """Stop taking jobs, and let those at work keep their state and wait again. False: a worker had to be killed."""
        self.stopping.set()
        self.queue.wake()
        with self._lock:
            fetching = list(self._fetching.values())
        for job, stop in fetching:
            stop(True)
            self.leases.requeue(job, "the server stops")
        until = time.monotonic() + seconds
        for lane in self._lanes:
            lane.thread.join(max(0.0, until - time.monotonic()))
        late = [lane for lane in self._lanes if lane.thread.is_alive()]
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
                self.leases.fail(failed, self.describe(job, "crash", {"phase": job.progress.phase}))
            else:
                self.leases.requeue(job, "its machine was lost", death=True)

    def unload(self) -> None:
        """Let idle workers give back the memory of their models; a busy one does it after its job."""
        for lane in self._lanes:
            lane.errands.add("unload")
        self.queue.wake()

    def calibrate(self) -> None:
        """Let idle workers measure how fast their device is; a busy one does it after its job."""
        for lane in self._lanes:
            lane.errands.add("calibrate")
        self.queue.wake()

    def workers(self) -> tuple[WorkerView, ...]:
        return tuple(lane.view() for lane in self._lanes)

    # --- which devices -----------------------------------------------------------------------------------------------

    def place(self, lane: "_Lane") -> "tuple[Job, tuple[_Lane, ...]] | None":
        """The next job for a worker, and who lends it a device meanwhile."""
        with self._placing:
            if lane.lent:
                return None
            lenders = self._lenders(lane) if self.lending else ()
            job = self.take(lane.owner)
            if job is None:
                return None
            lane.begin(job)
            if job.spec.device is not None:
                lenders = ()
            for each in lenders:
                each.lent = True
                each.errands.add("unload")  # its models make room
        return job, lenders

    def give_back(self, lenders: "Sequence[_Lane]") -> None:
        with self._placing:
            for each in lenders:
                each.lent = False
        self.queue.wake()

    def devices_for_next(self) -> int:
        """How many a job would get that begins now."""
        free = sum(each.is_free for each in self._lanes)
        return share(free, self.queue.counts().get(State.QUEUED, 0)) if self.lending else 1

    def _lenders(self, lane: "_Lane") -> "tuple[_Lane, ...]":
        others = [each for each in self._lanes if each is not lane and each.is_free and each.kind == lane.kind]
        waiting = self.queue.counts().get(State.QUEUED, 0)  # with the one that begins
        return tuple(others[: share(1 + len(others), max(0, waiting - 1)) - 1])

    # --- what has to be fetched first --------------------------------------------------------------------------------

    def take(self, worker: str) -> Job | None:
        """The next job for a worker; those that lack files are set to fetch them."""
        while not self.stopping.is_set():
            if self.preparer is None:
                return self.leases.claim(worker)
            job = self.leases.claim(worker, lacks=self.preparer.missing, downloader=self.downloader)
            if job is None or job.worker != self.downloader:
                return job
            self._fetch(job, self.preparer)
        return None

    def _fetch(self, job: Job, preparer: Preparer) -> None:
        def progress(received: int, total: int) -> None:
            percent = 0 if total <= 0 else min(99, 100 * received // total)
            self.leases.report(
                job, Progress(phase=DOWNLOAD, percent=percent, received_bytes=received, total_bytes=total)
            )

        def done(failure: Mapping[str, Any] | None) -> None:
            with self._lock:
                self._fetching.pop(job.id, None)
            if failure is None:
                self.leases.requeue(job, "its files are here")
            else:
                self.leases.fail(job, failure)

        try:
            stop = preparer.prepare(job, progress, done)
        except WanVideoError as error:
            self.leases.fail(job, self.describe(job, "error", {"error": error}))
            return
        with self._lock:
            found = self.queue.find(job.id)
            wanted = found is not None and not found.cancelling
            if found is not None and wanted and found.state is State.RUNNING:  # else it is done already
                self._fetching[job.id] = job, stop
        if not wanted:  # it was deleted or cancelled before there was anything to stop
            stop(False)
            self.leases.confirm_cancelled(job)

    def _on_change(self, change: Change) -> None:
        if change.kind not in ("cancelling", "deleted") or change.job.state is not State.RUNNING:
            return
        with self._lock:
            job, stop = self._fetching.pop(change.job.id, (None, None))
        if job is not None and stop is not None:
            stop(False)
            self.leases.confirm_cancelled(job)
        for lane in self._lanes:
            if lane.owner == change.job.worker:
                lane.cancel(change.job.id)


class _Lane:
    """One worker and its job."""

    def __init__(self, supervisor: Supervisor, name: str, make: MakeExecutor) -> None:
        self.name, self.supervisor, self.make = name, supervisor, make
        self.thread = threading.Thread(target=self.run, name=f"worker {name}", daemon=True)
        self.queue, self.leases = supervisor.queue, supervisor.leases
        self.executor: Executor = make()
        self.owner = worker_name(supervisor.node, name)
        self.errands: set[str] = set()  # to be told between two jobs
        self.lent = False
        self._state, self._job, self._problem = "starting", None, None  # type: tuple[str, Job | None, str | None]
        self._about: Message = {}
        self._beat: Message = {}
        self._heard = 0.0
        self._starts = self._failed_starts = 0
        self._cancelled: set[str] = set()

    def view(self) -> WorkerView:
        return WorkerView(
            name=self.name,
            state=self._state,
            pid=self.executor.pid if self.executor.alive else None,
            job=None if self._job is None else self._job.id,
            about=self._about,
            beat=self._beat,
            starts=self._starts,
            problem=self._problem,
        )

    @property
    def is_free(self) -> bool:
        return self._state == "idle" and not self.lent and self.executor.alive

    @property
    def device(self) -> str:
        """As the worker named it when it was ready."""
        return str(self._about.get("device", ""))

    @property
    def kind(self) -> str:
        """Of the device: one makes videos together with others of its kind alone."""
        return self.device.partition(":")[0]

    def cancel(self, job: str) -> None:
        self._cancelled.add(job)

    def begin(self, job: Job) -> None:
        self._state, self._job = "busy", job

    def run(self) -> None:
        try:
            while not self.supervisor.stopping.is_set():
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
            self.executor.send({"type": "stop"})
            self.executor.kill()
            self._state = "stopped"

    def _turn(self) -> None:
        if not self.executor.alive and not self._is_up():
            return
        self._state = "lent" if self.lent else "idle"
        while self.errands:
            self.executor.send({"type": self.errands.pop()})
        placed = self.supervisor.place(self)
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
        while not self.supervisor.stopping.wait(self.supervisor.start_again_after):
            try:
                self.leases.recover(self.owner)
            except (DiskFull, StorageFailed):
                continue
            self._problem = None
            return

    # --- the process -------------------------------------------------------------------------------------------------

    def _is_up(self) -> bool:
        """Start a worker and wait until it is ready."""
        if self._failed_starts:
            self._state = "waiting"
            pause = self.supervisor.start_again_after * 2 ** (self._failed_starts - 1)
            if self.supervisor.stopping.wait(min(60.0, pause)):
                return False
        self._state, self._starts = "starting", self._starts + 1
        self.executor.kill()  # what is left of the one before: its pipes
        self.executor = self.make()
        try:
            self.executor.start()
        except OSError as error:
            return self._failed_start(f"it could not be started: {error}")
        until, broken = self.supervisor.now() + self.supervisor.deadlines.ready, None
        while self.executor.alive and not self.supervisor.stopping.is_set():
            message = self.executor.receive(_POLL_SECONDS)
            if message is not None and message["type"] == "ready":
                self._about, self._heard = message, self.supervisor.now()
                self._failed_starts, self._problem = 0, None
                return True
            if message is not None and message["type"] == "broken":
                broken = str(message["failure"]["message"])
            if self.supervisor.now() > until:
                break
        if self.supervisor.stopping.is_set():
            return False
        said = "it did not get ready" if self.executor.alive else f"it ended with {self.executor.exitcode}"
        self.executor.kill()
        return self._failed_start(broken or said)

    def _failed_start(self, problem: str) -> bool:
        self._failed_starts += 1
        self._problem = problem
        log.error("the worker %s is not there: %s", self.name, problem)
        return False

    def _idle(self) -> None:
        """Until there may be something to do."""
        while (message := self.executor.receive(0.0)) is not None:
            self._hear(message)
        self.queue.wait(1.0)

    def _hear(self, message: Message) -> None:
        self._heard = self.supervisor.now()
        if message["type"] == "heartbeat":
            self._beat = message

    # --- a job -------------------------------------------------------------------------------------------------------

    def _follow(self, job: Job, lenders: "Sequence[_Lane]") -> None:
        try:
            attempt = _Attempt(self, job, [each.device for each in lenders])
            attempt.run()
            if job.id in self._cancelled and self.queue.find(job.id) is None:
                self.queue.remove_files(attempt.job)  # of a job that was deleted meanwhile
        finally:
            self._job = None
            self._cancelled.discard(job.id)
            self.supervisor.give_back(lenders)


class _Attempt:
    """One start of one job, from its message to the worker to its end."""

    def __init__(self, lane: _Lane, job: Job, lent: Sequence[str]) -> None:
        """lent: devices of other workers that take part."""
        self.lent = lent
        self.lane, self.job, self.queue, self.leases = lane, job, lane.queue, lane.leases
        self.supervisor, self.files = lane.supervisor, lane.queue.job_files
        self.eta = Eta(now=self.supervisor.now)
        self.expert: str | None = None
        self.saved: Mapping[str, Any] = {}  # of the last state that the worker saved
        self.params: Mapping[str, Any] = {}  # of the video, as the model makes it
        self.progressed = self.supervisor.now()
        self.told = float("-inf")  # when to give up was asked of the worker
        self.lost = False  # whether somebody else has the job now

    def run(self) -> None:
        try:
            where = self._patiently(lambda: self.files.prepare(self.job))
        except (StorageFailed, DiskFull) as error:
            self._out_of_reach(error)
            return
        self.lane._heard = self.supervisor.now()
        self.lane.executor.send(
            {
                "type": "run", "job": self.job.id, "attempt": self.job.attempt, "spec": self.job.spec.to_json(),
                "created": self.job.created, "folder": str(where), "resume": True,
                "lent": list(self.lent),
            }
        )  # fmt: skip
        while True:
            message = self.lane.executor.receive(_POLL_SECONDS)
            if message is not None:
                self.lane._hear(message)
                if self._is_mine(message) and self._over(message):
                    return
            elif not self.lane.executor.alive:
                self._died("crash", {"exitcode": self.lane.executor.exitcode})
                return
            self._pass_on_cancel()
            if self._hung():
                return

    def _is_mine(self, message: Message) -> bool:
        return message.get("job") == self.job.id and message.get("attempt") == self.job.attempt

    def _over(self, message: Message) -> bool:
        """Take a message in. True: it was the last."""
        match message["type"]:
            case "event":
                self._event(message["event"])
                return False
            case "done":
                self._succeeded(message["result"])
            case "failed":
                self._failed(message["failure"], again=bool(message.get("again")))
            case "cancelled":
                if self._wanted():
                    self.leases.confirm_cancelled(self.job)
                else:
                    self.leases.requeue(self.job, "the server stops")
            case _:
                return False
        return True

    def _event(self, event: Mapping[str, Any]) -> None:
        kind, data = str(event["type"]), {key: value for key, value in event.items() if key != "type"}
        self.progressed = self.supervisor.now()
        if kind == "preview":
            self.leases.show(self.job, data)
            return
        if kind == "resolved":
            self.params = data.get("params", {})
            self._remember(self.params)
        if kind == "plan":
            self.eta.plan(data.get("seconds", {}))
        if kind in ("phase", "step"):
            self.eta.update(str(data["phase"]), int(data.get("step", 0)), int(data.get("steps", 0)))
            self.expert = data.get("expert")
        if kind in ("checkpoint", "resumed"):
            self.saved = data
        if kind == "checkpoint":
            self.files.save(self.job)
            self.lane._heard = self.supervisor.now()  # it may take long, and what the worker said meanwhile waits
        if kind in _KEPT and not self.leases.record(self.job, kind, data):
            self.lost = True  # this machine was taken for lost, and nothing of the attempt counts any more
            return
        self.leases.report(self.job, self._progress())

    def _succeeded(self, result: Mapping[str, Any]) -> None:
        """Put the video where all find it, and then say so."""
        try:
            made = self._patiently(lambda: self.files.publish(self.job, result))
        except (StorageFailed, DiskFull) as error:
            self._out_of_reach(error)
            return
        if not self.leases.succeed(self.job, made):
            self.job = replace(self.job, result=made)
            self.files.withdraw(made)
        self.files.leave(self.job)

    def _remember(self, params: Mapping[str, Any]) -> None:
        """Until there is a plan, what the last video of this model took says what this one may take."""
        size = [params.get(name) for name in ("width", "height", "frames", "steps")]
        if self.eta.expected or not all(isinstance(number, int) for number in size):
            return
        for run in self.queue.runs(self.job.model, limit=20):
            if run.outcome is State.SUCCEEDED and run.tier == self.job.spec.tier:
                self.eta.plan(scaled(run.numbers, *size))  # type: ignore[arg-type]
                return

    def _progress(self) -> Progress:
        return Progress(
            phase=self.eta.phase,
            step=self.eta.step,
            steps=self.eta.steps,
            seconds_per_step=self.eta.seconds_per_step,
            eta_seconds=self.eta.remaining(),
            percent=self.eta.percent(),
            expert=self.expert,
            vram_bytes=self.lane._beat.get("vram_used"),
        )

    # --- what can go wrong -------------------------------------------------------------------------------------------

    def _wanted(self) -> bool:
        """Whether a user wants the job cancelled."""
        return self.job.id in self.lane._cancelled or self.leases.is_cancelling(self.job)

    def _pass_on_cancel(self) -> None:
        """Ask the worker to give up, and if it does not, make it."""
        asked = self.job.id in self.lane._cancelled or self.lost or self.supervisor.stopping.is_set()
        if asked and self.told == float("-inf"):
            self.told = self.supervisor.now()
            self.lane.executor.send({"type": "cancel", "job": self.job.id, "attempt": self.job.attempt})

    def _hung(self) -> bool:
        """Whether the worker is beyond hope; then it is killed, and the job is dealt with."""
        now, deadlines = self.supervisor.now(), self.supervisor.deadlines
        if self.told != float("-inf") and now - self.told > deadlines.cancel + 2 * (self.eta.seconds_per_step or 0.0):
            self.lane.executor.kill()
            if self._wanted():
                self.leases.confirm_cancelled(self.job)
            else:
                self.leases.requeue(self.job, "the server stops")
            return True
        silent, still = now - self.lane._heard, now - self.progressed
        if silent <= deadlines.heartbeat and still <= deadlines.of(self.eta):
            return False
        self.lane.executor.kill()
        self._died("hang", {"silent_seconds": silent, "still_seconds": still})
        return True

    def _patiently(self, act: Callable[[], ResultT]) -> ResultT:
        """The storage of several machines may be away for a while. Raises StorageFailed, DiskFull."""
        for pause in _PAUSES:
            try:
                return act()
            except StorageFailed as error:
                log.warning("job %s waits for the storage: %s", self.job.id, error.message)
                if self.supervisor.stopping.wait(pause * self.supervisor.start_again_after):
                    break
        return act()

    def _out_of_reach(self, error: WanVideoError) -> None:
        """What the job needs cannot be had from the storage, or what it made cannot be put there."""
        if self.job.deaths + 1 >= MOST_DEATHS or isinstance(error, DiskFull):
            self.leases.fail(self.job, self.supervisor.describe(self.job, "error", {"error": error}))
        else:
            self.leases.requeue(self.job, error.message, death=True)

    def _died(self, how: str, known: Mapping[str, Any]) -> None:
        """The worker is gone. The job goes on in another one, unless it has had too many."""
        if (pid := self.lane.executor.pid) is not None:
            remove_drafts(self.queue.folder, pid, self.job.id)
        if self._wanted():
            self.leases.confirm_cancelled(self.job)
            return
        if self.supervisor.stopping.is_set():
            self.leases.requeue(self.job, "the server stops")
            return
        known = {
            **known, "phase": self.eta.phase, "step": self.eta.step, "steps": self.eta.steps,
            "seconds_per_step": self.eta.seconds_per_step, "kept_step": self.saved.get("step"),
            "kept_steps": self.saved.get("steps"), **self.lane._beat,
            **{name: self.params.get(name) for name in ("width", "height", "frames")},
        }  # fmt: skip
        deaths = self.job.deaths + 1
        log.warning("a worker died with job %s (%s, %s)", self.job.id, how, known)
        if deaths >= MOST_DEATHS:
            self.leases.fail(replace(self.job, deaths=deaths), self.supervisor.describe(self.job, how, known))
        else:
            self.leases.requeue(self.job, f"its worker was lost ({how})", death=True)

    def _failed(self, failure: Mapping[str, Any], *, again: bool) -> None:
        """again: one of several processes failed, and new ones may go on."""
        if again and self.job.deaths + 1 < MOST_DEATHS and not self._wanted():
            self.leases.requeue(self.job, str(failure.get("message", failure["code"])), death=True)
            return
        if failure.get("code") in STICKY:
            # The process is of no more use; the job gets another chance in a new one.
            self.lane.executor.kill()
            if self.job.deaths == 0 and not self._wanted():
                self.leases.requeue(self.job, str(failure.get("message", failure["code"])), death=True)
                return
        if self._wanted():
            self.leases.confirm_cancelled(self.job)
        else:
            self.leases.fail(self.job, failure)
