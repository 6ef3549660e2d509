"""`wan models`: what exists, what is on disk, what it needs."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import typer

from wanvideo.cli.environment import places
from wanvideo.cli.output import Output
from wanvideo.errors import ModelMissing, WanVideoError
from wanvideo.request import Task
from wanvideo.weights.catalog import MODELS, ModelSpec
from wanvideo.weights.finding import require, survey_of
from wanvideo.weights.folder import ModelFolder
from wanvideo.weights.places import Places
from wanvideo.weights.survey import Survey

INPUTS = {Task.TEXT_TO_VIDEO: "text", Task.IMAGE_TO_VIDEO: "image"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Whether a model is on disk: `folder` if it is, else `problem`, whose message says how to get it."""

    spec: ModelSpec
    folder: ModelFolder | None = None
    problem: WanVideoError | None = None

    @property
    def state(self) -> str:
        """ready, missing, or what is wrong with the files."""
        if self.folder is not None:
            return "ready"
        return "missing" if isinstance(self.problem, ModelMissing) else "unusable"


app = typer.Typer(invoke_without_command=True)


@app.callback()
def models(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per model and line.")] = False,
) -> None:
    """List the models: what each is good at, whether it is on disk, what it needs."""
    if context.invoked_subcommand is not None:
        return
    output = Output(json=json)
    # What is wrong with a copy stands in the list.
    logging.getLogger("wanvideo.weights.finding").setLevel(logging.ERROR)
    where = places()
    found = survey_of(where)
    for spec in MODELS:
        presence = look_for(spec, where, found)
        output.event("model", **facts(presence))
        output.result("\n".join(_lines(presence)) + "\n")


def model_names(incomplete: str) -> list[str]:
    """For shell completion."""
    return [spec.id for spec in MODELS if spec.id.casefold().startswith(incomplete.casefold())]


def look_for(spec: ModelSpec, where: Places, found: Survey | None = None) -> Presence:
    try:
        return Presence(spec=spec, folder=require(spec, where, found=found))
    except WanVideoError as error:
        return Presence(spec=spec, problem=error)


def facts(presence: Presence) -> dict[str, object]:
    spec, folder, problem = presence.spec, presence.folder, presence.problem
    return {
        "id": spec.id,
        "title": spec.title,
        "demo": spec.demo,
        "tasks": spec.tasks,
        "takes_end_image": spec.takes_end_image,
        "good_at": spec.good_at,
        "needs": spec.needs,
        "licence": spec.licence,
        "repo_id": spec.repo_id,
        "state": presence.state,
        "path": folder.path if folder else None,
        "precision": folder.precision if folder else None,
        "paths": folder.paths if folder else None,
        "bytes": folder.nbytes if folder else None,
        "problem": problem.message if problem else None,
    }


def inputs(spec: ModelSpec) -> str:
    """What a video is made from, such as "text or image"."""
    names = " or ".join(INPUTS[task] for task in Task if task in spec.tasks)
    return f"{names}, end image too" if spec.takes_end_image else names


def _lines(presence: Presence) -> Iterator[str]:
    spec, folder = presence.spec, presence.folder
    yield f"{spec.id}{' (demo)' if spec.demo else ''}: {spec.title}, from {inputs(spec)}"
    yield f"  good at   {spec.good_at}"
    yield f"  needs     {spec.needs}"
    if folder is not None:
        yield f"  on disk   {size(folder.nbytes)}, {folder.precision}, in {folder.path}"
        if not folder.path.is_dir():  # assembled from parts that lie here and there
            yield from (f"            {part}: {path}" for part, path in folder.paths.items())
    elif presence.problem is not None:
        yield f"  {presence.state:9} {presence.problem.message}"


def size(nbytes: int) -> str:
    return f"{nbytes / 2**30:.1f} GiB" if nbytes >= 2**30 else f"{nbytes / 2**20:.1f} MiB"
