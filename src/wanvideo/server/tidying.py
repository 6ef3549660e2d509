"""What nobody needs any more, removed from time to time."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from wanvideo.errors import WanVideoError
from wanvideo.jobs.queue import Queue
from wanvideo.jobs.reconcile import TIDYING
from wanvideo.server.inputs import Inputs

log = logging.getLogger(__name__)

SECONDS: Final = 3600.0  # from one time to the next


def remove_unused(inputs: Inputs, queue: Queue, days: float) -> None:
    """Pictures that no stored job names, and that nobody asked for in the last days. Raises OSError, StorageFailed."""
    if gone := inputs.remove_unused(queue.pictures, days * 86_400):
        log.info("%d pictures that no job needs were removed", len(gone))


def remove_drafts(queue: Queue) -> None:
    """What machines that lost their power left half stored, by one server for all. Raises StorageFailed."""
    with queue.database.turn(TIDYING) as mine:
        if mine and (gone := queue.job_files.remove_drafts()):
            log.info("%d files were removed that machines were about to store when they died", gone)


class Tidying:
    """A thread that does some things now, and again and again."""

    def __init__(self, *chores: Callable[[], None], seconds: float = SECONDS) -> None:
        self._chores, self._seconds = chores, seconds
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
            for chore in self._chores:
                try:
                    chore()
                except (OSError, WanVideoError) as error:  # the next time may be better
                    log.warning("tidying up failed: %s", error)
            if self._over.wait(self._seconds):
                return
