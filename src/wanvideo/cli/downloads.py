"""Downloads as people and programs see them: what will be fetched, how far it is, what happened."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import typer

from wanvideo.cli.environment import places
from wanvideo.cli.models import size
from wanvideo.cli.output import Output
from wanvideo.errors import Cancelled, WanVideoError
from wanvideo.families.hardware import this_computer
from wanvideo.families.obtain import Offer, offer
from wanvideo.weights.download.events import (
    DownloadEvent,
    DownloadProgress,
    FellBack,
    Planned,
    Retrying,
    State,
    as_json,
)
from wanvideo.weights.download.plan import DownloadPlan
from wanvideo.weights.entry import ModelEntry

if TYPE_CHECKING:
    from wanvideo.families.plan import Forecast

Show: TypeAlias = Callable[[DownloadEvent], None]

LINE_SECONDS: Final = 5.0  # between two lines in a pipe
EVENT_SECONDS: Final = 1.0  # between two events of progress with --json


def offered(entry: ModelEntry, variant: str | None) -> Offer:
    """What to download of a model for this computer, or the variant that is named."""
    return offer(entry, this_computer(cache()), variant)


def say_offer(output: Output, what: Offer) -> None:
    """Which variant, and why; before any network is asked."""
    bytes_ = f", {what.nbytes / 1e9:.1f} GB" if what.nbytes else ""
    output.say(f"{what.entry.id} as {what.variant.id}{bytes_}, {what.variant.title}: {what.reason}")
    facts: dict[str, object] = {}
    if (takes := _what_it_takes(what)) is not None:
        decided, work = takes.plan, takes.work
        needed = f"{decided.peak_bytes / 2**30:.1f} GiB of {'GPU' if takes.machine.gpu else 'host'} memory"
        size = f"{work.width}x{work.height}, {work.frames} frames, {work.steps} steps"
        time = f"about {duration(decided.seconds)}" if decided.fits else "too little is there: `wan plan` says more"
        output.say(f"it will need {needed} here for {size}: {time} ({decided.rates})")
        facts = {"peak_bytes": decided.peak_bytes, "seconds": round(decided.seconds), "fits": decided.fits}
    output.event("offer", **what.facts(), **facts)


def _what_it_takes(what: Offer) -> "Forecast | None":
    """To make a usual video with it here; None where that is not known before its files are here."""
    from wanvideo.families.plan import plan

    try:
        return plan(what.entry.id, variant=what.variant.id)
    except WanVideoError:  # whatever else is on the disk, a download may mend it
        return None


def cache() -> Path:
    """Of the Hugging Face hub."""
    where = places().hub_cache
    assert where is not None  # the environment always names one
    return where


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def describe(plan: DownloadPlan) -> str:
    """What will be done, in a few lines."""
    count = sum(planned.missing_bytes > 0 for planned in plan.files)
    lines = [f"{size(plan.missing_bytes)} to fetch in {count} files, of {size(plan.total_bytes)} in {len(plan.files)}"]
    if plan.seconds is not None and plan.missing_bytes:
        lines.append(f"about {duration(plan.seconds)} at {size(plan.bytes_per_second or 0)}/s, as last time")
    lines.append(f"into {plan.cache}, where {size(plan.free_bytes)} are free")
    return "\n".join(f"  {line}" for line in lines)


def somebody_there(output: Output) -> bool:
    """Whether there is a person who could answer a question."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty() and not output.json


def confirm(output: Output, question: str, *, yes: bool) -> None:
    """Ask, if there is somebody to ask. Raises Cancelled if the answer is no."""
    if not yes and somebody_there(output) and not typer.confirm(question, default=True, err=True):
        raise Cancelled("nothing was changed")


# --- while it runs ---------------------------------------------------------------------------------------------------


@contextmanager
def showing_download(output: Output) -> Iterator[Show]:
    """What to call with every event while the block runs."""
    if output.json:
        yield _events(output)
    elif output.quiet:
        yield lambda _: None
    elif sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with _bars() as bars:
            yield partial(_with_notices, output, bars)
    else:
        yield partial(_with_notices, output, _lines(output))


def _with_notices(output: Output, show: Show, event: DownloadEvent) -> None:
    match event:
        case FellBack(wanted=wanted, instead=instead, reason=reason):
            output.say(f"{wanted} cannot be had: {reason}\ngoing on with {instead}")
        case Retrying(reason=reason, seconds=seconds):
            output.say(f"{reason}{f'; again in {duration(seconds)}' if seconds >= 1 else ''}")
        case Planned(title=title, plan=plan):
            output.say(f"{title}:\n{describe(plan)}")
        case _:
            show(event)


def _events(output: Output) -> Show:
    last, state = 0.0, State.WAITING

    def show(event: DownloadEvent) -> None:
        nonlocal last, state
        if isinstance(event, DownloadProgress):
            if event.state == state and time.monotonic() - last < EVENT_SECONDS:
                return
            last, state = time.monotonic(), event.state
        name, fields = as_json(event)
        output.event(name, **fields)

    return show


def _lines(output: Output) -> Show:
    last = time.monotonic()

    def show(event: DownloadEvent) -> None:
        nonlocal last
        if isinstance(event, DownloadProgress) and time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            output.say(progress_line(event))

    return show


def progress_line(progress: DownloadProgress) -> str:
    """Such as "downloading: 3.1 GiB of 36.0 GiB, 85.0 MiB/s, 7 min left"."""
    line = f"{progress.state}: {size(progress.done_bytes)} of {size(progress.total_bytes)}"
    if progress.state is State.DOWNLOADING and progress.seconds_left is not None:
        line += f", {size(progress.bytes_per_second)}/s, {duration(progress.seconds_left)} left"
    return line


@contextmanager
def _bars() -> Iterator[Show]:
    """One bar for the whole, and one for each file that is on its way."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn
    from rich.progress import Progress as Bars

    bars = Bars(
        TextColumn("{task.description:40.40}", markup=False),
        BarColumn(bar_width=24),
        DownloadColumn(binary_units=True),
        TextColumn("{task.fields[note]}", markup=False),
        console=Console(stderr=True),
    )
    tasks = dict[str, TaskID]()

    def update(name: str, done: int, total: int, note: str) -> None:
        if name not in tasks:
            tasks[name] = bars.add_task(name, total=total, note="")
        bars.update(tasks[name], completed=done, total=total, note=note)

    def show(event: DownloadEvent) -> None:
        if not isinstance(event, DownloadProgress):
            return
        left = f", {duration(event.seconds_left)} left" if event.seconds_left is not None else ""
        update("all files", event.done_bytes, event.total_bytes, f"{size(event.bytes_per_second)}/s{left}")
        for each in event.files:
            if each.state in (State.DOWNLOADING, State.VERIFYING, State.PAUSED) and each.done_bytes:
                update(each.file.path, each.done_bytes, each.file.nbytes, each.state)
            elif each.file.path in tasks:
                bars.remove_task(tasks.pop(each.file.path))

    with bars:
        yield show
