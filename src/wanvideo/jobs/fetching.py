"""What jobs lack is fetched before a worker can have them."""

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from wanvideo.errors import DiskFull, StorageFailed, WanVideoError
from wanvideo.jobs.job import DOWNLOAD, Job, Progress, State
from wanvideo.jobs.leases import Leases
from wanvideo.jobs.spec import JobSpec
from wanvideo.jobs.terms import Describe

log = logging.getLogger(__name__)

# What every machine would find: the other failures of downloads are of one machine, its disk, its network or its token.
# A machine that cannot have a LoRA would take the same job again at once, so that failure is told as well.
EVERYWHERE: Final = frozenset({"DOWNLOAD_NOT_FOUND", "DOWNLOAD_HASH_MISMATCH", "DOWNLOAD_CANCELLED"})


class Preparer(Protocol):
    """Gets what a job needs before a worker can have it: files of its model."""

    def missing(self, spec: JobSpec) -> bool:
        """Whether something has to be fetched first; quick, and asked often."""

    def at_hand(self) -> Collection[str]:
        """Models that are here, or on their way; quick, too."""

    def prepare(
        self, job: Job, progress: Callable[[int, int], None], done: Callable[[Mapping[str, Any] | None], None]
    ) -> Callable[[bool], None]:
        """Begin to fetch it, and return at once what ends the waiting for it; False: the job wants it no more.

        `progress` is told bytes received of bytes wanted, `done` a failure, or None when all is there; on any thread.
        """


@dataclass(slots=True)
class Fetching:
    """The jobs that wait for files."""

    leases: Leases
    preparer: Preparer
    describe: Describe
    pass_on: Callable[[Job], bool]  # whether another machine is to try, since this one cannot fetch what a job needs
    again_after: float = 1.0  # seconds, when the database did not take what was said
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stops: dict[tuple[str, int], tuple[Job, Callable[[bool], None]]] = field(default_factory=dict)  # by attempt
    _stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def jobs(self) -> frozenset[str]:
        return frozenset(job for job, _ in self._stops)

    @property
    def models(self) -> frozenset[str]:
        with self._lock:
            return frozenset(job.model for job, _ in self._stops.values())

    def begin(self, job: Job) -> None:
        def progress(received: int, total: int) -> None:
            percent = 0 if total <= 0 else min(99, 100 * received // total)
            self.leases.report(
                job, Progress(phase=DOWNLOAD, percent=percent, received_bytes=received, total_bytes=total)
            )

        def done(failure: Mapping[str, Any] | None) -> None:
            self._take(job)
            if not self._said(lambda: self._end(job, failure)):
                # Whoever told has other downloads to follow.
                threading.Thread(target=self._say_later, args=(job, failure), name="fetching", daemon=True).start()

        try:
            stop = self.preparer.prepare(job, progress, done)
        except WanVideoError as error:
            self._end(job, self.describe(job, "error", {"error": error}))
            return
        with self._lock:
            found = self.leases.ledger.find(job.id)
            wanted = found is not None and not found.cancelling
            # Else it is done already, and may even have begun again.
            if found is not None and wanted and (found.state, found.attempt) == (State.RUNNING, job.attempt):
                self._stops[job.id, job.attempt] = job, stop
        if not wanted:  # it was deleted or cancelled before there was anything to stop
            stop(False)
            self.leases.confirm_cancelled(job)

    def cancel(self, job: Job) -> None:
        """It is wanted no more."""
        if (found := self._take(job)) is not None:
            began, stop = found
            stop(False)
            self.leases.confirm_cancelled(began)

    def overtaken(self, job: Job) -> None:
        """Others took this machine for lost: what an attempt before theirs fetches is of use, and says nothing more."""
        with self._lock:
            old = [key for key in self._stops if key[0] == job.id and _is_over(key[1], job)]
            stops = [self._stops.pop(key) for key in old]
        for _, stop in stops:
            stop(True)

    def stop(self) -> None:
        """They wait again, and what was fetched stays."""
        with self._lock:
            stops, self._stops = list(self._stops.values()), {}
        self._stopping.set()
        for job, stop in stops:
            stop(True)
            # Else whoever comes next in this folder takes it up, or others do, when they hear nothing of it.
            self._said(lambda job=job: self.leases.requeue(job, "the server stops"))  # type: ignore[misc]

    def recover(self, downloader: str) -> None:
        """Let those wait again that came here when the database failed, so that nobody heard of it.

        None may be begun meanwhile. Raises StorageFailed, DiskFull.
        """
        for job in self.leases.running(downloader):
            if (job.id, job.attempt) not in self._stops:
                self.leases.requeue(job, "the database was away or full")

    def _end(self, job: Job, failure: Mapping[str, Any] | None) -> None:
        if failure is None:
            self.leases.requeue(job, "its files are here")
        elif not _is_told(str(failure.get("code"))) and self.pass_on(job):
            self.leases.requeue(job, str(failure.get("message", failure.get("code"))))
        else:
            self.leases.fail(job, failure)

    def _say_later(self, job: Job, failure: Mapping[str, Any] | None) -> None:
        while not self._stopping.wait(self.again_after):
            if self._said(lambda: self._end(job, failure)):
                return

    @staticmethod
    def _said(say: Callable[[], object]) -> bool:
        try:
            say()
        except (StorageFailed, DiskFull) as error:
            log.warning("the end of a download waits for the database: %s", error.message)
            return False
        return True

    def _take(self, job: Job) -> tuple[Job, Callable[[bool], None]] | None:
        with self._lock:
            return self._stops.pop((job.id, job.attempt), None)


def _is_told(code: str) -> bool:
    return code in EVERYWHERE or code.startswith("LORA_")


def _is_over(attempt: int, job: Job) -> bool:
    """By a row that may be older than the attempt."""
    return attempt < job.attempt or (attempt == job.attempt and job.state is not State.RUNNING)
