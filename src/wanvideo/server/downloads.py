"""Downloads of models: one child process that transfers, and here the list of what is wanted, which outlives restarts.

The child (wanvideo.weights.download.process) may be killed at any time: it is started again and goes on from the bytes
that have arrived. What is wanted, paused or first in line stands in one JSON file.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Any, Final

import structlog

from wanvideo.errors import WanVideoError
from wanvideo.failure import without_folders
from wanvideo.families.obtain import Offer, files_of
from wanvideo.server.errors import Conflict, NotFound
from wanvideo.server.limits import read_json, write_json
from wanvideo.weights.download.hub import Hub
from wanvideo.weights.places import Places
from wanvideo.weights.survey import files_at_hand

log = structlog.stdlib.get_logger(__name__)

AT_ONCE: Final = 1  # each uses the whole line already
COMMAND: Final = (sys.executable, "-m", "wanvideo.weights.download.process")
_RESTARTS: Final = 5  # of the child, in a row without a byte
_RESTART_SECONDS: Final = 1.0


class DownloadState(StrEnum):
    WAITING = "waiting"  # for its turn
    DOWNLOADING = "downloading"
    VERIFYING = "verifying"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        return self in (DownloadState.DONE, DownloadState.FAILED, DownloadState.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a download failed."""

    code: str
    message: str
    suggestions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """One model on its way, or the last time it was."""

    model: str
    variant: str
    reason: str  # for the variant
    state: DownloadState = DownloadState.WAITING
    priority: int = 0  # more goes first
    for_job: bool = False  # nobody but jobs has asked for it
    title: str = ""  # the variant and the hub that it comes from
    done_bytes: int = 0
    total_bytes: int | None = None
    fetched_bytes: int = 0  # over the network
    bytes_per_second: float = 0.0
    seconds_left: float | None = None
    retries: int = 0
    note: str | None = None  # the last thing that went wrong and was tried again, or fell back
    fault: Fault | None = None
    added: float  # seconds since 1970
    changed: float

    @property
    def percent(self) -> float:
        if self.state is DownloadState.DONE:
            return 100.0
        return round(100 * self.done_bytes / self.total_bytes, 1) if self.total_bytes else 0.0


Changed = Callable[[Download | None, Download], None]  # as it was (None: new) and as it is; called on any thread
Offering = Callable[[str, str | None], Offer]  # of a model's id and a variant


