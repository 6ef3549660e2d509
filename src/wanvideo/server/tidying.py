"""Pictures that no job needs any more, removed from time to time."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from wanvideo.errors import WanVideoError
from wanvideo.jobs.queue import Queue
from wanvideo.server.inputs import Inputs

log = logging.getLogger(__name__)

SECONDS: Final = 3600.0  # from one time to the next


def remove_unused(inputs: Inputs, queue: Queue, days: float) -> None:
    """Pictures that no stored job names, and that nobody asked for in the last days. Raises OSError, StorageFailed."""
    if gone := inputs.remove_unused(queue.pictures, days * 86_400):
        log.info("%d pictures that no job needs were removed", len(gone))


class Tidying:
    """A thread that does something now, and again and again."""

    def __init__(self, tidy: Callable[[], None], *, seconds: float = SECONDS) -> None:
        self._tidy, self._seconds = tidy, seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tidying", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                self._tidy()
            except (OSError, WanVideoError) as error:  # the next time may be better
                log.warning("tidying up failed: %s", error)
            if self._over.wait(self._seconds):
                return
