"""The files of jobs: in the data folder, and, where several machines work on one queue, in the storage that they share.

With a storage, a machine's data folder is where it works. What others need is copied there: pictures when they are
uploaded, states of jobs when they are saved, videos when they are made. Each attempt writes under names of its own, so
one that was given up long ago, and does not know it, destroys nothing of its successor.
"""

import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from wanvideo.errors import StorageFailed
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.job import Job
from wanvideo.jobs.spec import JobSpec
from wanvideo.jobs.storage import Storage, fetch

log = logging.getLogger(__name__)

_STATE: Final = re.compile(r"jobs/[0-9a-z]{8,40}/(?P<attempt>[0-9]{1,9})/(?P<file>[^/]+)")
_ABANDONED: Final = 86_400.0  # seconds without a byte, or, in S3, since the first one
_CLOCKS: Final = 3600.0  # seconds, by which those of several machines differ at most


@dataclass(frozen=True, slots=True)
class Files:
    """Of one machine. Errors are those of `wanvideo.jobs.storage.Storage`."""

    folder: DataFolder
    shared: Storage | None = None  # None: all is in the folder, and there is nothing to copy

    # --- what is read ------------------------------------------------------------------------------------------------

    def picture(self, name: str) -> Path:
        """Where a picture is on this machine, if there is one at all."""
        return self._here(f"inputs/{name}", self.folder.inputs / name)

    def thumbnail(self, job: str) -> Path:
        path = self.folder.thumbnail(job)
        return self._here(f"thumbnails/{path.name}", path)

    def video(self, name: str) -> Path:
        """Where a video lies, or lay, if it is on this machine."""
        return self.folder.outputs / Path(name).name

    def video_bytes(self, name: str) -> int | None:
        """Of a video that is in the storage alone; None: it is not."""
        found = None if self.shared is None else self.shared.stat(f"outputs/{Path(name).name}")
        return None if found is None else found.bytes

    def read_video(self, name: str, first: int, count: int) -> Iterator[bytes]:
        """From the storage."""
        assert self.shared is not None, "only what is in a storage has no path"
        return self.shared.read(f"outputs/{Path(name).name}", first, count)

    def finder(self) -> Callable[[str, float], bool]:
        """What says of many videos whether they are there, by their names and the times at which they were made.

        A storage is listed now, once: to ask for each of a million takes hours. Those that may be newer are asked for.
        """
        if self.shared is None:
            return lambda name, _: self.video(name).is_file()
        shared, late = self.shared, time.time() - _CLOCKS
        listed = frozenset(found.name for found in shared.list("outputs/"))

        def is_there(name: str, made: float) -> bool:
            stored = f"outputs/{Path(name).name}"
            return stored in listed or (made > late and shared.stat(stored) is not None)

        return is_there

    # --- what an attempt needs and makes -----------------------------------------------------------------------------

    def share_picture(self, name: str) -> None:
        """Also to say that it is used: see `old_pictures`."""
        if self.shared is not None:
            self.shared.put(f"inputs/{name}", self.folder.inputs / name)

    def old_pictures(self, seconds: float) -> list[str]:
        """Of the storage: those that nobody shared so lately."""
        if self.shared is None:
            return []
        before = time.time() - seconds
        found = self.shared.list("inputs/")
        return [each.name.removeprefix("inputs/") for each in found if each.changed < before]

    def remove_picture(self, name: str) -> None:
        """Of the storage."""
        if self.shared is not None:
            self.shared.delete(f"inputs/{name}")

    def prepare(self, job: Job) -> Path:
        """The folder of an attempt, with what the last one kept, and its pictures in place."""
        where = self.folder.job(job.id)
        where.mkdir(parents=True, exist_ok=True)
        if self.shared is not None:
            for name in _pictures(job.spec):
                self.picture(name)
            self._fetch_state(self.shared, job.id, where)
        return where

    def save(self, job: Job) -> None:
        """What an attempt has just kept; that it cannot be stored elsewhere costs steps at worst."""
        if self.shared is None:
            return
        for path in _plain_files(self.folder.job(job.id)):
            # The worker goes on saving: what is stored is one of its states, and not the beginning of one and the end
            # of the next.
            copy = path.with_name(f".{secrets.token_hex(8)}.part")
            try:
                os.link(path, copy)
                self.shared.put(f"jobs/{job.id}/{job.attempt}/{path.name}", copy)
            except (OSError, StorageFailed) as error:
                log.warning("the state of job %s is kept on this machine alone: %s", job.id, error)
            finally:
                copy.unlink(missing_ok=True)

    def publish(self, job: Job, result: Mapping[str, Any]) -> Mapping[str, Any]:
        """Put what an attempt has made where all find it; the result, with the name that it has there."""
        if self.shared is None:
            return result
        made = self.video(str(result["file"]))
        name = made.name if job.attempt == 1 else f"{made.stem}-{job.attempt}{made.suffix}"
        self.shared.put(f"outputs/{name}", made)
        thumbnail = self.folder.thumbnail(job.id)
        if thumbnail.is_file():
            self.shared.put(f"thumbnails/{thumbnail.name}", thumbnail)
        return {**result, "file": name}

    def withdraw(self, result: Mapping[str, Any]) -> None:
        """What was published by an attempt that does not count: no other one has used its name."""
        if self.shared is not None:
            self._delete(self.shared, (f"outputs/{result['file']}",))

    def leave(self, job: Job) -> None:
        """An attempt is over here, and another machine may have the next one: nothing of it stays."""
        if self.shared is None:
            return
        shutil.rmtree(self.folder.job(job.id), ignore_errors=True)
        self.folder.thumbnail(job.id).unlink(missing_ok=True)
        for path in self.folder.outputs.glob(f"*{job.id[:12]}*"):
            path.unlink(missing_ok=True)

    # --- what goes ---------------------------------------------------------------------------------------------------

    def remove_state(self, job: str) -> None:
        """Of a job that has made its video, or is forgotten."""
        shutil.rmtree(self.folder.job(job), ignore_errors=True)
        if self.shared is not None:
            with _as_far_as_possible():
                self.shared.clear(f"jobs/{self.folder.job(job).name}/")

    def remove_video(self, job: str, name: str) -> None:
        """With its thumbnail."""
        self.video(name).unlink(missing_ok=True)
        thumbnail = self.folder.thumbnail(job)
        thumbnail.unlink(missing_ok=True)
        if self.shared is not None:
            self._delete(self.shared, (f"outputs/{Path(name).name}", f"thumbnails/{thumbnail.name}"))

    def remove_drafts(self) -> int:
        """Of the storage: what machines that died were about to put there, so long ago that none goes on."""
        return 0 if self.shared is None else self.shared.remove_drafts(_ABANDONED)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _here(self, name: str, path: Path) -> Path:
        """Fetched if it is in the storage alone."""
        if self.shared is not None and not path.is_file():
            fetch(self.shared, name, path)
        return path

    def _fetch_state(self, shared: Storage, job: str, where: Path) -> None:
        """Of the last attempt that kept something; what is on this machine may be older."""
        kept = [found for name in self._kept(shared, job) if (found := _STATE.fullmatch(name))]
        newest = max((int(found["attempt"]) for found in kept), default=None)
        for found in kept:
            if int(found["attempt"]) == newest:
                fetch(shared, found.string, where / found["file"])

    def _kept(self, shared: Storage, job: str) -> Iterator[str]:
        """Names of what all attempts of a job have kept."""
        yield from (found.name for found in shared.list(f"jobs/{self.folder.job(job).name}/"))

    def _delete(self, shared: Storage, names: Iterable[str]) -> None:
        with _as_far_as_possible():
            for name in names:
                shared.delete(name)


@contextmanager
def _as_far_as_possible() -> Iterator[None]:
    """What cannot be reached now stays, and is of no more use to anybody."""
    try:
        yield
    except StorageFailed as error:
        log.warning("files of a job stay in the storage: %s", error.message)


def _pictures(spec: JobSpec) -> Iterator[str]:
    for name in (spec.request.image, spec.request.end_image):
        if name is not None:
            yield Path(str(name)).name


def _plain_files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
