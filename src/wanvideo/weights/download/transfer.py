"""One file from a hub into the cache: ranged, by several connections, resumed where it stopped, hashed, published.

A file is published under its final name only when its hash is right; until then it lies beside it as a part with a
journal. The hash is computed from the beginning, right behind the connections, while what they wrote is still in
memory: there is no second pass over the network, and over the disk only for what an earlier process fetched.
"""

import logging
import os
import random
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from filelock import FileLock, Timeout

from wanvideo.errors import CacheNotWritable, DownloadHashMismatch, DownloadUnreachable
from wanvideo.weights.download.cache import RepositoryCache, existing, repository, size
from wanvideo.weights.download.client import Body, HubClient, RangesIgnored, TryAgain
from wanvideo.weights.download.control import Gate
from wanvideo.weights.download.disk import Disk, boot
from wanvideo.weights.download.hashing import digest_of, hasher
from wanvideo.weights.download.hub import HubFile
from wanvideo.weights.download.journal import Journal, Segment, arrived

log = logging.getLogger(__name__)

_BLOCK_BYTES: Final = 4 << 20  # hashed at once
_TICK_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """When to give up. What counts is failures in a row: a line that breaks all the time, and moves, is fine."""

    attempts: int = 12  # five minutes, if they fail at once
    first_seconds: float = 0.5  # doubled every time, less some chance, so that many clients do not come at once
    longest_seconds: float = 60.0
    stall_seconds: float = 30.0  # without a byte, the connection is given up

    def pause_after(self, failures: int, asked: float | None) -> float:
        """Seconds before the next attempt; a server may ask for more."""
        own = min(self.longest_seconds, self.first_seconds * 2.0 ** (failures - 1)) * random.uniform(0.5, 1.0)
        return own if asked is None else max(asked, own * 0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How much at once."""

    patience: Patience = field(default_factory=Patience)
    connections: int = 8  # at most, of all files together
    connections_per_file: int = 4
    files: int = 3  # at once
    segment_bytes: int = 64 << 20
    commit_bytes: int = 64 << 20  # of each file, at most lost in a power failure; a killed process loses none of them
    tick_seconds: float = 0.2  # between two events of progress


class Watcher(Protocol):
    """Who hears about one file. Called from several threads."""

    def waiting(self, there: int) -> None:
        """Another process is at it, and has brought it to `there` bytes."""

    def downloading(self, there: int) -> None:
        """`there` bytes are on disk already, and the others are being fetched."""

    def received(self, nbytes: int) -> None:
        """That many bytes more; less than 0 if some have to come again."""

    def verifying(self, there: int) -> None:
        """All is on disk, and is being hashed."""

    def retrying(self, reason: str, seconds: float) -> None:
        """It goes on after a pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What fetching one file takes."""

    file: HubFile
    cache: Path
    client: HubClient
    options: Options
    lanes: threading.Semaphore  # one for each connection that may be open
    gate: Gate
    watcher: Watcher
    disk: Disk

    @property
    def where(self) -> RepositoryCache:
        return repository(self.cache, self.file.repo_id)


def obtain(transfer: Transfer, twin: Path | None = None) -> Path:
    """Where the file lies, now whole and verified by its hash: what is there already, the same bytes from elsewhere on
    this computer (`twin`), or fetched.

    Only one process fetches a file; the others wait and get what it fetched. Raises DownloadError, OSError where the
    disk does not take it, and Stopped.
    """
    file, where = transfer.file, transfer.where
    with _alone(where.lock(file.digest), transfer):
        there = existing(transfer.cache, file)
        if there is not None and _is_right(transfer, there):
            return there
        if twin is None or not _take_over(transfer, twin):
            _fetch(transfer)
    return where.blob(file.digest)


def _is_right(transfer: Transfer, path: Path) -> bool:
    """Whether what some program put there is what it should be; it is removed if it is not."""
    file = transfer.file
    transfer.watcher.verifying(file.nbytes)
    if digest_of(path, file.hash_kind, lambda _: transfer.gate.check()) == file.digest:
        return True
    transfer.watcher.retrying(f"{path} does not have the bytes of {file}: it is fetched again", 0.0)
    path.unlink()
    return False


def _take_over(transfer: Transfer, twin: Path) -> bool:
    """Use the bytes of `twin`, linked, or copied where links are impossible; False if they are not the same."""
    file, where, disk = transfer.file, transfer.where, transfer.disk
    transfer.watcher.verifying(file.nbytes)
    if digest_of(twin, file.hash_kind, lambda _: transfer.gate.check()) != file.digest:
        return False
    _discard(where, file)
    if disk.link(twin.resolve(), where.blob(file.digest)):
        return True
    if not _copy(twin, where.part(file.digest), transfer):
        return False
    disk.replace(where.part(file.digest), where.blob(file.digest))
    return True


def _fetch(transfer: Transfer) -> None:
    """From the hub. Bytes that are wrong are thrown away, and wanted once more."""
    file, where = transfer.file, transfer.where
    if _fill(transfer) != file.digest:
        _discard(where, file)
        transfer.watcher.retrying(f"{file} came with a wrong hash: once more from the beginning", 0.0)
        if _fill(transfer) != file.digest:
            _discard(where, file)
            raise DownloadHashMismatch(
                f"{file} came twice with a hash that is not {file.digest[:12]}...: the server or something on the way "
                "changes it, so use another mirror or network",
                facts={"file": file.path, "repo_id": file.repo_id, "digest": file.digest},
            )
    transfer.disk.replace(where.part(file.digest), where.blob(file.digest))
    where.journal(file.digest).unlink(missing_ok=True)


def missing_bytes(cache: Path, file: HubFile) -> int:
    """Of a file that is not there yet, what still has to be fetched."""
    where = repository(cache, file.repo_id)
    there = arrived(where.journal(file.digest), digest=file.digest, nbytes=file.nbytes, boot=boot())
    return file.nbytes - (there if size(where.part(file.digest)) is not None else 0)


def _copy(source: Path, part: Path, transfer: Transfer) -> bool:
    """Whether the copy has the right hash."""
    value = hasher(transfer.file.hash_kind, transfer.file.nbytes)
    with source.open("rb") as original, _opened(part, transfer.disk) as descriptor:
        offset = 0
        while block := original.read(_BLOCK_BYTES):
            transfer.gate.check()
            transfer.disk.write(descriptor, block, offset)
            value.update(block)
            offset += len(block)
        transfer.disk.sync(descriptor)
    return value.hexdigest() == transfer.file.digest


def _discard(where: RepositoryCache, file: HubFile) -> None:
    """The journal first: it must not vouch for a part that is gone."""
    where.journal(file.digest).unlink(missing_ok=True)
    where.part(file.digest).unlink(missing_ok=True)


@contextmanager
def _alone(lock: FileLock, transfer: Transfer) -> Iterator[None]:
    """Hold the lock of the blob; wait for it as long as it takes."""
    while True:
        transfer.gate.check()
        try:
            lock.acquire(timeout=0.1)
            break
        except Timeout:
            transfer.watcher.waiting(transfer.file.nbytes - missing_bytes(transfer.cache, transfer.file))
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _opened(path: Path, disk: Disk) -> Iterator[int]:
    descriptor = disk.open(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _fill(transfer: Transfer) -> str:
    """Bring the part to its full length; its hash."""
    try:
        return _fill_by(transfer)
    except RangesIgnored:
        log.info("%s: the server sends it only in one piece", transfer.file)
    _discard(transfer.where, transfer.file)
    try:
        return _fill_by(transfer, in_one_piece=True)
    except RangesIgnored:
        raise DownloadUnreachable(
            f"{transfer.file}: the server sends neither parts of it nor the whole: use another mirror"
        ) from None


def _fill_by(transfer: Transfer, *, in_one_piece: bool = False) -> str:
    file, where, disk = transfer.file, transfer.where, transfer.disk
    if size(where.part(file.digest)) is None or size(where.journal(file.digest)) is None:
        _discard(where, file)  # each is worth nothing without the other
    with (
        _opened(where.part(file.digest), disk) as descriptor,
        Journal.open(
            where.journal(file.digest),
            disk=disk,
            digest=file.digest,
            nbytes=file.nbytes,
            segment_bytes=max(transfer.options.segment_bytes, file.nbytes if in_one_piece else 1),
            boot=boot(),
        ) as journal,
    ):
        if os.fstat(descriptor).st_size < journal.reach:
            journal.forget()
        transfer.watcher.downloading(journal.arrived)
        return _Filling(transfer, journal, descriptor, in_one_piece=in_one_piece).run()


class _Filling:
    """The connections that write a part, and the hash that follows them."""

    def __init__(self, transfer: Transfer, journal: Journal, descriptor: int, *, in_one_piece: bool) -> None:
        self._transfer = transfer
        self._in_one_piece = in_one_piece
        self._journal = journal
        self._descriptor = descriptor
        self._todo = deque(s for s in journal.segments if journal.written[s.index] < s.nbytes)
        self._over = threading.Event()
        self._moved = threading.Event()  # something arrived
        self._lock = threading.Lock()  # of the two below
        self._bodies = set[Body]()
        self._uncommitted = 0

    def run(self) -> str:
        """The hash of the whole part, which is then on disk."""
        workers = min(self._transfer.options.connections_per_file, len(self._todo))
        with ThreadPoolExecutor(max(workers, 1), thread_name_prefix="transfer") as pool:
            futures = [pool.submit(self._work) for _ in range(workers)]
            try:
                digest = self._hash_behind(futures)
                self._transfer.disk.sync(self._descriptor)
                return digest
            except BaseException:
                self._over.set()
                self._abort()
                for future in futures:
                    future.cancel()
                with suppress(OSError):  # on a full disk, what was committed before is what counts
                    self._journal.commit(self._descriptor)
                raise

    # --- the hash, in the thread that called ----------------------------------------------------------------------

    def _hash_behind(self, futures: list["Future[None]"]) -> str:
        transfer, journal = self._transfer, self._journal
        value = hasher(transfer.file.hash_kind, transfer.file.nbytes)
        hashed, verifying = 0, False
        while hashed < transfer.file.nbytes:
            self._look_after(futures)
            front = journal.front
            if front == transfer.file.nbytes and not verifying:
                verifying = True
                transfer.watcher.verifying(front)
            if hashed < front:
                block = os.pread(self._descriptor, min(front - hashed, _BLOCK_BYTES), hashed)
                if not block:
                    raise CacheNotWritable(f"{transfer.file}: its part was cut while it was written: leave it alone")
                value.update(block)
                hashed += len(block)
            else:
                self._moved.wait(_TICK_SECONDS)
                self._moved.clear()
        return value.hexdigest()

    def _look_after(self, futures: list["Future[None]"]) -> None:
        """Raise what a connection has failed with, obey the gate, and put on disk what has come."""
        for future in futures:
            if future.done():
                future.result()
        if self._transfer.gate.interrupted:
            self._abort()
            self._journal.commit(self._descriptor)
            self._transfer.gate.check()
        with self._lock:
            due = self._uncommitted >= self._transfer.options.commit_bytes
            self._uncommitted = 0 if due else self._uncommitted
        if due:
            self._journal.commit(self._descriptor)

    def _abort(self) -> None:
        with self._lock:
            for body in self._bodies:
                body.abort()

    # --- the connections, in threads of their own -------------------------------------------------------------------

    def _work(self) -> None:
        while not self._over.is_set():
            try:
                segment = self._todo.popleft()
            except IndexError:
                return
            self._bring(segment)

    def _bring(self, segment: Segment) -> None:
        """All of the segment, however often the connection breaks. Raises DownloadError, RangesIgnored and Stopped."""
        failures, best = 0, self._journal.written[segment.index]
        while self._journal.written[segment.index] < segment.nbytes and not self._over.is_set():
            self._transfer.gate.check()
            try:
                with self._transfer.lanes:
                    self._stream(segment)
            except TryAgain as failure:
                if self._over.is_set() or self._transfer.gate.interrupted:
                    continue
                failures = 1 if self._journal.written[segment.index] > best else failures + 1
                best = max(best, self._journal.written[segment.index])
                if failures >= self._transfer.options.patience.attempts:
                    raise failure.error from failure
                pause = self._transfer.options.patience.pause_after(failures, failure.after)
                self._transfer.watcher.retrying(failure.error.message, pause)
                self._transfer.gate.sleep(pause)

    def _stream(self, segment: Segment) -> None:
        """What is missing of the segment, as far as one connection brings it."""
        if self._in_one_piece and self._journal.written[segment.index]:
            self._transfer.watcher.received(-self._journal.written[segment.index])
            self._journal.advance(segment, 0)
        offset = segment.start + self._journal.written[segment.index]
        with self._transfer.client.open(self._transfer.file, offset, segment.end) as body, self._abortable(body):
            for chunk in body.chunks():
                room = segment.end - offset
                if not room:
                    return
                self._transfer.disk.write(self._descriptor, chunk[:room], offset)
                offset += len(chunk[:room])
                self._journal.advance(segment, offset - segment.start)
                self._arrived(len(chunk[:room]))
                if self._over.is_set() or self._transfer.gate.interrupted:
                    return
        if offset < segment.end:
            raise TryAgain(DownloadUnreachable(f"{self._transfer.file}: the connection ended too early"))

    @contextmanager
    def _abortable(self, body: Body) -> Iterator[None]:
        with self._lock:
            self._bodies.add(body)
        try:
            yield
        finally:
            with self._lock:
                self._bodies.discard(body)

    def _arrived(self, nbytes: int) -> None:
        self._transfer.watcher.received(nbytes)
        with self._lock:
            self._uncommitted += nbytes
        self._moved.set()
