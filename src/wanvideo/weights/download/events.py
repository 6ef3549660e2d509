"""What a download tells while it runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from wanvideo.weights.download.hub import HubFile
from wanvideo.weights.download.plan import DownloadPlan


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


def as_json(event: DownloadEvent) -> tuple[str, Mapping[str, object]]:
    """Name and fields of an event, for programs. Plain JSON values, and paths as text."""
    match event:
        case Planned(title=title, plan=plan):
            return "planned", {
                "title": title,
                "cache": str(plan.cache),
                "total_bytes": plan.total_bytes,
                "present_bytes": plan.present_bytes,
                "missing_bytes": plan.missing_bytes,
                "free_bytes": plan.free_bytes,
                "reserve_bytes": plan.reserve_bytes,
                "fits": plan.fits,
                "seconds": plan.seconds,
                "files": [_file(planned.file) | {"missing_bytes": planned.missing_bytes} for planned in plan.files],
            }
        case DownloadProgress():
            return "progress", {
                "state": event.state.value,
                "done_bytes": event.done_bytes,
                "total_bytes": event.total_bytes,
                "fetched_bytes": event.fetched_bytes,
                "bytes_per_second": round(event.bytes_per_second),
                "seconds_left": event.seconds_left,
                "files": [
                    _file(each.file) | {"state": each.state.value, "done_bytes": each.done_bytes}
                    for each in event.files
                ],
            }
        case Retrying(file=file, reason=reason, seconds=seconds):
            return "retrying", {"file": str(file), "reason": reason, "seconds": seconds}
        case FellBack(wanted=wanted, instead=instead, reason=reason):
            return "fell_back", {"wanted": wanted, "instead": instead, "reason": reason}
        case Downloaded(title=title, folders=folders, fetched_bytes=fetched, seconds=seconds):
            return "downloaded", {
                "title": title,
                "folders": [str(folder) for folder in folders],
                "fetched_bytes": fetched,
                "seconds": seconds,
            }


def _file(file: HubFile) -> dict[str, object]:
    return {"repo_id": file.repo_id, "path": file.path, "bytes": file.nbytes}
