"""`wan models pull`: get a model."""

from contextlib import closing
from typing import Annotated

import typer

from wanvideo.cli.downloads import choices, chosen_variants, confirm, showing_download, size
from wanvideo.cli.interrupt import catching_interruptions
from wanvideo.cli.models import model_names
from wanvideo.cli.output import Output
from wanvideo.errors import Cancelled
from wanvideo.weights.catalog import resolve
from wanvideo.weights.download import download_first
from wanvideo.weights.download_events import Downloaded, DownloadProgress, Planned

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
    spec = resolve(model)
    output.say(f"{spec.title} needs {spec.needs}")
    ways = choices(chosen_variants(spec, variant), endpoint)
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
        except KeyboardInterrupt:
            raise Cancelled(
                f"stopped with {size(done_bytes)} on disk; `wan models pull {spec.id}` goes on from there"
            ) from None


def _say_done(output: Output, event: Downloaded) -> None:
    fetched = f", {size(event.fetched_bytes)} of them fetched in {event.seconds:.0f} s" if event.fetched_bytes else ""
    output.say(f"{event.title}: all files are here and verified{fetched}")
    for folder in event.folders:
        output.result(str(folder))
