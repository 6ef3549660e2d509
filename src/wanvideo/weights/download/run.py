"""From a plan to verified files in the cache: fetch, follow, fall back. No torch.

`download` yields what happens. Nothing is kept but what lies on the disk: to go on after a crash is to plan and
download again.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final

from wanvideo.errors import (
    CacheNotWritable,
    Cancelled,
    DownloadError,
    DownloadOffline,
)
from wanvideo.weights.download.cache import elsewhere, publish_link, repository, set_revision
from wanvideo.weights.download.client import HubClient
from wanvideo.weights.download.control import Control, Gate, Stopped
from wanvideo.weights.download.disk import FULL, Disk
from wanvideo.weights.download.events import (
    Downloaded,
    DownloadEvent,
    DownloadProgress,
    FellBack,
    FileProgress,
    Planned,
    Retrying,
    State,
)
from wanvideo.weights.download.plan import DownloadPlan, PlannedFile, disk_full, free_bytes, gib
from wanvideo.weights.download.record import begin_record, note_speed, note_verified
from wanvideo.weights.download.transfer import Options, Transfer, obtain

_SPEED_SECONDS: Final = 10.0  # over which the speed is measured
_SLOWEST: Final = 1024.0  # bytes per second; below that, and in the first second, an estimate says nothing


def download(
    plan: DownloadPlan,
    *,
    control: Control | None = None,
    options: Options | None = None,
    disk: Disk | None = None,
    title: str = "",
) -> Generator[DownloadEvent, None, None]:
    """Carry the plan out. Ends with Downloaded; whoever stops iterating, or cancels, keeps what has arrived.

    Raises DownloadError, and Cancelled.
    """
    plan.check()
    run = _Run(plan, control or Control(), options or Options(), disk or Disk())
    yield from run.events()
    yield Downloaded(
        title=title,
        folders=tuple(repository(plan.cache, listing.repo_id).snapshot(listing.commit) for listing in plan.listings),
        fetched_bytes=run.fetched_bytes,
        seconds=run.seconds,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One way to get what is wanted: a variant, from one endpoint."""

    title: str  # such as "fp8 from huggingface.co"
    plan: Callable[[], DownloadPlan]


def download_first(
    choices: Sequence[Choice],
    *,
    control: Control | None = None,
    options: Options | None = None,
    disk: Disk | None = None,
) -> Generator[DownloadEvent, None, None]:
    """The first choice that succeeds; each time that one cannot, says why and what comes instead.

    What has arrived counts for every later choice that needs the same bytes, whatever server they come from. Raises the
    error of the first choice if none succeeds, and Cancelled at once.
    """
    first_error: DownloadError | None = None
    for choice, following in zip(choices, [*choices[1:], None], strict=True):
        try:
            plan = choice.plan()
            yield Planned(title=choice.title, plan=plan)
            yield from download(plan, control=control, options=options, disk=disk, title=choice.title)
            return
        except (CacheNotWritable, DownloadOffline):
            raise  # the next one would fare no better
        except DownloadError as error:
            first_error = first_error or error
            if following is not None:
                yield FellBack(wanted=choice.title, instead=following.title, reason=error.message)
    if first_error is not None:
        raise first_error


