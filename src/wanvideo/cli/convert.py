"""`wan models convert`: any checkpoint that we read, as a Diffusers folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wanvideo.cli.environment import places
from wanvideo.cli.models import size
from wanvideo.cli.output import Output, UsageFault
from wanvideo.errors import ModelMismatch
from wanvideo.families.choose import named
from wanvideo.families.wan import WanModel
from wanvideo.weights.catalog import MODELS
from wanvideo.weights.network import NetworkPart, open_networks

if TYPE_CHECKING:
    from wanvideo.weights.convert import Target, Written


def convert(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="A weight file, a model's folder in any layout, or a model's name.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write; it must not exist yet.")],
    dtype: Annotated[str, typer.Option("--dtype", metavar="bf16|fp8|int8", help="What to write weights as.")] = "bf16",
    json: Annotated[bool, typer.Option("--json", help="JSON lines.")] = False,
) -> None:
    """Write a checkpoint as a Diffusers folder in bfloat16, float8 or int8."""
    if dtype not in ("bf16", "fp8", "int8"):
        raise UsageFault(f"--dtype is {dtype!r:.60}: give bf16, fp8 or int8")
    output, path = Output(json=json), Path(source).expanduser()
    from wanvideo.weights.convert import Target

    target = Target(dtype)
    jobs = _networks(path, out, target) if path.is_file() else _model(source, out, target)
    total = 0
    for written in jobs:
        if written.nbytes == written.total:
            output.event("converted", part=written.part, bytes=written.total)
            output.say(f"{written.part}: {size(written.total)}")
            total += written.total
    output.event("done", path=out.absolute(), bytes=total)
    output.result(str(out))


def _networks(path: Path, out: Path, target: "Target") -> Iterator["Written"]:
    """Of a file: one folder, or with several networks one each."""
    from wanvideo.weights.convert import convert_network

    known = [config for spec in MODELS for config in (spec.transformer, spec.vae, spec.text_encoder) if config]
    parts: tuple[NetworkPart[Any], ...] = open_networks(path, known)
    if not parts:
        raise ModelMismatch(f"{path} holds no network of Wan")
    for part in parts:
        folder = out if len(parts) == 1 else out / part.layout.network.replace(" ", "_")
        yield from convert_network(part, folder, target)


def _model(source: str, out: Path, target: "Target") -> Iterator["Written"]:
    from wanvideo.weights.convert import convert_model

    model = named(source, places()).model
    if not isinstance(model, WanModel) or model.loras:
        raise ModelMismatch(f"{model.entry.id} cannot be written as one checkpoint: give a Wan model or its files")
    yield from convert_model(model.entry, model.folder, out, target)
