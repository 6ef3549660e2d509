"""Ctrl-C: the first one stops between two steps, where the state can be kept; the second one stops at once."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Final

from wanvideo.cli.output import Output

STOPPING: Final = b"\nstopping after this step; press Ctrl-C again to stop at once\n"


@dataclass(slots=True)
class Interruption:
    """What the signal handler and the run say to each other."""

    graceful: bool = False  # said by the run: a step is under way, and what `asked` says is looked at after it
    asked: bool = False  # said by the handler


@contextmanager
def catching_interruptions(output: Output) -> Iterator[Interruption]:
    """While the block runs, SIGINT sets `asked` if `graceful` is set.

    Otherwise, at the second time, and at SIGTERM, KeyboardInterrupt is raised wherever the run is; once more kills.
    """
    interruption = Interruption()

    def handle(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and interruption.graceful and not interruption.asked:
            interruption.asked = True
            if not (output.json or output.quiet):
                os.write(2, STOPPING)  # stderr itself may be in the middle of a line
            return
        signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
