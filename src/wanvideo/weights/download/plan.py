"""What a download will do and what it needs, as a value: made from what the hub lists and what the disk holds."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from wanvideo.errors import DownloadDiskFull
from wanvideo.weights.download.cache import elsewhere, existing, repository, size
from wanvideo.weights.download.client import HubClient, TryAgain
from wanvideo.weights.download.hub import Hub, HubFile, Listing, by_repository, expand
from wanvideo.weights.download.record import newest_record, read_record
from wanvideo.weights.download.transfer import Patience, missing_bytes
from wanvideo.weights.variants import RemoteFiles

RESERVE_BYTES: Final = 1 << 30  # of the disk, left to everybody else
_WORTH_COMPARING: Final = 1 << 20  # bytes of a file

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFile:
    """One file, and what it takes to have it."""

    file: HubFile
    missing_bytes: int  # to be fetched
    verified: bool = False  # here, and hashed before
    twin: Path | None = None  # what seems to be the same file elsewhere; its hash will tell


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadPlan:
    """What a download will do, and what it needs."""

    hub: Hub
    cache: Path
    listings: tuple[Listing, ...]
    files: tuple[PlannedFile, ...]
    free_bytes: int  # of the disk of the cache
    reserve_bytes: int = RESERVE_BYTES
    bytes_per_second: float | None = None  # as it was last time; None: never measured

    @property
    def total_bytes(self) -> int:
        return sum(planned.file.nbytes for planned in self.files)

    @property
    def missing_bytes(self) -> int:
        return sum(planned.missing_bytes for planned in self.files)

    @property
    def present_bytes(self) -> int:
        return self.total_bytes - self.missing_bytes

    @property
    def seconds(self) -> float | None:
        """An estimate; None where nothing was measured."""
        return self.missing_bytes / self.bytes_per_second if self.bytes_per_second else None

    @property
    def fits(self) -> bool:
        return not self.missing_bytes or self.missing_bytes + self.reserve_bytes <= self.free_bytes

    @property
    def done(self) -> bool:
        """Nothing has to be fetched or verified."""
        return all(planned.verified for planned in self.files)

    def check(self) -> None:
        """Raises DownloadDiskFull if it cannot be done."""
        if not self.fits:
            raise disk_full(self.cache, self.missing_bytes, self.free_bytes, self.reserve_bytes)


def plan_download(
    wanted: Sequence[RemoteFiles],
    hub: Hub,
    cache: Path,
    *,
    revision: str = "main",
    patience: Patience | None = None,
    reserve_bytes: int = RESERVE_BYTES,
    at_hand: Sequence[Path] = (),
) -> DownloadPlan:
    """Ask the hub what the files are, and look at what is here. One request per repository; nothing is written.

    at_hand: files outside the cache; one with the name and size of a wanted file is hashed, and used if it is the same.

    Raises DownloadError, InvalidRequest.
    """
    patience = patience or Patience(attempts=4)  # somebody is waiting for an answer
    with HubClient(hub, stall_seconds=patience.stall_seconds) as client:
        found = [
            (_patiently(partial(client.list_files, repo_id, revision), patience), patterns)
            for repo_id, patterns in by_repository(wanted).items()
        ]
    files = [_plan_file(cache, file, at_hand) for listing, patterns in found for file in expand(patterns, listing)]
    return DownloadPlan(
        hub=hub,
        cache=cache,
        listings=tuple(listing for listing, _ in found),
        files=tuple(_once(files)),
        free_bytes=free_bytes(cache),
        reserve_bytes=reserve_bytes,
        bytes_per_second=_last_speed(cache, [listing.repo_id for listing, _ in found]),
    )


def latest_commits(
    wanted: Sequence[RemoteFiles], hub: Hub, *, revision: str = "main", patience: Patience | None = None
) -> dict[str, str]:
    """Repository -> what the hub's `revision` is now. Raises DownloadError."""
    patience = patience or Patience(attempts=4)
    with HubClient(hub, stall_seconds=patience.stall_seconds) as client:
        return {
            repo_id: _patiently(partial(client.list_files, repo_id, revision), patience).commit
            for repo_id in by_repository(wanted)
        }


def _plan_file(cache: Path, file: HubFile, at_hand: Sequence[Path]) -> PlannedFile:
    there = existing(cache, file)
    if there is not None:
        record = read_record(repository(cache, file.repo_id), file.commit)
        return PlannedFile(file=file, missing_bytes=0, verified=record is not None and record.vouches_for(file, there))
    twin = elsewhere(cache, file) or _lookalike(file, at_hand)
    return PlannedFile(file=file, missing_bytes=0 if twin else missing_bytes(cache, file), twin=twin)


def _lookalike(file: HubFile, at_hand: Sequence[Path]) -> Path | None:
    """A file of that name and size. Small ones are fetched rather than compared."""
    if file.nbytes < _WORTH_COMPARING:
        return None
    name = file.path.rpartition("/")[2]
    return next((path for path in at_hand if path.name == name and size(path) == file.nbytes), None)


def _once(files: Sequence[PlannedFile]) -> Iterator[PlannedFile]:
    """What several repositories have is fetched once; the other takes it over."""
    seen = set[str]()
    for planned in files:
        repeated = planned.file.digest in seen and planned.missing_bytes > 0
        seen.add(planned.file.digest)
        yield replace(planned, missing_bytes=0) if repeated else planned


def _patiently(action: Callable[[], T], patience: Patience) -> T:
    failures = 0
    while True:
        try:
            return action()
        except TryAgain as failure:
            failures += 1
            if failures >= patience.attempts:
                raise failure.error from failure
            time.sleep(patience.pause_after(failures, failure.after))


def free_bytes(cache: Path) -> int:
    there = next(folder for folder in (cache.absolute(), *cache.absolute().parents) if folder.exists())
    return shutil.disk_usage(there).free


def _last_speed(cache: Path, repo_ids: Sequence[str]) -> float | None:
    records = (newest_record(repository(cache, repo_id)) for repo_id in repo_ids)
    return next((record.bytes_per_second for record in records if record and record.bytes_per_second), None)


def disk_full(cache: Path, needed: int, free: int, reserve: int = 0) -> DownloadDiskFull:
    keeping = f", of which {gib(reserve)} are to stay free" if reserve else ""
    return DownloadDiskFull(
        f"the disk of {cache} is too full: {gib(needed)} ({needed} bytes) are still to come and {gib(free)} "
        f"({free} bytes) are free{keeping}: free some space, choose a smaller variant, or set HF_HUB_CACHE to a folder "
        "on another disk; what has arrived is kept",
        facts={"needed_bytes": needed, "free_bytes": free, "reserve_bytes": reserve, "cache": str(cache)},
    )


def gib(nbytes: int) -> str:
    return f"{nbytes / 2**30:.1f} GiB" if nbytes >= 2**30 else f"{nbytes / 2**20:.1f} MiB"
