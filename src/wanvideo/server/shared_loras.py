"""LoRAs in the storage that several machines share: put there with the first job that uses one, and fetched from there.

In the storage the files of a LoRA lie under `loras/NAME/DIGEST-COUNT/`. What a machine fetched lies in its library like
any other, with the digest noted as its source: when other files are shared under that name, they take its place. What
somebody put on a machine by hand stays, and has to be the same LoRA as others have under that name.
"""

import hashlib
import logging
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Final

from wanvideo.errors import DiskFull, InvalidRequest, LoraError, LoraNotFound, OutputNotWritable, StorageFailed
from wanvideo.jobs.spec import JobSpec
from wanvideo.jobs.storage import Storage, checked, fetch
from wanvideo.weights.lora.library import About, LoraEntry, LoraLibrary

log = logging.getLogger(__name__)

_SET: Final = re.compile(r"(?P<digest>[0-9a-f]{32})-(?P<count>[12])")
_SOURCE: Final = "shared storage, "  # and the digest
_FRESH: Final = 10.0  # seconds for which nobody looks again what is shared under a name
_PATIENCE: Final = 120.0  # seconds, with a storage that does not answer
_DRAFTS: Final = ".fetching-"
_ABANDONED: Final = 86_400.0  # seconds
_BLOCK: Final = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedLora:
    """What is shared under a name: one file, or that of the high-noise expert and that of the low-noise one."""

    digest: str
    files: tuple[str, ...]  # names in the storage
    bytes: int


