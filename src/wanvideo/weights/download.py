"""From the files that a variant names to verified files in the cache: plan, refuse, fetch, fall back. No torch.

A plan is a value, made from what the hub lists and what the disk holds; `download` carries it out and yields what
happens. Nothing is kept but what lies on the disk: to go on after a crash is to plan and download again.
"""

import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final, TypeAlias, TypeVar

from wanvideo.errors import (
    CacheNotWritable,
    Cancelled,
    DownloadDiskFull,
    DownloadError,
)
from wanvideo.weights.cache import elsewhere, existing, publish_link, repository, set_revision
from wanvideo.weights.control import Control, Gate, Stopped
from wanvideo.weights.disk import FULL, Disk
from wanvideo.weights.hub import Hub, HubFile, Listing, by_repository, expand
from wanvideo.weights.hub_client import HubClient, TryAgain
from wanvideo.weights.record import begin_record, newest_record, note_speed, note_verified, read_record
from wanvideo.weights.transfer import Options, Patience, Transfer, missing_bytes, obtain
from wanvideo.weights.variants import RemoteFiles

RESERVE_BYTES: Final = 1 << 30  # of the disk, left to everybody else
_SPEED_SECONDS: Final = 10.0  # over which the speed is measured
_SLOWEST: Final = 1024.0  # bytes per second; below that, an estimate of the time left says nothing

T = TypeVar("T")


# --- plan ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFile:
    """One file, and what it takes to have it."""

    file: HubFile
    missing_bytes: int  # to be fetched
    verified: bool = False  # here, and hashed before
    twin: Path | None = None  # here under another name, by its hash


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadPlan:
    """What a download will do, and what it needs."""

    hub: Hub
    cache: Path
    listings: tuple[Listing, ...]
    files: tuple[PlannedFile, ...]
    free_bytes: int  # of the disk of the cache
    reserve_bytes: int = RESERVE_BYTES
    bytes_per_second: float | None = None  # as it was last time; None: never measured

    @property
    def total_bytes(self) -> int:
        return sum(planned.file.nbytes for planned in self.files)

    @property
    def missing_bytes(self) -> int:
        return sum(planned.missing_bytes for planned in self.files)

    @property
    def present_bytes(self) -> int:
        return self.total_bytes - self.missing_bytes

    @property
    def seconds(self) -> float | None:
        """An estimate; None where nothing was measured."""
        return self.missing_bytes / self.bytes_per_second if self.bytes_per_second else None

    @property
    def fits(self) -> bool:
        return not self.missing_bytes or self.missing_bytes + self.reserve_bytes <= self.free_bytes

    @property
    def done(self) -> bool:
        """Nothing has to be fetched or verified."""
        return all(planned.verified for planned in self.files)

    def check(self) -> None:
        """Raises DownloadDiskFull if it cannot be done."""
        if not self.fits:
            raise _disk_full(self.cache, self.missing_bytes, self.free_bytes, self.reserve_bytes)


def plan_download(
    wanted: Sequence[RemoteFiles],
    hub: Hub,
    cache: Path,
    *,
    revision: str = "main",
    patience: Patience | None = None,
    reserve_bytes: int = RESERVE_BYTES,
) -> DownloadPlan:
    """Ask the hub what the files are, and look at what is here. One request per repository; nothing is written.

    Raises DownloadError, InvalidRequest.
    """
    patience = patience or Patience()
    with HubClient(hub, stall_seconds=patience.stall_seconds) as client:
        found = [
            (_patiently(partial(client.list_files, repo_id, revision), patience), patterns)
            for repo_id, patterns in by_repository(wanted).items()
        ]
    files = [_plan_file(cache, file) for listing, patterns in found for file in expand(patterns, listing)]
    return DownloadPlan(
        hub=hub,
        cache=cache,
        listings=tuple(listing for listing, _ in found),
        files=tuple(_once(files)),
        free_bytes=_free_bytes(cache),
        reserve_bytes=reserve_bytes,
        bytes_per_second=_last_speed(cache, [listing.repo_id for listing, _ in found]),
    )


def _plan_file(cache: Path, file: HubFile) -> PlannedFile:
    there = existing(cache, file)
    if there is not None:
        record = read_record(repository(cache, file.repo_id), file.commit)
        return PlannedFile(file=file, missing_bytes=0, verified=record is not None and record.vouches_for(file, there))
    twin = elsewhere(cache, file)
    return PlannedFile(file=file, missing_bytes=0 if twin else missing_bytes(cache, file), twin=twin)