class Downloads:
    """What is wanted, and who fetches it. Thread-safe."""

    def __init__(
        self,
        file: Path,
        places: Places,
        hubs: Sequence[Hub],
        offer: Offering,
        *,
        command: Sequence[str] = COMMAND,
        jobs_ask_again: bool = False,
    ) -> None:
        """jobs_ask_again: what jobs wanted is not gone on with by itself, since another machine may have them now."""
        self._file = file
        self._places = places
        self._hubs = hubs
        self._offer = offer
        self._subscribers: list[Changed] = []
        self._command, self._jobs_ask_again = command, jobs_ask_again
        self._lock = threading.RLock()
        self._wanted: dict[str, Download] = {}
        self._running: dict[str, str] = {}  # id in the child -> model
        self._numbers = count(1)
        self._child: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._restarts = 0
        self._stopping = False

    # --- from outside ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Go on with what was wanted when the server stopped."""
        with self._lock:
            found = _read(self._file)
            self._wanted = {each.model: each for each in found if not (each.for_job and self._jobs_ask_again)}
            self._dispatch()

    @property
    def pid(self) -> int | None:
        """Of the child; None: nothing had to be fetched yet."""
        with self._lock:
            return None if self._child is None else self._child.pid

    def subscribe(self, subscriber: Changed) -> None:
        """To be told every change, on whatever thread makes it."""
        self._subscribers.append(subscriber)

    def stop(self) -> None:
        """What has arrived is kept."""
        with self._lock:
            self._stopping = True
            child, reader = self._child, self._reader
        if child is not None and child.stdin is not None:
            with suppress(OSError):
                child.stdin.close()  # at the end of its input, the child stops everything
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if reader is not None:
            reader.join(5)

    def list(self) -> tuple[Download, ...]:
        """The newest first."""
        with self._lock:
            return tuple(sorted(self._wanted.values(), key=lambda each: each.added, reverse=True))

    def get(self, model: str) -> Download | None:
        with self._lock:
            return self._wanted.get(model)

    def known(self, model: str) -> Download:
        """Raises NotFound."""
        with self._lock:
            return self._known(model)

    def add(self, model: str, variant: str | None = None, *, priority: int = 0, for_job: bool = False) -> Download:
        """Download a model; what is on its way already is left alone. Raises what `offer` raises.

        for_job: a job needs it, and without that nobody may.
        """
        with self._lock:
            known = self._wanted.get(model)
            if known is not None and not known.state.over and variant in (None, known.variant):
                return known if for_job or not known.for_job else self._put(replace(known, for_job=False))
            if known is not None and not known.state.over:
                raise Conflict(f"{model} is being downloaded as {known.variant}: cancel that first")
            offered = self._offer(model, variant)
            now = time.time()
            download = Download(
                model=model,
                variant=offered.variant.id,
                reason=offered.reason,
                priority=priority,
                for_job=for_job,
                total_bytes=offered.nbytes,
                added=now,
                changed=now,
            )
            self._put(download)
            self._dispatch()
            return self._wanted[model]

    def pause(self, model: str) -> Download:
        return self._steer(model, "pause", DownloadState.PAUSED)

    def resume(self, model: str) -> Download:
        """Also of one that failed or was cancelled: it goes on from what has arrived."""
        with self._lock:
            known = self._known(model)
            if known.state.over:
                return self.add(model, known.variant, priority=known.priority)
            if known.state is not DownloadState.PAUSED:
                return known
            running = self._id_of(model)
            if running is not None:
                self._send({"do": "resume", "id": running})
            download = self._put(replace(known, state=DownloadState.WAITING))
            self._dispatch()
            return download

    def cancel(self, model: str) -> Download:
        return self._steer(model, "cancel", DownloadState.CANCELLED)

    def prioritise(self, model: str, priority: int) -> Download:
        """More goes first, among those that wait."""
        with self._lock:
            return self._put(replace(self._known(model), priority=priority))

    # --- inside ------------------------------------------------------------------------------------------------------

    def _known(self, model: str) -> Download:
        known = self._wanted.get(model)
        if known is None:
            raise NotFound(f"{model} is not being downloaded", facts={"model": model})
        return known

    def _steer(self, model: str, action: str, state: DownloadState) -> Download:
        with self._lock:
            known = self._known(model)
            if known.state.over or known.state is state:
                return known
            running = self._id_of(model)
            if running is not None:
                self._send({"do": action, "id": running})
                if state.over:
                    del self._running[running]
            download = self._put(replace(known, state=state, bytes_per_second=0.0, seconds_left=None))
            self._dispatch()
            return download

    def _id_of(self, model: str) -> str | None:
        return next((name for name, each in self._running.items() if each == model), None)

    def _dispatch(self) -> None:
        """Start what comes next, if nothing else uses the line."""
        if self._stopping:
            return
        busy = [model for model in self._running.values() if self._wanted[model].state is not DownloadState.PAUSED]
        waiting = [each for each in self._wanted.values() if each.state is DownloadState.WAITING]
        waiting = [each for each in waiting if each.model not in self._running.values()]
        waiting.sort(key=lambda each: (-each.priority, each.added))
        for download in waiting[: max(0, AT_ONCE - len(busy))]:
            self._begin(download)

    def _begin(self, download: Download) -> None:
        try:
            offered = self._offer(download.model, download.variant)
        except WanVideoError as error:  # a variant that an update of this program no longer has
            self._put(replace(download, state=DownloadState.FAILED, fault=self._fault(error)))
            return
        name = f"{download.model}#{next(self._numbers)}"
        self._running[name] = download.model
        self._put(replace(download, state=DownloadState.DOWNLOADING, fault=None))
        self._send(
            {
                "do": "download",
                "id": name,
                "cache": str(self._places.hub_cache),
                "at_hand": [str(path) for path in files_at_hand(self._places)],
                "choices": [_choice(offered, variant, hub) for variant in offered.variants for hub in self._hubs],
            }
        )

    def _send(self, request: Mapping[str, object]) -> None:
        child = self._child
        if child is None or child.poll() is not None:
            child = self._start_child()
        assert child.stdin is not None
        try:
            child.stdin.write(json.dumps(request) + "\n")
            child.stdin.flush()
        except OSError:
            log.warning("the downloader does not listen; it is started again")  # by the reader, at its end

    def _start_child(self) -> "subprocess.Popen[str]":
        child = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for the server, which ends the child in its turn
        )
        self._child = child
        self._reader = threading.Thread(target=self._read, args=(child,), name="downloads", daemon=True)
        self._reader.start()
        return child

    def _read(self, child: "subprocess.Popen[str]") -> None:
        """Follow one child to its end; if that was not asked for, begin again."""
        assert child.stdout is not None
        with child.stdout as lines:
            for line in lines:
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                self._take(event)
        child.wait()
        with self._lock:
            if child.stdin is not None:
                with suppress(OSError):  # of what it never read
                    child.stdin.close()
            if self._stopping or self._child is not child:
                return
            self._child = None
            self._restart()

    def _restart(self) -> None:
        interrupted = [self._wanted[model] for model in self._running.values()]
        self._running.clear()
        self._restarts += 1
        log.warning("the downloader ended by itself", restarts=self._restarts)
        for download in interrupted:
            if download.state is DownloadState.PAUSED:
                continue
            if self._restarts > _RESTARTS:
                message = f"the downloader ended {self._restarts} times without a byte: the log says why"
                fault = Fault(code="DOWNLOAD_FAILED", message=message)
                self._put(replace(download, state=DownloadState.FAILED, fault=fault))
            else:
                self._put(replace(download, state=DownloadState.WAITING))
        timer = threading.Timer(_RESTART_SECONDS, self._dispatch_later)
        timer.daemon = True
        timer.start()

    def _dispatch_later(self) -> None:
        with self._lock:
            self._dispatch()

    def _take(self, event: Mapping[str, Any]) -> None:
        """One event of the child."""
        with self._lock:
            name = str(event.get("id"))
            model = self._running.get(name)
            if model is None or self._stopping:  # what stops now is wanted still
                return
            before = self._wanted[model]
            after = _after(before, event, self._shown)
            if after.fetched_bytes > before.fetched_bytes:
                self._restarts = 0
            if after.state.over:
                del self._running[name]
            self._put(after)
            if after.state.over:
                self._dispatch()

    def _fault(self, error: WanVideoError) -> Fault:
        return Fault(code=error.code, message=self._shown(error.message), suggestions=error.suggestions)

    def _shown(self, text: str) -> str:
        return without_folders(text, filter(None, (self._places.hub_cache, *self._places.roots)))

    def _put(self, download: Download) -> Download:
        before = self._wanted.get(download.model)
        download = replace(download, changed=time.time())
        self._wanted[download.model] = download
        if before is None or _steering(before) != _steering(download):
            try:
                write_json(self._file, [_kept(each) for each in self._wanted.values()])
            except OSError as error:  # such as a full disk, which a download itself says better
                log.warning("the list of downloads is not kept, and a restart forgets it", error=str(error))
        for subscriber in self._subscribers:
            subscriber(before, download)
        return download


