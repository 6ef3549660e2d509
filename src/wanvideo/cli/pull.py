"""`wan models pull`: get a model."""

from collections.abc import Sequence
from contextlib import closing
from typing import Annotated

import typer

from wanvideo.cli.downloads import confirm, offered, say_offer, showing_download
from wanvideo.cli.environment import hubs, places
from wanvideo.cli.interrupt import catching_interruptions
from wanvideo.cli.models import model_names, size
from wanvideo.cli.output import Output
from wanvideo.errors import Cancelled
from wanvideo.families.obtain import Offer, choices
from wanvideo.families.registry import installed_families
from wanvideo.weights.download.events import Downloaded, DownloadProgress, Planned
from wanvideo.weights.download.run import Choice, download_first

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A name from `wan models`.", autocompletion=model_names)]
VariantName = Annotated[str | None, typer.Option("--variant", help="One of the model's variants, such as fp8.")]
Endpoint = Annotated[
    str | None, typer.Option(metavar="URL", help="Another hub to ask. Default: HF_ENDPOINT, then WAN_HUB_MIRRORS.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the result, and errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON event per line.")]


def pull(
    model: Model,
    variant: VariantName = None,
    endpoint: Endpoint = None,
    yes: Yes = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Download a model into the Hugging Face cache, or go on with it. Prints the folders that hold it.

    Every file is verified by its hash. Ctrl-C stops; the next call goes on where this one stopped.
    """
    output = Output(json=json, quiet=quiet)
    spec = installed_families().resolve(model)
    what = offered(spec, variant)
    say_offer(output, what)
    for folder in get(output, what, endpoint, yes=yes).folders:
        output.result(str(folder))


def get(output: Output, what: Offer, endpoint: str | None = None, *, yes: bool) -> Downloaded:
    """Download what is offered; see `follow`."""
    return follow(output, choices(what, hubs(endpoint), places()), f"wan models pull {what.entry.id}", yes=yes)


def follow(output: Output, ways: Sequence[Choice], again: str, *, yes: bool) -> Downloaded:
    """Download and show it, after asking, if there is somebody to ask and something to fetch.

    again: the command that goes on after Ctrl-C.
    Raises DownloadError, and Cancelled for a no and for Ctrl-C, after which everything that has arrived is kept.
    """
    done_bytes, agreed = 0, yes
    with catching_interruptions(output):
        try:
            with showing_download(output) as show, closing(download_first(ways)) as events:
                for event in events:
                    show(event)
                    if isinstance(event, Planned) and event.plan.missing_bytes and event.plan.fits:
                        confirm(output, f"download {size(event.plan.missing_bytes)}?", yes=agreed)
                        agreed = True
                    elif isinstance(event, DownloadProgress):
                        done_bytes = event.done_bytes
                    elif isinstance(event, Downloaded):
                        _say_done(output, event)
                        return event
        except KeyboardInterrupt:
            raise Cancelled(f"stopped with {size(done_bytes)} on disk; `{again}` goes on from there") from None
    raise AssertionError("a download ends with Downloaded or an error")


def _say_done(output: Output, event: Downloaded) -> None:
    fetched = f", {size(event.fetched_bytes)} of them fetched in {event.seconds:.0f} s" if event.fetched_bytes else ""
    output.say(f"{event.title}: all files are here and verified{fetched}")