def _once(files: Sequence[PlannedFile]) -> Iterator[PlannedFile]:
    """What several repositories have is fetched once; the other takes it over."""
    seen = set[str]()
    for planned in files:
        repeated = planned.file.digest in seen and planned.missing_bytes > 0
        seen.add(planned.file.digest)
        yield replace(planned, missing_bytes=0) if repeated else planned


def _patiently(action: Callable[[], T], patience: Patience) -> T:
    failures = 0
    while True:
        try:
            return action()
        except TryAgain as failure:
            failures += 1
            if failures >= patience.attempts:
                raise failure.error from failure
            time.sleep(patience.pause_after(failures, failure.after))


def _free_bytes(cache: Path) -> int:
    there = next(folder for folder in (cache.absolute(), *cache.absolute().parents) if folder.exists())
    return shutil.disk_usage(there).free


def _last_speed(cache: Path, repo_ids: Sequence[str]) -> float | None:
    records = (newest_record(repository(cache, repo_id)) for repo_id in repo_ids)
    return next((record.bytes_per_second for record in records if record and record.bytes_per_second), None)


def _disk_full(cache: Path, needed: int, free: int, reserve: int = 0) -> DownloadDiskFull:
    keeping = f", of which {_gib(reserve)} are to stay free" if reserve else ""
    return DownloadDiskFull(
        f"the disk of {cache} is too full: {_gib(needed)} ({needed} bytes) are still to come and {_gib(free)} "
        f"({free} bytes) are free{keeping}: free some space, choose a smaller variant, or set HF_HUB_CACHE to a folder "
        "on another disk; what has arrived is kept",
        facts={"needed_bytes": needed, "free_bytes": free, "reserve_bytes": reserve, "cache": str(cache)},
    )


def _gib(nbytes: int) -> str:
    return f"{nbytes / 2**30:.1f} GiB" if nbytes >= 2**30 else f"{nbytes / 2**20:.1f} MiB"


# --- events ----------------------------------------------------------------------------------------------------------


class State(StrEnum):
    """Of one file, and of a whole download."""

    WAITING = "waiting"  # for its turn, or for another process that is fetching it
    DOWNLOADING = "downloading"
    VERIFYING = "verifying"
    PAUSED = "paused"
    FAILED = "failed"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileProgress:
    """How far one file is."""

    file: HubFile
    state: State
    done_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadProgress:
    """How far it is, several times a second."""

    state: State
    files: tuple[FileProgress, ...]
    done_bytes: int
    total_bytes: int
    fetched_bytes: int  # over the network, by this download
    bytes_per_second: float
    seconds_left: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrying:
    """Something failed and will be tried again."""

    file: HubFile
    reason: str
    seconds: float  # until then


@dataclass(frozen=True, slots=True, kw_only=True)
class FellBack:
    """What was wanted cannot be had; the next choice is taken."""

    wanted: str
    instead: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What will be done."""

    title: str
    plan: DownloadPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    """All files are here and verified."""

    title: str
    folders: tuple[Path, ...]  # snapshots, one per repository
    fetched_bytes: int
    seconds: float


DownloadEvent: TypeAlias = Planned | DownloadProgress | Retrying | FellBack | Downloaded


# --- download --------------------------------------------------------------------------------------------------------


def download(
    plan: DownloadPlan,
    *,
    control: Control | None = None,
    options: Options | None = None,
    disk: Disk | None = None,
    title: str = "",
) -> Iterator[DownloadEvent]:
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
) -> Iterator[DownloadEvent]:
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
        except CacheNotWritable:
            raise
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
                f"the download was stopped at {_gib(self.plan.total_bytes - self._left)} of "
                f"{_gib(self.plan.total_bytes)}: what has arrived is kept, and the next one goes on from there"
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
            seconds_left=left / speed if speed >= _SLOWEST else None,
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
            return _disk_full(self.plan.cache, self._left, _free_bytes(self.plan.cache))
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

    def waiting(self) -> None:
        self._set(State.WAITING)

    def downloading(self, there: int) -> None:
        self._set(State.DOWNLOADING, there)

    def received(self, nbytes: int) -> None:
        with self._lock:
            self.done_bytes += nbytes
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