class SharedLoras:
    """Of one machine. Without a storage, nothing is shared and nothing is missing.

    All raise StorageFailed where the storage does not answer.
    """

    def __init__(self, library: LoraLibrary, shared: Storage | None) -> None:
        self._library = library
        self._shared = shared
        self._seen: dict[str, tuple[float, SharedLora | None]] = {}  # by name, and when
        self._fetching = threading.Lock()  # of two jobs that lack the same, one fetches it

    def share(self, names: Iterable[str]) -> None:
        """Let others find these LoRAs of the library. Once, it takes as long as the copy. Raises DiskFull."""
        for name in names:
            entry = self._find(name)
            # A copy of what is shared is not newer than that.
            if self._shared is None or entry is None or _copied(entry) is not None:
                continue
            digest = _digest(tuple(_stamp(path) for path in entry.files))
            prefix = f"{_prefix(entry.name)}{digest}-{len(entry.files)}/"
            wanted = {prefix + path.name: path for path in entry.files}
            there = {found.name: found.bytes for found in self._shared.list(_prefix(entry.name))}
            for stored, path in wanted.items():
                if there.get(stored) != path.stat().st_size:
                    self._shared.put(stored, path)
            for stored in there.keys() - wanted.keys():
                self._shared.delete(stored)

    def forget(self, name: str) -> None:
        """It was removed from the library, and is shared no more; copies on other machines stay."""
        if self._shared is not None:
            self._shared.clear(_prefix(name))

    def missing(self, spec: JobSpec) -> tuple[str, ...]:
        """Of the LoRAs of a job, those that are shared and not here, or that were replaced since they were fetched."""
        if self._shared is None or self._library.folder is None:
            return ()
        lacking = []
        for name in (str(use.source) for use in spec.request.loras):
            here = self._has(name)
            if here is None or here:
                shared = self._look(name)
                if shared is not None and shared.digest != here:
                    lacking.append(name)
        return tuple(lacking)

    def fetch(self, names: Sequence[str], progress: Callable[[int, int], None], given_up: threading.Event) -> None:
        """Bring them into the library, unless that is given up meanwhile.

        What is replaced in the storage meanwhile is still missing afterwards. progress is told bytes received of bytes
        wanted. Raises LoraError: LoraNotFound also if the storage stays away or this machine cannot take a file.
        """
        try:
            with self._fetching:
                found = {name: self._look(name, fresh=True) for name in names}
                # What somebody has put there meanwhile stays.
                wanted = {
                    name: shared
                    for name, shared in found.items()
                    if shared is not None and self._has(name) not in ("", shared.digest)
                }
                self._fetch(wanted, progress, given_up)
        except (StorageFailed, DiskFull, OutputNotWritable, InvalidRequest, OSError) as error:
            raise LoraNotFound(
                f"a LoRA of {', '.join(names):.200} could not be fetched from the shared storage: {error}"
            ) from error

    def bring(self, name: str) -> str | None:
        """Fetch what a client asks for by this name, if it is shared; the name, or None. Raises as `fetch` does."""
        if self._shared is None or self._library.folder is None:
            return None
        if self._look(name, fresh=True) is None:
            return None
        self.fetch([name], lambda *_: None, threading.Event())
        return name

    def _fetch(
        self, found: Mapping[str, SharedLora], progress: Callable[[int, int], None], given_up: threading.Event
    ) -> None:
        total, done = sum(each.bytes for each in found.values()), 0
        for name, shared in found.items():
            assert self._shared is not None
            assert self._library.folder is not None
            self._library.folder.mkdir(parents=True, exist_ok=True)
            _remove_old_drafts(self._library.folder)
            drafts = Path(tempfile.mkdtemp(prefix=_DRAFTS, dir=self._library.folder))
            try:
                files = [drafts / PurePosixPath(stored).name for stored in shared.files]
                for stored, file in zip(shared.files, files, strict=True):
                    if given_up.is_set():
                        return
                    progress(done, total)
                    if not self._patiently(stored, file, given_up):
                        return
                    done += file.stat().st_size
                progress(done, total)
                self._library.take(name, files, About(source=_SOURCE + shared.digest))
            finally:
                shutil.rmtree(drafts, ignore_errors=True)
            log.info("the LoRA %s was fetched from the shared storage", name)

    def _patiently(self, stored: str, file: Path, given_up: threading.Event) -> bool:
        """`fetch`, again and again for a while if the storage does not answer."""
        assert self._shared is not None
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                return fetch(self._shared, stored, file)
            except StorageFailed:
                if time.monotonic() > until or given_up.wait(1.0):
                    raise

    def _look(self, name: str, *, fresh: bool = False) -> SharedLora | None:
        """What is shared under a name, whole; None: nothing, or it is no name."""
        assert self._shared is not None
        try:
            prefix = _prefix(name)
        except ValueError:
            return None
        now = time.monotonic()
        then, known = self._seen.get(name, (float("-inf"), None))
        if now - then < _FRESH and not fresh:
            return known
        sets: dict[str, dict[str, int]] = {}
        for found in self._shared.list(prefix):
            kept, _, file = found.name.removeprefix(prefix).partition("/")
            sets.setdefault(kept, {})[file] = found.bytes
        whole = [
            SharedLora(
                digest=match["digest"],
                files=tuple(f"{prefix}{kept}/{file}" for file in sorted(files)),
                bytes=sum(files.values()),
            )
            for kept, files in sets.items()
            if (match := _SET.fullmatch(kept)) and len(files) == int(match["count"])
        ]
        shared = whole[0] if len(whole) == 1 else None  # more: somebody is just replacing it
        self._seen[name] = now, shared
        return shared

    def _has(self, name: str) -> str | None:
        """The digest of what was fetched under a name; "" if somebody put it there, None if nothing is there."""
        entry = self._find(name)
        return None if entry is None else _copied(entry) or ""

    def _find(self, name: str) -> LoraEntry | None:
        wanted = name.casefold()
        return next((each for each in self._library.entries() if each.name.casefold() == wanted), None)


def _prefix(name: str) -> str:
    """Raises ValueError for what leads elsewhere."""
    return checked(f"loras/{name}") + "/"


def _remove_old_drafts(folder: Path) -> None:
    """Of processes that were killed while they fetched."""
    for path in folder.glob(f"{_DRAFTS}*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED:
                shutil.rmtree(path, ignore_errors=True)


def _copied(entry: LoraEntry) -> str | None:
    """The digest of what was fetched; None: somebody put it there."""
    if not entry.own:
        return None
    try:
        source = entry.about().source
    except (LoraError, OSError):
        return None
    return source.removeprefix(_SOURCE) if source.startswith(_SOURCE) else None


def _stamp(path: Path) -> tuple[str, int, int]:
    found = path.stat()
    return os.fspath(path), found.st_size, found.st_mtime_ns


@lru_cache(maxsize=256)
def _digest(stamps: tuple[tuple[str, int, int], ...]) -> str:
    """Of the files as they were at that time."""
    digest = hashlib.sha256()
    for path, _, _ in stamps:
        with Path(path).open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()[:32]
