"""What a server that was killed may have left between its files and its database, put right before work begins."""

import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from sqlalchemy import ColumnElement, select

from wanvideo.errors import WanVideoError
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.job import State
from wanvideo.jobs.queries import AT_ONCE, chunks, is_in
from wanvideo.jobs.queue import Queue
from wanvideo.jobs.storage import DRAFT
from wanvideo.jobs.tables import JOBS

log = logging.getLogger(__name__)

GATHERING: Final = 2  # see `Database.turn`
LOOKING: Final = 3
TIDYING: Final = 4
HALF: Final = ".part"
HALF_VIDEO: Final = ".wan-"  # as `wanvideo.media.output` names them, before their number and HALF
_AT_WORK_SECONDS: Final = 3600.0  # without a frame, after which nobody writes a half video any more
AFTER: Final = 10.0  # seconds, when workers have loaded what they need
REST: Final = 9.0  # times what it worked: threads of one process have one interpreter
_NAMED: Final = 20  # jobs of one line of the log


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was put right."""

    half_files: int  # removed
    folders: int  # of jobs that need them no more, removed


def reconcile(queue: Queue) -> Found:
    """Remove half files and folders that nobody needs. Nothing may be at work yet."""
    with queue.database.turn(GATHERING) as mine:
        if mine:
            queue.gather_totals()
    folder = queue.folder
    half = [path for place in (folder.thumbnails, folder.inputs) for path in (*_half(place), *place.glob(f"{DRAFT}*"))]
    half += [path for path in _half(folder.outputs, HALF_VIDEO) if _is_ours(folder, path)]
    for path in half:
        path.unlink(missing_ok=True)
    folders = 0
    for names in chunks((path.name for path in folder.jobs.iterdir()), AT_ONCE):
        # A failed or cancelled job may be tried again from where it came to.
        for name in set(names) - _those(queue, names, JOBS.c.state != str(State.SUCCEEDED)):
            shutil.rmtree(folder.jobs / name, ignore_errors=True)
            folders += 1
    return Found(half_files=len(half), folders=folders)


def _half(folder: Path, begin: str = "") -> list[Path]:
    """By their names alone: among a million files, `Path.glob` takes twice as long."""
    with os.scandir(folder) as entries:
        return [folder / each.name for each in entries if each.name.endswith(HALF) and each.name.startswith(begin)]


def _is_ours(folder: DataFolder, path: Path) -> bool:
    """In a folder of the user's choice, another program of ours may be at work."""
    return folder.chosen_outputs is None or time.time() - path.stat().st_mtime > _AT_WORK_SECONDS


def _those(queue: Queue, jobs: list[str], condition: ColumnElement[bool]) -> set[str]:
    with queue.database.read() as connection:
        return set(connection.execute(select(JOBS.c.id).where(JOBS.c.id.in_(jobs), condition)).scalars())


class Review:
    """What is looked through once, while the server works, since with a million jobs it takes a while.

    It is whether a large database is damaged, and which jobs have lost their videos.
    """

    def __init__(self, queue: Queue, *, after: float = AFTER, rest: float = REST) -> None:
        """after: seconds, from the start on. rest: times what it has worked, after which it goes on."""
        self._queue, self._after, self._rest = queue, after, rest
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run_later, name="review", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2)  # what a disk or a storage keeps it with is given up

    def _run_later(self) -> None:
        if not self._stopping.wait(self._after):
            self.run()

    def run(self) -> None:
        """On the thread of whoever calls. What is found stands in the log."""
        try:
            if self._queue.database.is_large:
                self._queue.database.check()
        except WanVideoError as error:
            log.error(error.message)
            return
        try:
            with self._queue.database.turn(LOOKING) as mine:
                found = self._lost() if mine else iter(())
                lost, others = list(islice(found, _NAMED)), sum(1 for _ in found)
        except (OSError, WanVideoError) as error:
            log.warning("whether all videos are there is not known: %s", error)
            return
        if lost:
            rest = f" and {others} others" if others else ""
            log.warning("videos are gone, of %d jobs: %s%s", len(lost) + others, ", ".join(lost), rest)

    def _lost(self) -> Iterator[str]:
        """Jobs whose videos are gone. Raises OSError, StorageFailed."""
        is_there = self._queue.job_files.finder()
        began = time.monotonic()
        for videos in self._queue.videos():
            gone = [each.job for each in videos if not is_there(each.file, each.finished)]
            if gone:
                yield from _those(self._queue, gone, is_in(State.SUCCEEDED))  # who was deleted meanwhile misses nothing
            if self._stopping.wait(self._rest * (time.monotonic() - began)):
                return
            began = time.monotonic()


def remove_drafts(folder: DataFolder, pid: int, job: str) -> None:
    """What a worker that died was writing when it did."""
    for path in (*folder.outputs.glob(f"{HALF_VIDEO}{pid}-*{HALF}"), folder.thumbnail(job).with_suffix(HALF)):
        path.unlink(missing_ok=True)
