"""`wan queue`: the jobs of a running server."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from wanvideo.cli.environment import NAME_TEMPLATE_VARIABLE
from wanvideo.cli.output import Output, UsageFault, many
from wanvideo.cli.where import client_of_server
from wanvideo.errors import Cancelled, JobNotFound
from wanvideo.media.naming import USUAL, NameTemplate

if TYPE_CHECKING:
    from rich.table import Table

    from wanvideo.cli.board import Board
    from wanvideo.client import Client, Frame, Job

_LOOKED_AT: Final = 2000  # jobs, for one that is named in short
_ID: Final = 32  # characters
_LINE_SECONDS: Final = 2.0  # between two lines about the progress of one job

# As the client has them, which is loaded later.
Status = Literal["pending", "processing", "completed", "failed", "cancelled"]
Where = Literal["first", "last", "before", "after"]
_ACTIVE: Final[tuple[Status, ...]] = ("processing", "pending")

Json = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="Its id from `wan queue`, or the beginning of it.")]
JobIds = Annotated[list[str], typer.Argument(metavar="JOB...", help="Ids from `wan queue`, or their beginnings.")]

app = typer.Typer(invoke_without_command=True)


@app.callback()
def queue(context: typer.Context, json: Json = False) -> None:
    """Show the jobs of the running server; watch, move, cancel and retry them.

    The server is the one that WANVIDEO_URL names, else the one that runs for you on this computer.
    """
    if context.invoked_subcommand is None:
        list_(json=json)


@app.command("list")
def list_(
    status: Annotated[Status | None, typer.Option(help="Only these.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="How many of those that have ended.")] = 10,
    json: Json = False,
) -> None:
    """List the jobs: what runs, what waits in its order, and the newest that have ended."""
    from wanvideo.cli.board import line, order

    output = Output(json=json)
    with client_of_server() as client:
        found = client.queue(limit=1)
        jobs = sorted(_listed(client, status, limit), key=order)
    output.event(
        "queue", paused=found.paused, pending=found.pending_tasks, held=found.held_tasks,
        processing=found.processing_tasks, completed=found.completed_tasks, failed=found.failed_tasks,
        cancelled=found.cancelled_tasks,
    )  # fmt: skip
    for job in jobs:
        output.event("job", **asdict(job))
        output.result(line(job))
    if found.paused:
        output.say("the queue is paused: `wan queue resume` lets jobs begin")
    if not jobs:
        output.say("no jobs")


@app.command()
def watch(
    job: Annotated[
        str | None, typer.Argument(metavar="[JOB]", help="One job, to its end. Default: all, until Ctrl-C.")
    ] = None,
    json: Json = False,
) -> None:
    """Watch the queue live, or one job to its end."""
    output = Output(json=json)
    with client_of_server() as client:
        if job is None:
            _watch_all(output, client)
        else:
            _watch_one(output, client, _found(client, job).id)


@app.command()
def cancel(jobs: JobIds, json: Json = False) -> None:
    """Cancel jobs: at once if they wait, within a step if they run."""
    _each(jobs, "cancelled", lambda client, job: client.cancel(job), json=json)


@app.command()
def retry(jobs: JobIds, json: Json = False) -> None:
    """Let jobs that failed or were cancelled run again, from what was kept."""
    _each(jobs, "retried", lambda client, job: client.retry(job), json=json)


@app.command()
def hold(jobs: JobIds, json: Json = False) -> None:
    """Let jobs wait until they are released."""
    _each(jobs, "held", lambda client, job: client.hold(job), json=json)


@app.command()
def release(jobs: JobIds, json: Json = False) -> None:
    """Let jobs that are held run when it is their turn."""
    _each(jobs, "released", lambda client, job: client.release(job), json=json)


@app.command()
def favour(
    jobs: JobIds,
    off: Annotated[bool, typer.Option("--off", help="They are favourites no more.")] = False,
    json: Json = False,
) -> None:
    """Make jobs favourites: no rule ever removes their videos."""
    from wanvideo.cli.board import short

    output = Output(json=json)
    with client_of_server() as client:
        for found in [_found(client, job) for job in jobs]:
            client.favour(found.id, not off)
            output.event("favoured", job=found.id, favourite=not off)
            output.result(f"{short(found)}  {'is a favourite no more' if off else 'is a favourite'}")


@app.command()
def move(
    job: JobId,
    to: Annotated[Where, typer.Argument()],
    other: Annotated[str | None, typer.Argument(metavar="[JOB]", help="Before or after which one.")] = None,
    json: Json = False,
) -> None:
    """Move a job that waits to another place in the queue."""
    if (to in ("before", "after")) != (other is not None):
        raise UsageFault("a job is moved `first`, `last`, `before OTHER` or `after OTHER`")
    with client_of_server() as client:
        beside = None if other is None else _found(client, other).id
        _say(Output(json=json), "moved", client.move(_found(client, job).id, to, beside))


@app.command()
def pause(json: Json = False) -> None:
    """Let no further job begin; what runs goes on."""
    output = Output(json=json)
    with client_of_server() as client:
        client.pause()
    output.event("paused", paused=True)
    output.result("the queue is paused")


@app.command()
def resume(json: Json = False) -> None:
    """Let jobs begin again."""
    output = Output(json=json)
    with client_of_server() as client:
        client.resume()
    output.event("paused", paused=False)
    output.result("the queue goes on")


@app.command()
def fetch(
    job: JobId,
    out: Annotated[
        str | None, typer.Option(metavar="PATH", help="A file, which is replaced; or a folder. Default: this folder.")
    ] = None,
    name_template: Annotated[
        str,
        typer.Option(metavar="TEXT", envvar=NAME_TEMPLATE_VARIABLE, help="Of a new file, as for `wan generate`."),
    ] = USUAL,
    json: Json = False,
) -> None:
    """Bring the video of a job here, checked by its hash; what a break has left is gone on with. Prints the path."""
    from wanvideo.cli.remote import bring, check_out

    output = Output(json=json)
    check_out(out)
    with client_of_server() as client:
        path = bring(client, _found(client, job), out, NameTemplate(name_template))
    output.event("done", path=path.absolute())
    output.result(str(path))


@app.command()
def clear(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Delete all jobs that have ended, with the videos that the server keeps of them. Favourites stay."""
    from wanvideo.cli.downloads import somebody_there

    output = Output(json=json)
    with client_of_server() as client:
        found = client.queue(limit=1)
        ended = found.completed_tasks + found.failed_tasks + found.cancelled_tasks
        jobs, videos = many(ended, "job"), many(found.completed_tasks, "video")
        question = f"delete {jobs} that ended, and {videos} with them? Favourites stay."
        if ended and not yes:
            if not somebody_there(output):
                raise UsageFault(f"{question} Say so with --yes")
            if not typer.confirm(question, default=False, err=True):
                raise Cancelled("nothing was deleted")
        removed = client.clear()
    output.event("cleared", removed=removed)
    output.result(f"{many(removed, 'job')} deleted")


