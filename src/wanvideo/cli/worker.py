"""`wan worker`: the workers of a server, and this computer as one for the queue of another."""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from wanvideo.cli.environment import debugging, hubs, lora_library, places
from wanvideo.cli.output import Output
from wanvideo.cli.serve import settings_of
from wanvideo.cli.where import client_of_server

if TYPE_CHECKING:
    from wanvideo.client import Machine, Worker
    from wanvideo.server.node import Node
    from wanvideo.server.settings import Settings

ABOUT: Final = "Show and change who makes videos for a server, or let this computer do it for a queue of several."
Models = Annotated[str, typer.Option(metavar="NAMES", help="That it takes, with commas. Default: all.")]
Memory = Annotated[float | None, typer.Option(metavar="GIB", help="Of GPU memory, at most. Default: no limit.")]
Name = Annotated[str, typer.Argument(metavar="WORKER", help="Its name from `wan worker list`.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]

app = typer.Typer(help=ABOUT, no_args_is_help=True)


@app.callback()
def worker() -> None:
    """Show and change who makes videos for a server, or let this computer do it for a queue of several."""


@app.command("list")
def list_(json: Json = False) -> None:
    """List the workers of the running server, and other machines of its queue: what they do, and why one does not."""
    output = Output(json=json)
    with client_of_server() as client:
        found, machines = client.workers(), client.machines()
    for each in found:
        output.event("worker", **asdict(each))
        output.result(_line(each))
    others = [machine for machine in machines if not machine.here]
    for machine in others:
        output.event("machine", **asdict(machine))
        output.result(_line_of_machine(machine))
    if not found and not any(machine.workers for machine in others):
        output.say("no workers: `wan worker add cuda:0` makes one")


@app.command("add")
def add(
    devices: Annotated[list[str], typer.Argument(metavar="DEVICE...", help="cpu or cuda:N; several: a group.")],
    models: Models = "",
    memory: Memory = None,
    json: Json = False,
) -> None:
    """Give the running server one more worker, until it stops."""
    with client_of_server() as client:
        _told(client.add_worker(devices, models=_names(models), memory_limit_gb=memory), "added", json=json)


@app.command("limit")
def limit(name: Name, models: Models = "", memory: Memory = None, json: Json = False) -> None:
    """Say what a worker takes, from its next job on; without options, it takes all."""
    with client_of_server() as client:
        _told(client.limit_worker(name, models=_names(models), memory_limit_gb=memory), "limited", json=json)


@app.command("return")
def return_(name: Name, json: Json = False) -> None:
    """Let a worker that was taken out have jobs again."""
    with client_of_server() as client:
        _told(client.return_worker(name), "returned", json=json)


@app.command("remove")
def remove(
    name: Name,
    now: Annotated[bool, typer.Option("--now", help="Its job goes on in another one, from what is kept.")] = False,
    json: Json = False,
) -> None:
    """Let a worker go, when it has done its job."""
    output = Output(json=json)
    with client_of_server() as client:
        client.remove_worker(name, now=now)
    output.event("removed", name=name, now=now)
    output.result(f"{name} goes {'now' if now else 'when it has done its job'}")


def _told(worker: "Worker", what: str, *, json: bool) -> None:
    output = Output(json=json)
    output.event(what, **asdict(worker))
    output.result(_line(worker))


def _line(worker: "Worker") -> str:
    said = [f"{worker.name:<12} {worker.state}"]
    if worker.task_id is not None:
        said.append(f"with job {worker.task_id[:8]}")
    if worker.loaded:
        said.append(f"has {', '.join(worker.loaded)} loaded")
    if worker.vram_mb is not None and worker.peak_vram_mb is not None:
        said.append(f"uses {worker.vram_mb / 1024:.1f} GiB of GPU memory, at most {worker.peak_vram_mb / 1024:.1f}")
    if worker.models:
        said.append(f"takes {', '.join(worker.models)} alone")
    if worker.memory_limit_gb is not None:
        said.append(f"uses {worker.memory_limit_gb:g} GiB at most")
    if worker.problem is not None:
        said.append(worker.problem)
    return "; ".join(said)


def _line_of_machine(machine: "Machine") -> str:
    said = [f"{machine.host}, {machine.kind} {machine.id} of version {machine.version}"]
    for each in machine.workers:
        job = "" if each.task_id is None else f" with job {each.task_id[:8]}"
        said.append(f"{each.name} {each.state}{job}{'' if each.problem is None else f' ({each.problem})'}")
    return "; ".join(said)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


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
