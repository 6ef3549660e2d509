"""What a download tells while it runs."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from wanvideo.weights.download_plan import DownloadPlan
from wanvideo.weights.hub import HubFile


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
