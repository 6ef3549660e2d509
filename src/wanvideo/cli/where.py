"""Where a video is made: in this process, or by the server that runs, and why."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wanvideo.cli.job import Job
from wanvideo.cli.output import Output, UsageFault
from wanvideo.cli.values import existing
from wanvideo.media.output import STILL_SUFFIXES

if TYPE_CHECKING:
    from wanvideo.client import Client, Server

SERVED_STILL: Final = ".png"  # what a server makes of one frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    server: "Server | None"  # None: this process
    said: str  # which, and why


def client_of_server() -> "Client":
    """Loaded when it is wanted, since every command would wait for it. Raises NoServer."""
    from wanvideo.client import Client

    return Client()


def place_of(job: Job) -> Place:
    """Raises UsageFault for what the server that was named cannot do."""
    if job.local:
        return Place(server=None, said="in this process: --local says so")
    from wanvideo.client.find import URL_VARIABLE, find_server

    server = find_server()
    if server is None:
        return Place(server=None, said="in this process: no server is running")
    if (only := only_here(job)) is None:
        why = f"{URL_VARIABLE} names it" if server.named else "it is running; --local makes it here"
        return Place(server=server, said=f"by the server {server.url}: {why}")
    if server.named:
        raise UsageFault(f"{only} is nothing for the server {server.url}: leave it out, or make it here with --local")
    return Place(server=None, said=f"in this process: {only} is nothing for the server {server.url}")


def only_here(job: Job) -> str | None:
    """What of the job a server cannot do, since it works with its own device and its own files; None: it can do all."""
    given = {
        "--device": job.device if job.device != "auto" else None,
        "--dtype": job.dtype,
        "--tile": job.tile,
        "--memory-limit": job.memory_limit,
        "--gpus": job.gpus if job.gpus != 1 else None,
        "--save-state": job.save_state,
        "--resume": job.resume,
    }
    if (option := next((name for name, value in given.items() if value is not None), None)) is not None:
        return option
    if job.model is not None and existing(job.model):
        return f"the folder {job.model}"
    if (lora := next((use for use in job.request.loras if existing(str(use.source))), None)) is not None:
        return f"the LoRA file {lora.source}"
    suffix = Path(job.out or "").suffix.lower()
    if (suffix in STILL_SUFFIXES and suffix != SERVED_STILL) or (suffix == ".mp4" and job.request.frames == 1):
        return f"--out {job.out}"
    return None


def make(output: Output, job: Job) -> None:
    """Make the video there. Raises whatever stands in the way, and Cancelled after Ctrl-C."""
    _check_several(job)
    place = place_of(job)
    output.event("where", server=None if place.server is None else place.server.url, reason=place.said)
    if place.server is None:
        from wanvideo.cli.run import run

        run(output, job, place.said)
    else:
        from wanvideo.cli.remote import run_there

        output.say(f"made {place.said}")
        run_there(output, job, place.server)


def _check_several(job: Job) -> None:
    """Raises UsageFault for what goes with one video alone."""
    if len(job.requests) == 1:
        return
    folder = existing(job.out) if job.out is not None else Path()
    if folder is None or not folder.is_dir():
        raise UsageFault(f"{len(job.requests)} videos do not fit into {job.out}: give --out an existing folder")
    if job.save_state is not None or job.resume is not None:
        raise UsageFault("--save-state and --resume are for one video: make them one by one")