class _Run:
    """The threads of one download, and what they tell."""

    def __init__(self, plan: DownloadPlan, control: Control, options: Options, disk: Disk) -> None:
        self.plan = plan
        self.options = options
        self.disk = disk
        self.control = control
        self.gate = Gate(control)
        self.lanes = threading.Semaphore(options.connections)
        self.notices = SimpleQueue[Retrying]()
        # Bytes that are wanted twice, in two repositories, come once.
        self._turns = {planned.file.digest: threading.Lock() for planned in plan.files}
        self.watched = [_Watched(planned, self.notices) for planned in plan.files]
        self._began = time.monotonic()
        self._samples = deque([(self._began, 0)])

    @property
    def fetched_bytes(self) -> int:
        return sum(watched.fetched for watched in self.watched)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def events(self) -> Iterator[DownloadEvent]:
        connections = self.options.connections + self.options.files
        patience = self.options.patience
        try:
            for listing in self.plan.listings:
                begin_record(repository(self.plan.cache, listing.repo_id), listing, self.disk)
            with HubClient(self.plan.hub, stall_seconds=patience.stall_seconds, connections=connections) as client:
                yield from self._follow(client)
            self._note()
        except Stopped:
            raise Cancelled(
                f"the download was stopped at {gib(self.plan.total_bytes - self._left)} of "
                f"{gib(self.plan.total_bytes)}: what has arrived is kept, and the next one goes on from there"
            ) from None
        except OSError as error:
            raise self._disk_error(error) from error

    def _follow(self, client: HubClient) -> Iterator[DownloadEvent]:
        """Start a thread for each file, a few at a time, and look at them from time to time."""
        pool = ThreadPoolExecutor(self.options.files, thread_name_prefix="download")
        try:
            yield self._progress()
            pending: set[Future[None]] = {pool.submit(self._bring, watched, client) for watched in self.watched}
            while pending:
                done, pending = wait(pending, timeout=self.options.tick_seconds, return_when=FIRST_COMPLETED)
                yield from self._drain()
                yield self._progress()
                for future in done:
                    future.result()
        finally:
            self.gate.close()
            pool.shutdown(cancel_futures=True)

    def _bring(self, watched: "_Watched", client: HubClient) -> None:
        """One file, from wherever it can be had most cheaply."""
        self.gate.check()
        if watched.planned.verified:
            publish_link(self.plan.cache, watched.planned.file, self.disk)
            watched.finished()
            return
        transfer = Transfer(
            file=watched.planned.file,
            cache=self.plan.cache,
            client=client,
            options=self.options,
            lanes=self.lanes,
            gate=self.gate,
            watcher=watched,
            disk=self.disk,
        )
        try:
            with self._turns[transfer.file.digest]:
                path = obtain(transfer, watched.planned.twin or elsewhere(self.plan.cache, transfer.file))
            publish_link(self.plan.cache, transfer.file, self.disk)
            note_verified(transfer.where, transfer.file, path.stat().st_mtime_ns, self.disk)
        except (DownloadError, OSError):
            watched.failed()
            raise
        watched.finished()

    def _drain(self) -> Iterator[Retrying]:
        with suppress(Empty):
            while True:
                yield self.notices.get_nowait()

    @property
    def _left(self) -> int:
        return sum(watched.planned.file.nbytes - watched.done_bytes for watched in self.watched)

    def _progress(self) -> DownloadProgress:
        files = tuple(watched.progress(paused=self.control.paused) for watched in self.watched)
        fetched, left = self.fetched_bytes, self._left
        speed = self._speed(fetched)
        return DownloadProgress(
            state=_overall(files),
            files=files,
            done_bytes=self.plan.total_bytes - left,
            total_bytes=self.plan.total_bytes,
            fetched_bytes=fetched,
            bytes_per_second=speed,
            seconds_left=left / speed if speed >= _SLOWEST and self.seconds > 1 else None,
        )

    def _speed(self, fetched: int) -> float:
        """Bytes per second, of late."""
        now = time.monotonic()
        self._samples.append((now, fetched))
        while len(self._samples) > 2 and now - self._samples[0][0] > _SPEED_SECONDS:
            self._samples.popleft()
        then, before = self._samples[0]
        return (fetched - before) / (now - then) if now > then else 0.0

    def _note(self) -> None:
        """What the next download, and other programs, want to know."""
        for listing in self.plan.listings:
            set_revision(self.plan.cache, listing.repo_id, listing.revision, listing.commit, self.disk)
            if self.fetched_bytes >= 1 << 20 and self.seconds > 0:
                where = repository(self.plan.cache, listing.repo_id)
                note_speed(where, listing.commit, self.fetched_bytes / self.seconds, self.disk)

    def _disk_error(self, error: OSError) -> DownloadError:
        if error.errno in FULL:
            return disk_full(self.plan.cache, self._left, free_bytes(self.plan.cache))
        return CacheNotWritable(
            f"{error.filename or self.plan.cache} cannot be written: {error.strerror or error}: check the disk and who "
            "may write there, or set HF_HUB_CACHE to another folder",
            facts={"path": str(error.filename or self.plan.cache)},
        )


class _Watched:
    """What is known of one file while it comes; a Watcher."""

    def __init__(self, planned: PlannedFile, notices: "SimpleQueue[Retrying]") -> None:
        self.planned = planned
        self.fetched = 0
        self.done_bytes = planned.file.nbytes - planned.missing_bytes
        self.state = State.WAITING
        self._notices = notices
        self._lock = threading.Lock()

    def waiting(self, there: int) -> None:
        self._set(State.WAITING, there)

    def downloading(self, there: int) -> None:
        self._set(State.DOWNLOADING, there)

    def received(self, nbytes: int) -> None:
        with self._lock:
            # The last bytes may be told after the thread that hashes them has said that all are there.
            self.done_bytes = min(self.done_bytes + nbytes, self.planned.file.nbytes)
            self.fetched += max(nbytes, 0)

    def verifying(self, there: int) -> None:
        self._set(State.VERIFYING, there)

    def retrying(self, reason: str, seconds: float) -> None:
        self._notices.put(Retrying(file=self.planned.file, reason=reason, seconds=seconds))

    def failed(self) -> None:
        self._set(State.FAILED)

    def finished(self) -> None:
        self._set(State.DONE, self.planned.file.nbytes)

    def progress(self, *, paused: bool) -> FileProgress:
        with self._lock:
            moving = self.state in (State.WAITING, State.DOWNLOADING, State.VERIFYING)
            state = State.PAUSED if paused and moving else self.state
            return FileProgress(file=self.planned.file, state=state, done_bytes=self.done_bytes)

    def _set(self, state: State, done_bytes: int | None = None) -> None:
        with self._lock:
            self.state = state
            self.done_bytes = self.done_bytes if done_bytes is None else done_bytes


def _overall(files: Sequence[FileProgress]) -> State:
    """The state that says most about the whole."""
    states = {progress.state for progress in files}
    order = (State.FAILED, State.PAUSED, State.DOWNLOADING, State.VERIFYING, State.WAITING)
    return next((state for state in order if state in states), State.DONE)
