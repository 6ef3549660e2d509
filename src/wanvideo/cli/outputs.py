"""`wan outputs`: what the videos of a server take, and what rules would remove. Removes nothing."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wanvideo.cli.models import size
from wanvideo.cli.output import Output
from wanvideo.cli.serve import settings_of
from wanvideo.cli.values import number, parse_bytes

if TYPE_CHECKING:
    from wanvideo.jobs.retention import Due, Rules

_SHOWN = 20  # videos that are named; the others are counted


def outputs(
    data_dir: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Of the server.")] = None,
    database: Annotated[str | None, typer.Option(metavar="URL", help="Of the server, if it has PostgreSQL.")] = None,
    keep_days: Annotated[
        float | None, typer.Option(parser=number, metavar="N", help="What would go after so many days.")
    ] = None,
    quota: Annotated[
        str | None, typer.Option(metavar="BYTES", help="What would go beyond so much, such as 200GiB.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON event per line.")] = False,
) -> None:
    """Show how much room a server's videos take, and which of them rules would remove: a dry run.

    Without --keep-days and --quota, the server's own rules are looked at: WANVIDEO_KEEP_DAYS, WANVIDEO_QUOTA_BYTES.
    It may run meanwhile.
    """
    from wanvideo.jobs.retention import Retention
    from wanvideo.server.stores import open_queue

    output = Output(json=json)
    given: dict[str, Any] = {
        "data_dir": data_dir,
        "database": database,
        "keep_days": keep_days,
        "quota_bytes": None if quota is None else parse_bytes(quota),
    }
    settings = settings_of(given)
    with open_queue(settings) as queue:
        due = Retention(queue, settings.retention).due()
        stored = queue.stored_bytes()
    output.event("stored", bytes=stored)
    output.result(f"{size(stored)} of videos")
    if not settings.retention.any:
        output.say("no rule removes any: set WANVIDEO_KEEP_DAYS or WANVIDEO_QUOTA_BYTES, or try --keep-days or --quota")
        return
    _show(output, due, settings.retention)


def _show(output: Output, due: "tuple[Due, ...]", rules: "Rules") -> None:
    for each in due:
        output.event("due", **{name: getattr(each, name) for name in ("job", "bytes", "finished", "reason", "expires")})
    for each in due[:_SHOWN]:
        when = "not announced yet" if each.expires is None else f"goes {_date(each.expires)}"
        output.result(f"{each.job}  {_date(each.finished)}  {size(each.bytes)}  {each.reason}  {when}")
    if len(due) > _SHOWN:
        output.result(f"and {len(due) - _SHOWN} more")
    total = sum(each.bytes for each in due)
    count = f"{len(due)} finished {'job' if len(due) == 1 else 'jobs'}"
    output.result(f"{count} with {size(total)} would go, {rules.notice_seconds / 3600:g} h after the "
                  "server has announced it; favourites stay")  # fmt: skip


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
