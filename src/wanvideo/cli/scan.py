"""`wan models add` and `wan models scan`: models that are already on disk, wherever they are."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from wanvideo.cli.environment import places
from wanvideo.cli.models import size
from wanvideo.cli.output import Output, UsageFault
from wanvideo.errors import WanVideoError
from wanvideo.weights.adding import look_at, needs_role
from wanvideo.weights.catalog import MODELS, ModelSpec
from wanvideo.weights.finding import find_all, survey_of
from wanvideo.weights.folder import ModelFolder
from wanvideo.weights.network import NetworkPart
from wanvideo.weights.places import Added, Places, Role
from wanvideo.weights.registry import register, usual_registry
from wanvideo.weights.survey import Survey, Transformer


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one model stands, with what was found."""

    spec: ModelSpec
    folders: tuple[ModelFolder, ...]  # whole ones, the best first
    problem: WanVideoError | None  # why there is none, although something of it is there


def add(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A weight file, a model's folder, or ComfyUI's models.")],
    role: Annotated[
        Role | None,
        typer.Option(
            "--as",
            help="What a transformer is, if its name does not say: high- or low-noise expert, or the only one.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON lines.")] = False,
) -> None:
    """Use a model where it lies: register a file or folder, without copying it."""
    output, where = Output(json=json), Path(path).expanduser().absolute()
    if not where.exists():
        raise UsageFault(f"{where} does not exist: give a file or a folder")
    added = Added(path=where, role=role)
    found = look_at(added)
    if needs_role(added, found):
        raise UsageFault(
            f"{where} could be the high-noise or the low-noise expert of Wan 2.2, or a model of Wan 2.1, and its name "
            "does not say: add --as high, --as low or --as only",
            suggestions=[f"wan models add {where} --as {each}" for each in Role],
        )
    if role is not None and len(found.transformers) != 1:
        raise UsageFault(
            f"--as is for one transformer, and {where} holds {len(found.transformers)}: add them one by one"
        )
    register(usual_registry(), added)
    _show_networks(output, found)
    everything = places()
    new = {transformer.part.path for transformer in found.transformers}
    for standing in _standings(everything, survey_of(everything)):
        paths = {part.path for folder in standing.folders for part in folder.transformers}
        if paths & new or (standing.problem is not None and new):
            _show_standing(output, standing)
    output.event("added", path=where, role=role)
    output.say(f"added {where}")


def scan(
    path: Annotated[str | None, typer.Argument(metavar="PATH", help="Only this file or folder.")] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON lines.")] = False,
) -> None:
    """Show what is on disk, in any layout and format: which models it makes, and what they lack."""
    output = Output(json=json)
    where = places() if path is None else Places(added=(Added(path=_existing(path)),))
    found = survey_of(where)
    _show_networks(output, found)
    for standing in _standings(where, found):
        _show_standing(output, standing)
    if not (found.transformers or found.vaes or found.text_encoders or found.problems):
        output.say("no weights of Wan were found: `wan models add PATH` registers what lies elsewhere")


def _existing(path: str) -> Path:
    where = Path(path).expanduser().absolute()
    if not where.exists():
        raise UsageFault(f"{where} does not exist: give a file or a folder")
    return where


def _standings(where: Places, found: Survey) -> Iterator[Standing]:
    """Of the models of which anything is there."""
    for spec in MODELS:
        if spec.demo:
            continue
        try:
            folders, problem = tuple(find_all(spec, where, found=found)), None
        except WanVideoError as error:
            folders, problem = (), error
        if folders or problem:
            yield Standing(spec=spec, folders=folders, problem=problem)


def _show_networks(output: Output, found: Survey) -> None:
    for transformer in found.transformers:
        models = _models_of(transformer)
        role = transformer.role or ("only" if all(spec.experts == 1 for spec in models) else "unknown role")
        _show_network(output, transformer.part, "transformer", models=[spec.id for spec in models], role=role)
    for part in found.vaes:
        _show_network(output, part, "vae", models=[spec.id for spec in MODELS if spec.vae == part.config])
    for encoder in found.text_encoders:
        _show_network(output, encoder, "text encoder")
    for tokenizer in found.tokenizers:
        output.event("found", network="tokenizer", path=tokenizer)
    for problem in found.problems:
        output.event("problem", path=problem.path, code=problem.error.code, message=problem.error.message)
        output.result(f"not used: {problem.error.message}")


def _models_of(transformer: Transformer) -> list[ModelSpec]:
    """Those that it can be part of, as far as its name tells."""
    alike = [spec for spec in MODELS if spec.transformer == transformer.part.config]
    if transformer.role is None:
        return alike
    return [spec for spec in alike if (spec.experts == 1) == (transformer.role is Role.ONLY)]


def _show_network(output: Output, part: NetworkPart[Any], network: str, **facts: Any) -> None:
    output.event("found", network=network, path=part.path, precision=part.precision, bytes=part.nbytes, **facts)
    role = f", {facts['role']}" if "role" in facts else ""
    models = f" ({', '.join(facts['models'])})" if facts.get("models") else ""
    output.result(f"{part.path}\n  {network}{role}, {part.precision}, {size(part.nbytes)}{models}")


def _show_standing(output: Output, standing: Standing) -> None:
    spec, problem = standing.spec, standing.problem
    sets = [{"precision": one.precision, "bytes": one.nbytes, "paths": one.paths} for one in standing.folders]
    output.event(
        "model",
        id=spec.id,
        state="ready" if standing.folders else "incomplete",
        problem=problem.message if problem else None,
        sets=sets,
    )
    if problem is not None:
        output.result(problem.message)
    for folder in standing.folders:
        output.result(f"{spec.id}: ready, {folder.precision}, {size(folder.nbytes)}")
