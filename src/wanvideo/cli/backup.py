"""`wan backup` and `wan restore`: a server's data folder, copied and put back."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from wanvideo.cli.models import size
from wanvideo.cli.output import Output, UsageFault, many
from wanvideo.cli.serve import settings_of

DataDir = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Of the server.")]
OutputsDir = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Of its videos. Default: where the server has them.")
]


def backup(
    target: Annotated[Path, typer.Argument(metavar="FILE.tar|FOLDER", help="A new one.")],
    data_dir: DataDir = None,
    outputs_dir: OutputsDir = None,
    videos: Annotated[bool, typer.Option(help="The videos too, which are most of the bytes.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON event.")] = False,
) -> None:
    """Copy the queue, its pictures, its videos and the settings of a server, which may run meanwhile.

    Every file is recorded with its SHA-256. Models, LoRAs and logs are not copied.
    """
    from wanvideo.jobs import backup as backups
    from wanvideo.server.stores import folder_left_by

    output = Output(json=json)
    settings = settings_of({"data_dir": data_dir, "outputs_dir": outputs_dir})
    if settings.database is not None:
        raise UsageFault(
            "the queue lies in PostgreSQL: back that up with pg_dump, and this folder by copying its files"
        )
    made = backups.backup(folder_left_by(settings), target, videos=videos)
    for name in made.missing:
        output.say(f"warning: the video {name} is gone, and is not in the backup")
    for name in made.changed:
        output.say(f"warning: the video {name} is not what the server made, and is backed up as it is")
    output.say(f"{many(len(made.files), 'file')}, {size(made.bytes)}{'' if videos else ', without the videos'}")
    output.event("backup", path=target.absolute(), **{**asdict(made), "files": len(made.files), "bytes": made.bytes})
    output.result(str(target))


def restore(
    source: Annotated[Path, typer.Argument(metavar="FILE.tar|FOLDER", help="What `wan backup` made.")],
    data_dir: DataDir = None,
    outputs_dir: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="For the videos. Default: in the data folder.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON event.")] = False,
) -> None:
    """Make a server's data folder of a backup. The folder must be new or empty; every file is verified first.

    Jobs that waited or ran when the backup was made wait again.
    """
    from wanvideo.jobs import backup as backups
    from wanvideo.server.stores import folder_of

    output = Output(json=json)
    folder = folder_of(settings_of({"data_dir": data_dir, "outputs_dir": outputs_dir}))
    found = backups.restore(source, folder)
    output.say(f"{many(len(found.files), 'file')}, {size(found.bytes)}{'' if found.videos else ', without the videos'}")
    output.event(
        "restored", path=folder.root.absolute(), files=len(found.files), bytes=found.bytes, videos=found.videos
    )
    output.result(str(folder.root))
