"""How far a generation is: bars on a terminal, plain lines in a pipe, events with `--json`, nothing with `--quiet`."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from wanvideo.cli.output import Output
from wanvideo.request import Phase, Progress

Show: TypeAlias = Callable[[Progress], None]

LINE_SECONDS: Final = 5.0  # between two lines of one phase in a pipe
LABELS: Final = {
    Phase.LOAD: "load the model",
    Phase.ENCODE: "encode the input",
    Phase.DENOISE: "denoise",
    Phase.DECODE: "decode",
    Phase.WRITE: "write the file",
}


@contextmanager
def showing(output: Output) -> Iterator[Show]:
    """What to call with every Progress while the block runs."""
    if output.quiet and not output.json:
        yield lambda _: None
    elif output.json:
        yield _events(output)
    elif sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with _bars() as show:
            yield show
    else:
        yield _lines(output)


@dataclass(slots=True)
class Pace:
    """Seconds per step. A phase that is resumed, or come back to, does not begin at step 0."""

    phase: Phase | None = None
    step: int = 0  # when this began
    seconds: float = 0.0
    per_step: float | None = field(default=None)

    def update(self, progress: Progress) -> float | None:
        """Of the phase so far; None before it has done a step."""
        if progress.phase is not self.phase or progress.step < self.step:
            self.phase, self.step, self.seconds, self.per_step = progress.phase, progress.step, progress.seconds, None
        if progress.step > self.step:
            self.per_step = (progress.seconds - self.seconds) / (progress.step - self.step)
        return self.per_step


def describe(progress: Progress) -> str:
    """What is being done, such as "denoise (high noise)"."""
    return LABELS[progress.phase] + (f" ({progress.expert} noise)" if progress.expert else "")


def spared(progress: Progress) -> str:
    """Of the steps done, those that were not computed."""
    return f", {progress.reused} reused" if progress.reused else ""


def speed(per_step: float | None) -> str:
    """Steps a second, or seconds a step where that is the larger number."""
    if not per_step:
        return ""
    return f"{1 / per_step:.1f} it/s" if per_step < 1 else f"{per_step:.1f} s/it"


def _events(output: Output) -> Show:
    pace = Pace()

    def show(progress: Progress) -> None:
        per_step = pace.update(progress)
        left = None if per_step is None else round(per_step * (progress.steps - progress.step), 3)
        output.event(
            "progress",
            phase=progress.phase,
            step=progress.step,
            steps=progress.steps,
            seconds=round(progress.seconds, 3),
            remaining_seconds=left,
            expert=progress.expert,
            reused=progress.reused,
        )

    return show


def _lines(output: Output) -> Show:
    """One line when a phase ends, and one now and then while it lasts."""
    pace, last = Pace(), time.monotonic()

    def show(progress: Progress) -> None:
        nonlocal last
        per_step = pace.update(progress)
        if not progress.done and time.monotonic() - last < LINE_SECONDS:
            return
        last = time.monotonic()
        line = f"{describe(progress)}: {progress.step}/{progress.steps}{spared(progress)}, {progress.seconds:.1f} s"
        if per_step and not progress.done:
            line += f", {speed(per_step)}, {per_step * (progress.steps - progress.step):.0f} s left"
        output.say(line)

    return show


@contextmanager
def _bars() -> Iterator[Show]:
    """One bar for each phase, which stays when the phase is over."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    bars = Bars(
        TextColumn("{task.description:20}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[speed]}", markup=False),
        console=Console(stderr=True),
    )
    pace, tasks = Pace(), dict[Phase, TaskID]()

    def show(progress: Progress) -> None:
        phase, per_step = progress.phase, pace.update(progress)
        if phase not in tasks:
            tasks[phase] = bars.add_task("", total=progress.steps, speed="")
        elif not progress.step:  # a network is loaded when its turn comes
            bars.reset(tasks[phase], total=progress.steps)
        bars.update(
            tasks[phase],
            completed=progress.step,
            description=describe(progress),
            speed=(speed(per_step) + spared(progress)).removeprefix(", "),
        )

    with bars:
        yield show
