"""What the computer did lately: measured once a second, kept in memory, thinned out as it gets older."""

import threading
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from wanvideo.server.machine import Snapshot, snapshot

SECONDS: Final = 1.0  # between two measurements
FINE: Final = 600  # of them, 10 minutes
COARSE_EVERY: Final = 60  # one of so many is kept for
COARSE: Final = 7 * 24 * 60  # minutes, a week


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    at: datetime
    taken: Snapshot


class Monitor:
    """A thread that looks, and what it saw."""

    def __init__(
        self, folders: Collection[Path], watch: Callable[[Sample], None] = lambda _: None, *, seconds: float = SECONDS
    ) -> None:
        """folders: on the disks that are written to."""
        self._folders = tuple(folders)
        self._watch = watch
        self._seconds = seconds
        self._fine: deque[Sample] = deque(maxlen=FINE)
        self._coarse: deque[Sample] = deque(maxlen=COARSE)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)

    def start(self) -> None:
        self._take(0)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(5)

    @property
    def latest(self) -> Sample:
        return self._fine[-1]

    def since(self, span: timedelta) -> list[Sample]:
        """The oldest first: one a minute, and of the last ten minutes one a second."""
        begin = datetime.now(UTC) - span
        fine = list(self._fine)
        coarse = [each for each in list(self._coarse) if not fine or each.at < fine[0].at]
        return [each for each in (*coarse, *fine) if each.at >= begin]

    def _run(self) -> None:
        count = 1
        while not self._stop.wait(self._seconds):
            self._take(count)
            count += 1

    def _take(self, count: int) -> None:
        sample = Sample(at=datetime.now(UTC), taken=snapshot(self._folders))
        self._fine.append(sample)
        if count % COARSE_EVERY == 0:
            self._coarse.append(sample)
        self._watch(sample)
