"""One start of one job, from its message to the worker to its end."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol, TypeVar

from wanvideo.errors import DiskFull, StorageFailed, WanVideoError
from wanvideo.jobs.eta import Eta, scaled
from wanvideo.jobs.executor import Executor, Message
from wanvideo.jobs.job import Job, Progress, State
from wanvideo.jobs.leases import Leases
from wanvideo.jobs.placement import Record, WorkerLimits
from wanvideo.jobs.queue import Queue
from wanvideo.jobs.reconcile import remove_drafts
from wanvideo.jobs.terms import MOST_DEATHS, Terms

log = logging.getLogger(__name__)
ResultT = TypeVar("ResultT")

STICKY: Final = frozenset({"CUDA_FATAL", "GPU_LOST"})  # failures after which only a new process helps
POLL_SECONDS: Final = 0.1
_PAUSES: Final = (1, 2, 4, 8, 16)  # between tries to reach the storage, times `start_again_after`
# Events of a worker that are kept; the others are told to those who watch, and forgotten.
_KEPT: Final = frozenset(
    {"resolved", "plan", "phase", "checkpoint", "adapted", "warning", "fallback", "resumed", "together"}
)


class Worker(Protocol):
    """Who has the job."""

    terms: Terms
    queue: Queue
    leases: Leases
    executor: Executor
    limits: WorkerLimits
    record: Record
    heard: float  # when it last said something
    beat: Message  # its last heartbeat
    cancelled: set[str]  # jobs that users want no more

    @property
    def ending(self) -> str | None:
        """Why it is to give up its job, and let it wait again; None: it is not."""

    def hear(self, message: Message) -> None: ...


class Attempt:
    def __init__(self, lane: Worker, job: Job, lent: Sequence[str]) -> None:
        """lent: devices of other workers that take part."""
        self.lent = lent
        self.lane, self.job, self.queue, self.leases = lane, job, lane.queue, lane.leases
        self.terms, self.files = lane.terms, lane.queue.job_files
        self.eta = Eta(now=self.terms.now)
        self.expert: str | None = None
        self.resumed = False  # it goes on where another attempt was
        self.saved: Mapping[str, Any] = {}  # of the last state that the worker saved
        self.params: Mapping[str, Any] = {}  # of the video, as the model makes it
        self.progressed = self.terms.now()
        self.told = float("-inf")  # when to give up was asked of the worker
        self.lost = False  # whether somebody else has the job now

    def run(self) -> None:
        try:
            where = self._patiently(lambda: self.files.prepare(self.job))
        except (StorageFailed, DiskFull) as error:
            self._out_of_reach(error)
            return
        self.lane.heard = self.terms.now()
        self.lane.executor.send(
            {
                "type": "run", "job": self.job.id, "attempt": self.job.attempt, "spec": self.job.spec.to_json(),
                "created": self.job.created, "folder": str(where), "resume": True,
                "lent": list(self.lent), "memory_limit": self.lane.limits.memory,
            }
        )  # fmt: skip
        while True:
            message = self.lane.executor.receive(POLL_SECONDS)
            if message is not None:
                self.lane.hear(message)
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
                    self.leases.requeue(self.job, self.lane.ending or "the server stops")
            case _:
                return False
        return True

    def _event(self, event: Mapping[str, Any]) -> None:
        kind, data = str(event["type"]), {key: value for key, value in event.items() if key != "type"}
        self.progressed = self.terms.now()
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
            self.resumed |= kind == "resumed"
        if kind == "checkpoint":
            self.files.save(self.job)
            self.lane.heard = self.terms.now()  # it may take long, and what the worker said meanwhile waits
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
        self.lane.record.made(self._pace(result))
        if not self.leases.succeed(self.job, made):
            self.job = replace(self.job, result=made)
            self.files.withdraw(made)
        self.files.leave(self.job)

    def _pace(self, result: Mapping[str, Any]) -> float | None:
        """How long denoising took, of what was expected; None: nothing was, or not all of it was done now."""
        took, planned = result.get("phases", {}).get("denoise"), self.eta.expected.get("denoise")
        return took / planned if took and planned and not self.resumed else None

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
            vram_bytes=self.lane.beat.get("vram_used"),
            ram_bytes=self.lane.beat.get("rss"),
        )

    # --- what can go wrong -------------------------------------------------------------------------------------------

    def _wanted(self) -> bool:
        """Whether a user wants the job cancelled."""
        return self.job.id in self.lane.cancelled or self.leases.is_cancelling(self.job)

    def _pass_on_cancel(self) -> None:
        """Ask the worker to give up, and if it does not, make it."""
        asked = self.job.id in self.lane.cancelled or self.lost or self.lane.ending is not None
        if asked and self.told == float("-inf"):
            self.told = self.terms.now()
            self.lane.executor.send({"type": "cancel", "job": self.job.id, "attempt": self.job.attempt})

    def _hung(self) -> bool:
        """Whether the worker is beyond hope; then it is killed, and the job is dealt with."""
        now, deadlines = self.terms.now(), self.terms.deadlines
        if self.told != float("-inf") and now - self.told > deadlines.cancel + 2 * (self.eta.seconds_per_step or 0.0):
            self.lane.executor.kill()
            if self._wanted():
                self.leases.confirm_cancelled(self.job)
            else:
                self.leases.requeue(self.job, self.lane.ending or "the server stops")
            return True
        silent, still = now - self.lane.heard, now - self.progressed
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
                if self.terms.stopping.wait(pause * self.terms.start_again_after):
                    break
        return act()

    def _out_of_reach(self, error: WanVideoError) -> None:
        """What the job needs cannot be had from the storage, or what it made cannot be put there."""
        if self.job.deaths + 1 >= MOST_DEATHS or isinstance(error, DiskFull):
            self.leases.fail(self.job, self.terms.describe(self.job, "error", {"error": error}))
        else:
            self.leases.requeue(self.job, error.message, death=True)

    def _died(self, how: str, known: Mapping[str, Any]) -> None:
        """The worker is gone. The job goes on in another one, unless it has had too many."""
        if (pid := self.lane.executor.pid) is not None:
            remove_drafts(self.queue.folder, pid, self.job.id)
        if self._wanted():
            self.leases.confirm_cancelled(self.job)
            return
        if self.lane.ending is not None:
            self.leases.requeue(self.job, self.lane.ending)
            return
        self.lane.record.died(self.job.id, self.job.model)
        known = {
            **known, "phase": self.eta.phase, "step": self.eta.step, "steps": self.eta.steps,
            "seconds_per_step": self.eta.seconds_per_step, "kept_step": self.saved.get("step"),
            "kept_steps": self.saved.get("steps"), **self.lane.beat,
            **{name: self.params.get(name) for name in ("width", "height", "frames")},
        }  # fmt: skip
        deaths = self.job.deaths + 1
        log.warning("a worker died with job %s (%s, %s)", self.job.id, how, known)
        if deaths >= MOST_DEATHS:
            self.leases.fail(replace(self.job, deaths=deaths), self.terms.describe(self.job, how, known))
        else:
            self.leases.requeue(self.job, f"its worker was lost ({how})", death=True)

    def _failed(self, failure: Mapping[str, Any], *, again: bool) -> None:
        """again: one of several processes failed, and new ones may go on."""
        if again and self.job.deaths + 1 < MOST_DEATHS and not self._wanted():
            self.lane.record.died(self.job.id, self.job.model)
            self.leases.requeue(self.job, str(failure.get("message", failure["code"])), death=True)
            return
        if failure.get("code") in STICKY:
            # The process is of no more use; the job gets another chance in a new one.
            self.lane.executor.kill()
            self.lane.record.died(self.job.id, self.job.model)
            if self.job.deaths == 0 and not self._wanted():
                self.leases.requeue(self.job, str(failure.get("message", failure["code"])), death=True)
                return
        if self._wanted():
            self.leases.confirm_cancelled(self.job)
        else:
            self.leases.fail(self.job, failure)
