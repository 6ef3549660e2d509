"""What jobs need and what is not here is fetched first: LoRAs from the storage that machines share, and models by the
same downloads that users see.
"""

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from wanvideo.errors import ModelIncomplete, ModelMissing, StorageFailed, WanVideoError
from wanvideo.failure import Suggestion, failure, failure_of
from wanvideo.jobs.job import Job
from wanvideo.jobs.spec import JobSpec
from wanvideo.server.catalog import Catalog
from wanvideo.server.downloads import Download, Downloads, DownloadState, Fault
from wanvideo.server.shared_loras import SharedLoras

log = logging.getLogger(__name__)

_GIB: Final = 2**30
ProgressOf = Callable[[int, int], None]  # bytes received, of bytes wanted
DoneWith = Callable[[Mapping[str, Any] | None], None]  # a failure, or None


class Preparing:
    """See `wanvideo.jobs.fetching.Preparer`."""

    def __init__(self, catalog: Catalog, downloads: Downloads, loras: SharedLoras, *, host: str | None = None) -> None:
        """host: whose this is, to be told of what fails; None: there is one alone."""
        self._catalog = catalog
        self._downloads = downloads
        self._loras = loras
        self._host = host
        self._lock = threading.Lock()
        # By job and attempt: one that was cancelled and tried again waits anew. The model that it waits for.
        self._waiting: dict[tuple[str, int], tuple[str, ProgressOf, DoneWith]] = {}

    def missing(self, spec: JobSpec) -> bool:
        return bool(self._lacking(spec)) or self._model_is_missing(spec)

    def _lacking(self, spec: JobSpec) -> tuple[str, ...]:
        """LoRAs. A storage that does not answer is waited for where a job's other files are asked of it."""
        try:
            return self._loras.missing(spec)
        except StorageFailed:
            return ()

    def _model_is_missing(self, spec: JobSpec) -> bool:
        entry = self._catalog.entry(spec.model)
        if entry is None or not entry.variants:
            return False
        problem = self._catalog.problem(entry, spec.variant)
        return isinstance(problem, ModelMissing | ModelIncomplete)

    def at_hand(self) -> Collection[str]:
        here = {model for model, each in self._catalog.presences().items() if each.ready}
        coming = (DownloadState.WAITING, DownloadState.DOWNLOADING, DownloadState.VERIFYING)
        return here.union(each.model for each in self._downloads.list() if each.state in coming)

    def prepare(self, job: Job, progress: ProgressOf, done: DoneWith) -> Callable[[bool], None]:
        """Raises what there is to say about a model that cannot be downloaded."""
        if lacking := self._lacking(job.spec):
            return self._fetch(job, lacking, progress, done)
        with self._lock:
            self._waiting[job.id, job.attempt] = job.model, progress, done
        try:
            self._downloads.add(job.model, job.spec.variant, for_job=True)
        except WanVideoError:
            self._stop(job, wanted=True)
            raise
        return lambda wanted: self._stop(job, wanted=wanted)

    def _fetch(self, job: Job, names: tuple[str, ...], progress: ProgressOf, done: DoneWith) -> Callable[[bool], None]:
        """LoRAs, on a thread of its own. The job then waits again, and what else it lacks is seen to."""
        given_up = threading.Event()

        def work() -> None:
            ended = None
            try:
                self._loras.fetch(names, progress, given_up)
            except Exception as error:  # whatever it is, the job must not wait for ever
                log.exception("LoRAs of job %s cannot be fetched", job.id)
                told = failure_of(error, phase="download", model=job.model).to_json()
                ended = told if self._host is None else {**told, "message": f"{self._host}: {told['message']}"}
            if not given_up.is_set():
                done(ended)

        threading.Thread(target=work, name="shared-loras", daemon=True).start()
        return lambda _: given_up.set()

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
                done(_failure(download, self._host))
            else:
                progress(download.done_bytes, download.total_bytes or 0)

    def _stop(self, job: Job, *, wanted: bool) -> None:
        """The job waits no more. What it alone wanted ends as well, and what has arrived is kept."""
        with self._lock:
            self._waiting.pop((job.id, job.attempt), None)
            others = any(model == job.model for model, *_ in self._waiting.values())
        download = self._downloads.get(job.model)
        if not wanted and not others and download is not None and download.for_job:
            self._downloads.cancel(job.model)


def _failure(download: Download, host: str | None) -> Mapping[str, Any]:
    """As `wanvideo.failure.Failure.to_json` has it."""
    fault = download.fault or Fault(
        code="DOWNLOAD_CANCELLED", message=f"the download of {download.model} was cancelled"
    )
    advice = [Suggestion(text=text, effect="the job begins once the model is here") for text in fault.suggestions]
    kept, total = download.done_bytes, download.total_bytes
    of_all = f" of {total / _GIB:.1f}" if total else ""
    message = fault.message if host is None else f"{host}: {fault.message}"
    return failure(
        fault.code, message, phase="download", model=download.model, suggestions=advice,
        kept=f"{kept / _GIB:.1f}{of_all} GiB have arrived and are kept" if kept else None,
        facts={"variant": download.variant, "done_bytes": kept, "total_bytes": total},
    ).to_json()  # fmt: skip
