"""Models that jobs need and that are not here are downloaded first, by the same downloads that users see."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from wanvideo.errors import ModelIncomplete, ModelMissing, WanVideoError
from wanvideo.jobs.job import Job
from wanvideo.jobs.spec import JobSpec
from wanvideo.server.catalog import Catalog
from wanvideo.server.downloads import Download, Downloads, DownloadState

ProgressOf = Callable[[int, int], None]  # bytes received, of bytes wanted
DoneWith = Callable[[Mapping[str, Any] | None], None]  # a failure, or None


class Preparing:
    """See `wanvideo.jobs.supervisor.Preparer`."""

    def __init__(self, catalog: Catalog, downloads: Downloads) -> None:
        self._catalog = catalog
        self._downloads = downloads
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[str, ProgressOf, DoneWith]] = {}  # by job; the model that it waits for

    def missing(self, spec: JobSpec) -> bool:
        entry = self._catalog.entry(spec.model)
        if entry is None or not entry.variants:
            return False
        problem = self._catalog.problem(entry, spec.variant)
        return isinstance(problem, ModelMissing | ModelIncomplete)

    def prepare(self, job: Job, progress: ProgressOf, done: DoneWith) -> Callable[[], None]:
        """Raises what there is to say about a model that cannot be downloaded."""
        with self._lock:
            self._waiting[job.id] = job.model, progress, done
        try:
            self._downloads.add(job.model, job.spec.variant)
        except WanVideoError:
            self._stop(job.id)
            raise
        return lambda: self._stop(job.id)

    def changed(self, download: Download) -> None:
        """To be called with every change of a download."""
        with self._lock:
            concerned = {job: each for job, each in self._waiting.items() if each[0] == download.model}
            if download.state.over:
                for job in concerned:
                    del self._waiting[job]
        if download.state is DownloadState.DONE:
            self._catalog.look_again()
        for _, progress, done in concerned.values():
            if download.state is DownloadState.DONE:
                done(None)
            elif download.state.over:
                done(_failure(download))
            else:
                progress(download.done_bytes, download.total_bytes or 0)

    def _stop(self, job: str) -> None:
        """The download goes on: others may want it, and its own address stops it."""
        with self._lock:
            self._waiting.pop(job, None)


def _failure(download: Download) -> Mapping[str, Any]:
    """As `wanvideo.failure.Failure.to_json` has it."""
    fault = download.fault
    message = fault.message if fault else f"the download of {download.model} was cancelled"
    return {
        "category": "download",
        "code": fault.code if fault else "DOWNLOAD_CANCELLED",
        "title": f"{download.model} could not be downloaded",
        "message": message,
        "phase": "download",
        "model": download.model,
        "kept": f"{download.done_bytes} bytes have arrived and are kept",
        "retryable": True,
        "suggestions": [
            {"text": text, "effect": "the job begins once the model is here", "change": None}
            for text in (fault.suggestions if fault else ("try the job again",))
        ],
        "facts": {"variant": download.variant, "done_bytes": download.done_bytes},
    }