# --- what they share -------------------------------------------------------------------------------------------------


def _listed(client: "Client", status: Status | None, limit: int) -> "Iterator[Job]":
    """All that have not ended, and of the others the newest."""
    if status is None:
        for each in _ACTIVE:
            yield from client.jobs(status=each)
        yield from islice((job for job in client.jobs() if job.done), limit)
    else:
        yield from islice(client.jobs(status=status), None if status in _ACTIVE else limit)


def _found(client: "Client", text: str) -> "Job":
    """The job of that id, or of the only one that begins so. Raises JobNotFound, UsageFault."""
    if len(text) == _ID:
        return client.get(text)
    found = [job for job in islice(client.jobs(), _LOOKED_AT) if job.id.startswith(text.lower())]
    if not found:
        raise JobNotFound(f"no job's id begins with {text!r:.60}: `wan queue` shows them")
    if len(found) > 1:
        raise UsageFault(f"{len(found)} jobs' ids begin with {text!r:.60}: give more of it")
    return found[0]


def _each(jobs: list[str], what: str, change: "Callable[[Client, str], Job]", *, json: bool) -> None:
    output = Output(json=json)
    with client_of_server() as client:
        # All are looked up before one is changed, so that a wrong name changes nothing.
        for found in [_found(client, job) for job in jobs]:
            _say(output, what, change(client, found.id))


def _say(output: Output, what: str, job: "Job") -> None:
    from wanvideo.cli.board import doing, short

    output.event(what, job=asdict(job))
    output.result(f"{short(job)}  {'stops within a step' if what == 'cancelled' and not job.done else doing(job)}")


# --- watching --------------------------------------------------------------------------------------------------------


def _watch_one(output: Output, client: "Client", job: str) -> None:
    """Raises JobFailed, JobCancelled."""
    from wanvideo.cli.board import line
    from wanvideo.client import Job
    from wanvideo.client.watching import with_video

    said = ""
    for each in client.watch(job):
        if not isinstance(each, Job):
            output.event(each.type, at=each.at, **each.data)
            continue
        output.event("job", **asdict(each))
        if line(each) != said:
            said = line(each)
            output.result(said)
        if each.done:
            with_video(each)


def _watch_all(output: Output, client: "Client") -> None:
    """Until Ctrl-C."""
    from wanvideo.cli.board import ENDED, Board

    board = Board()
    with _showing(output) as show:
        for frame in client.frames():
            stale = board.stale(frame)
            board = board.told(frame)
            if stale:  # with what has ended by now
                board = board.with_jobs({job.id: job for job in _listed(client, None, ENDED)})
            show(board, frame)


@contextmanager
def _showing(output: Output) -> "Iterator[Callable[[Board, Frame], None]]":
    if output.json:
        yield lambda _, frame: output.event(frame.type, **{**frame.data, "seq": frame.seq})
    elif sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        with _table() as show:
            yield show
    else:
        yield _lines(output)


def _lines(output: Output) -> "Callable[[Board, Frame], None]":
    """One line for every job that began, went into another phase or ended, and now and then while it lasts."""
    from wanvideo.cli.board import line

    said: dict[str, tuple[object, float]] = {}

    def show(board: "Board", frame: "Frame") -> None:
        named = frame.data.get("task_id")
        for job in board.rows if frame.type == "snapshot" else filter(None, [board.jobs.get(str(named))]):
            stage, now = (job.state, job.phase), time.monotonic()
            before, at = said.get(job.id, (None, 0.0))
            if stage != before or (job.step and now - at >= _LINE_SECONDS and frame.type == "task_update"):
                said[job.id] = (stage, now)
                output.result(line(job))

    return show


@contextmanager
def _table() -> "Iterator[Callable[[Board, Frame], None]]":
    from rich.live import Live

    with Live(refresh_per_second=8) as live:
        yield lambda board, _: live.update(_drawn(board))


def _drawn(board: "Board") -> "Table":
    """For rich: a row for each job."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    from wanvideo.cli.board import doing, short, title

    table = Table(box=None, caption="the queue is paused" if board.paused else None, caption_justify="left")
    for name in ("job", "progress", "", "model", "prompt"):
        table.add_column(name, no_wrap=True)
    for job in board.rows:
        bar = ProgressBar(total=100, completed=job.progress, width=20)
        table.add_row(short(job), bar, doing(job), job.model, Text(title(job)))
    if not board.jobs:
        table.add_row("", "", "no jobs", "", "")
    return table
