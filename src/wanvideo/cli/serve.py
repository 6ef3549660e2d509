"""`wan serve`: the HTTP server."""

import logging
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wanvideo.cli.environment import debugging, hubs, lora_library, places
from wanvideo.cli.output import Output, UsageFault
from wanvideo.errors import WanVideoError

if TYPE_CHECKING:
    from wanvideo.server.cluster import Cluster
    from wanvideo.server.settings import Settings


class PortTaken(WanVideoError):
    """Another program listens there."""

    code = "PORT_TAKEN"


def serve(
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="To listen on. Default: 127.0.0.1, this computer alone.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Default: 9000; 0 takes any free one.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="For the queue, the videos and the settings.")
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="postgresql://USER@HOST/NAME instead of SQLite; better set WANVIDEO_DATABASE if it has a password.",
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(metavar="PLACE", help="That several machines share: an absolute folder or s3://BUCKET/PREFIX."),
    ] = None,
    executor: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="process, or ray: one worker for each GPU, or group of them, of the Ray cluster here."
        ),
    ] = None,
    outputs_dir: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="For finished videos. Default: outputs/ in the data folder.")
    ] = None,
    name_template: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Of their files, such as {date}-{model}-{seed}-{prompt}; also {time}, {size}, {frames}, {steps} and "
            "{id}.",
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAMES", help="auto, cpu, cuda:N, or several with commas. Default: all GPUs.")
    ] = None,
    gpus_per_job: Annotated[
        str | None,
        typer.Option(
            metavar="N|auto",
            help="GPUs that make one video together. auto: all that are idle, shared by those that wait. Default: 1.",
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Needed for other addresses; better set WANVIDEO_TOKEN, which nobody sees."),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Serve other computers without a token: whoever reaches it may use it.")
    ] = False,
    demo: Annotated[bool, typer.Option("--demo", help="The three model types mean the built-in demo models.")] = False,
    compat_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="Of another web client, such as http://localhost:3000; it gets CORS."),
    ] = None,
    allowed_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A further name under which the server may be called.")
    ] = None,
    root_aliases: Annotated[
        bool, typer.Option("--root-aliases", help="/queue, /outputs, /system and /prompt too, for older clients.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print events and the log as JSON lines.")] = False,
) -> None:
    """Start the server: a queue that survives anything, an API, and /ws for what happens.

    Every option can be set in the environment as well: WANVIDEO_PORT, WANVIDEO_DATA_DIR, ... Ctrl-C or SIGTERM stops:
    the step at work is finished and saved, and goes on when the server starts again.
    """
    from wanvideo.server import logs
    from wanvideo.server.parts import Sources
    from wanvideo.server.run import run

    output = Output(json=json)
    given: dict[str, Any] = {
        "host": host,
        "port": port,
        "data_dir": data_dir,
        "database": database,
        "storage": storage,
        "executor": executor,
        "outputs_dir": outputs_dir,
        "name_template": name_template,
        "device": device,
        "gpus_per_job": gpus_per_job,
        "token": token,
        "insecure": insecure or None,
        "demo": demo or None,
        "compat_origin": tuple(compat_origin) if compat_origin else None,
        "allowed_hosts": tuple(allowed_host) if allowed_host else None,
        "root_aliases": root_aliases or None,
    }
    settings = settings_of(given)
    logs.set_up(json=json, level=logging.DEBUG if debugging() else logging.INFO)
    listener = _listen(settings.host, settings.port)
    settings = settings.model_copy(update={"port": listener.getsockname()[1]})
    sources = Sources(places=places(), hubs=hubs(), library=lora_library())
    say = output.say
    for warning in settings.warnings:
        say(f"warning: {warning}")

    def started() -> None:
        output.event("serving", url=settings.url, port=settings.port, data_dir=settings.data_dir, demo=settings.demo)
        output.result(settings.url)
        if settings.demo:
            say("the three model types mean the built-in demo models")

    with listener:
        cluster = _cluster(settings) if settings.executor == "ray" else None
        run(settings, sources, listener, started, cluster=cluster)


def _cluster(settings: "Settings") -> "Cluster":
    """Raises ClusterUnsafe before anything is opened."""
    from wanvideo.cli.ray_group import RayGroup
    from wanvideo.server.cluster import Cluster, require_token

    require_token()
    return Cluster(RayGroup, 1 if settings.gpus_per_job == "auto" else settings.gpus_per_job)


def settings_of(given: Mapping[str, Any], *, needs: Sequence[str] = ()) -> "Settings":
    """What was given, None apart, and the environment. Raises UsageFault, with what is wrong in words.

    needs: what has to be set.
    """
    from pydantic import ValidationError

    from wanvideo.server.settings import PREFIX, Settings

    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, each['loc'])) or 'settings'}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors()
        ]
        raise UsageFault(f"{'; '.join(faults)} (`wan serve --help`, or variables {PREFIX}...)") from None
    for name in needs:
        if getattr(settings, name) is None:
            raise UsageFault(f"the {name} is missing: name it, or set {PREFIX}{name.upper()}")
    return settings


def _listen(host: str, port: int) -> socket.socket:
    """Bound before anything else is opened. Raises PortTaken."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise UsageFault(f"{host} is no address of this computer: {error.strerror}") from None
    # Only of a socket that says it is TCP, asyncio turns the delay off that makes every small answer wait for 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise PortTaken(
            f"port {port} of {host} cannot be used: {error.strerror}. Is a server running already? Choose another one "
            "with --port"
        ) from None
    return listener
