"""`wan worker`: this computer, for the queue of another one."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wanvideo.cli.environment import debugging, hubs, lora_library, places
from wanvideo.cli.output import Output
from wanvideo.cli.serve import settings_of

if TYPE_CHECKING:
    from wanvideo.server.node import Node
    from wanvideo.server.settings import Settings

app = typer.Typer(help="Let this computer work for a queue of several machines.", no_args_is_help=True)


@app.callback()
def worker() -> None:
    """Let this computer work for a queue of several machines."""


@app.command("join")
def join(
    address: Annotated[
        str | None,
        typer.Argument(
            metavar="[ADDRESS]",
            help="Of the database: postgresql://USER@HOST/NAME; better set WANVIDEO_DATABASE if it has a password.",
        ),
    ] = None,
    storage: Annotated[
        str | None, typer.Option(metavar="PLACE", help="Where the files are. Default: where the server says.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="To work in. Default: worker/ in the user's data folder.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="auto, cpu, cuda or cuda:N. Default: auto, all GPUs.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print events and the log as JSON lines.")] = False,
) -> None:
    """Make videos for the server that has this database, until Ctrl-C or SIGTERM.

    Nothing listens on this computer. Its models are its own: what a job lacks is downloaded first. If it is cut off or
    dies, others go on with its jobs from what they last kept.
    """
    from wanvideo.server import logs
    from wanvideo.server.joining import others, run
    from wanvideo.server.parts import Sources

    output = Output(json=json)
    settings = worker_settings({"database": address, "storage": storage, "data_dir": data_dir, "device": device})
    logs.set_up(json=json, level=logging.DEBUG if debugging() else logging.INFO)
    sources = Sources(places=places(), hubs=hubs(), library=lora_library())

    def started(node: "Node") -> None:
        workers = [each.name for each in node.supervisor.workers()]
        output.event("joined", node=node.supervisor.node, workers=workers, others=len(others(node)))
        output.result(f"{', '.join(workers)} of this computer at work for a queue of {len(others(node)) + 1}")

    run(settings, sources, started)


def worker_settings(given: Mapping[str, Any]) -> "Settings":
    """What was given, and the environment. Raises UsageFault."""
    import platformdirs

    settings = settings_of(given, needs=("database",))
    if "data_dir" in settings.model_fields_set:
        return settings
    usual = platformdirs.user_data_path("wanvideo", appauthor=False) / "worker"  # the usual one is a server's
    return settings.model_copy(update={"data_dir": usual})
