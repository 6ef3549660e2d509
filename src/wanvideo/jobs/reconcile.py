"""What a server that was killed may have left between its files and its database, put right before work begins."""

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from wanvideo.errors import DataFolderInUse
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.job import State
from wanvideo.jobs.queries import Filter
from wanvideo.jobs.queue import Queue

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was put right."""

    half_files: int  # removed
    folders: int  # of jobs that need them no more, removed
    lost: tuple[str, ...]  # jobs that succeeded, and whose video is gone


@contextmanager
def locked(folder: DataFolder) -> Iterator[None]:
    """Keep other servers out of the data folder. Raises DataFolderInUse, which says whose it is."""
    folder.make()
    with folder.lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            owner = file.read(40).strip() or "unknown"
            raise DataFolderInUse(
                f"{folder.root} is in use by another server (process {owner}): stop that one, or choose another folder "
                "with --data-dir",
                facts={"pid": owner},
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def reconcile(queue: Queue) -> Found:
    """Remove half files and folders that nobody needs; name the jobs whose videos are gone."""
    folder = queue.folder
    half = [path for place in (folder.outputs, folder.thumbnails, folder.inputs) for path in place.glob("*.part")]
    half += [path for place in (folder.outputs, folder.inputs) for path in place.glob(".*.part")]
    for path in half:
        path.unlink(missing_ok=True)
    folders = 0
    for path in folder.jobs.iterdir():
        if not _is_needed(queue, path.name):
            shutil.rmtree(path, ignore_errors=True)
            folders += 1
    found = Found(half_files=len(set(half)), folders=folders, lost=tuple(_lost(queue)))
    if found.lost:
        log.warning("the videos of %d jobs are gone from %s", len(found.lost), folder.outputs)
    return found


def _is_needed(queue: Queue, job: str) -> bool:
    """A failed or cancelled job may be tried again from where it came to."""
    found = queue.find(job)
    return found is not None and found.state is not State.SUCCEEDED


def _lost(queue: Queue) -> Iterator[str]:
    there = {path.name for path in queue.folder.outputs.iterdir()}
    cursor: str | None = None
    while True:
        page = queue.page(Filter(states=frozenset({State.SUCCEEDED})), limit=500, cursor=cursor)
        for job in page.jobs:
            if job.result is not None and str(job.result.get("file")) not in there:
                yield job.id
        if (cursor := page.next) is None:
            return
