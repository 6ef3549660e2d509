"""What a server that was killed may have left between its files and its database, put right before work begins."""

import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.job import State
from wanvideo.jobs.queue import Queue

log = logging.getLogger(__name__)

GATHERING: Final = 2  # see `Database.turn`
HALF_VIDEO: Final = ".wan-*.part"  # as `wanvideo.media.output` names them
_AT_WORK_SECONDS: Final = 3600.0  # without a frame, after which nobody writes a half video any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was put right."""

    half_files: int  # removed
    folders: int  # of jobs that need them no more, removed
    lost: tuple[str, ...]  # jobs that succeeded, and whose video is gone


def reconcile(queue: Queue) -> Found:
    """Remove half files and folders that nobody needs; name the jobs whose videos are gone."""
    with queue.database.turn(GATHERING) as mine:
        if mine:
            queue.gather_totals()
    folder = queue.folder
    half = [path for place in (folder.thumbnails, folder.inputs) for path in place.glob("*.part")]
    half += [path for path in folder.outputs.glob(HALF_VIDEO) if _is_ours(folder, path)]
    for path in half:
        path.unlink(missing_ok=True)
    folders = 0
    for path in folder.jobs.iterdir():
        if not _is_needed(queue, path.name):
            shutil.rmtree(path, ignore_errors=True)
            folders += 1
    found = Found(half_files=len(half), folders=folders, lost=tuple(_lost(queue)))
    if found.lost:
        log.warning("the videos of %d jobs are gone from %s", len(found.lost), folder.outputs)
    return found


def _is_ours(folder: DataFolder, path: Path) -> bool:
    """In a folder of the user's choice, another program of ours may be at work."""
    return folder.chosen_outputs is None or time.time() - path.stat().st_mtime > _AT_WORK_SECONDS


def _is_needed(queue: Queue, job: str) -> bool:
    """A failed or cancelled job may be tried again from where it came to."""
    found = queue.find(job)
    return found is not None and found.state is not State.SUCCEEDED


def _lost(queue: Queue) -> Iterator[str]:
    there = queue.job_files.videos()
    for job, file in queue.files():
        if file not in there:
            yield job


def remove_drafts(folder: DataFolder, pid: int, job: str) -> None:
    """What a worker that died was writing when it did."""
    for path in (*folder.outputs.glob(f".wan-{pid}-*.part"), folder.thumbnail(job).with_suffix(".part")):
        path.unlink(missing_ok=True)