def _after(before: Download, event: Mapping[str, Any], shown: Callable[[str], str]) -> Download:
    """The download after one event of the child; `shown` cuts the places of files out of what it says."""
    match event.get("event"):
        case "planned":
            return replace(before, title=event["title"], total_bytes=event["total_bytes"])
        case "progress":
            return replace(
                before,
                state=_state(before.state, event["state"]),
                done_bytes=event["done_bytes"],
                total_bytes=event["total_bytes"],
                fetched_bytes=event["fetched_bytes"],
                bytes_per_second=event["bytes_per_second"],
                seconds_left=event["seconds_left"],
            )
        case "retrying":
            return replace(before, retries=before.retries + 1, note=shown(event["reason"]))
        case "fell_back":
            return replace(before, note=shown(f"{event['reason']}; going on with {event['instead']}"))
        case "downloaded":
            done = before.total_bytes or 0
            return replace(before, state=DownloadState.DONE, done_bytes=done, bytes_per_second=0.0, seconds_left=0.0)
        case "cancelled":
            return replace(before, state=DownloadState.CANCELLED, bytes_per_second=0.0, seconds_left=None)
        case "error":
            error = event["error"]
            fault = Fault(
                code=error["code"],
                message=shown(error["message"]),
                suggestions=tuple(map(shown, error["suggestions"])),
            )
            return replace(before, state=DownloadState.FAILED, fault=fault, bytes_per_second=0.0, seconds_left=None)
    return before


def _state(before: DownloadState, said: str) -> DownloadState:
    """What the child says of it; that it is paused, it says late."""
    if before is DownloadState.PAUSED:
        return before
    return {"verifying": DownloadState.VERIFYING, "paused": before}.get(said, DownloadState.DOWNLOADING)


def _choice(offered: Offer, variant: Any, hub: Hub) -> dict[str, object]:
    return {
        "title": f"{variant.id} from {hub.host}",
        "endpoint": hub.endpoint,
        "token": hub.token,
        "offline": hub.offline,
        "files": [{"repo_id": files.repo_id, "paths": list(files.paths)} for files in files_of(offered.entry, variant)],
    }


# --- on disk ---------------------------------------------------------------------------------------------------------


def _steering(download: Download) -> tuple[DownloadState, int, bool]:
    return download.state, download.priority, download.for_job


def _kept(download: Download) -> dict[str, object]:
    return {
        "model": download.model,
        "variant": download.variant,
        "reason": download.reason,
        "state": download.state.value,
        "priority": download.priority,
        "for_job": download.for_job,
        "total_bytes": download.total_bytes,
        "added": download.added,
        "changed": download.changed,
    }


def _read(file: Path) -> list[Download]:
    """What was wanted; what was on its way waits for its turn again."""
    entries = read_json(file)
    found = []
    for entry in entries if isinstance(entries, list) else []:
        try:
            state = DownloadState(entry["state"])
            kept = state if state.over or state is DownloadState.PAUSED else DownloadState.WAITING
            found.append(Download(**{**entry, "state": kept}))
        except (TypeError, ValueError, KeyError):
            log.warning("an entry in the list of downloads is damaged and left out")
    return found
