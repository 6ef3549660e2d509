"""`wan lora`: the LoRAs at hand, new ones, and what is known about each."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from wanvideo.cli.environment import hub_folder, hubs, lora_library
from wanvideo.cli.models import size
from wanvideo.cli.output import Output
from wanvideo.cli.pull import follow
from wanvideo.cli.values import existing
from wanvideo.errors import InvalidRequest, LoraError
from wanvideo.models.config import TransformerConfig
from wanvideo.weights.catalog import MODELS
from wanvideo.weights.download.plan import plan_download
from wanvideo.weights.download.run import Choice
from wanvideo.weights.lora.file import LoraFile, fit, read_lora
from wanvideo.weights.lora.hub import cached, parse_reference
from wanvideo.weights.lora.library import About, LoraEntry
from wanvideo.weights.lora.names import expert_of
from wanvideo.weights.variants import Part

EXPERTS = {Part.TRANSFORMER: "high", Part.TRANSFORMER_2: "low"}

Json = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]

app = typer.Typer(invoke_without_command=True)


@app.callback()
def lora(context: typer.Context, json: Json = False) -> None:
    """List the LoRAs at hand; add, show and remove them."""
    if context.invoked_subcommand is None:
        _list(Output(json=json))


@app.command("list")
def list_(json: Json = False) -> None:
    """List the LoRAs: your own, those of WAN_LORAS, and those that come with wanvideo."""
    _list(Output(json=json))


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME_OR_PATH", help="A name from `wan lora list`, a file or a folder.")
    ],
    json: Json = False,
) -> None:
    """Show what a LoRA is made for, how large it is, and which words call for it."""
    output = Output(json=json)
    entry = lora_library().find(name)
    files = [read_lora(path) for path in entry.files]
    about = entry.about()
    output.event("lora", **_facts(entry, about), files=[_file_facts(file) for file in files])
    output.result("\n".join([*_lines(entry, about), *(line for file in files for line in _file_lines(file))]))


@app.command()
def add(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="A .safetensors file, or the two of a high/low pair, or ORG/REPOSITORY[/PATH] on Hugging Face.",
        ),
    ],
    name: Annotated[str | None, typer.Option(help="What to call it. Default: by the name of the file.")] = None,
    trigger: Annotated[
        list[str] | None, typer.Option(metavar="WORDS", help="Words that call for it; may be given more than once.")
    ] = None,
    notes: Annotated[str, typer.Option(help="Anything worth knowing.")] = "",
    link: Annotated[bool, typer.Option("--link", help="Leave the files where they are.")] = False,
    json: Json = False,
) -> None:
    """Check a LoRA and put it into the library."""
    output = Output(json=json)
    files = _in_order([path for text in source for path in _paths(output, text)])
    about = About(trigger_words=tuple(trigger or ()), notes=notes, source=" ".join(source))
    entry = lora_library().add(files, name=name, about=about, link=link)
    output.event("added", **_facts(entry, entry.about()))
    output.result(f"{entry.name} is added: wan generate --lora {_quoted(entry.name)} ...")


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="A name from `wan lora list`.")],
    json: Json = False,
) -> None:
    """Delete a LoRA from the library; of a link, only the link."""
    output = Output(json=json)
    entry, freed = lora_library().remove(name)
    output.event("removed", name=entry.name, bytes=freed)
    output.result(f"{entry.name} is removed, {size(freed)} are free")


def lora_names(incomplete: str) -> list[str]:
    """For shell completion."""
    names = (entry.name for entry in lora_library().entries())
    return [name for name in names if name.casefold().startswith(incomplete.casefold())]


# --- what to add -----------------------------------------------------------------------------------------------------


def _paths(output: Output, text: str) -> tuple[Path, ...]:
    """The files that a source means: at a path, or else from the hub, through its cache."""
    if existing(str(Path(text).expanduser())):
        return lora_library().find(Path(text).expanduser()).files
    remote = parse_reference(text)
    if remote is None:
        return lora_library().find(text).files
    if not (there := cached(remote, hub_folder())):
        ways = [
            Choice(title=f"{remote} from {hub.host}", plan=partial(plan_download, (remote,), hub, hub_folder()))
            for hub in hubs()
        ]
        follow(output, ways, f"wan lora add {text}", yes=False)
        there = cached(remote, hub_folder())
    return there


def _in_order(files: list[Path]) -> list[Path]:
    """One file, or a pair with that of the high-noise expert first. Raises InvalidRequest for anything else."""
    if len(files) == 1:
        return files
    by_part = {expert_of(path): path for path in files}
    if len(files) != 2 or by_part.keys() != EXPERTS.keys():
        shown = ", ".join(path.name for path in files[:6])
        raise InvalidRequest(
            f"{len(files)} files ({shown}) are neither one LoRA nor a pair for high and low noise: name one, or two "
            "with high and low in their names"
        )
    return [by_part[part] for part in EXPERTS]


def _quoted(name: str) -> str:
    return f"'{name}'" if " " in name else name


# --- what to print ---------------------------------------------------------------------------------------------------


def _list(output: Output) -> None:
    entries = lora_library().entries()
    for entry in entries:
        try:
            about = entry.about()
        except LoraError as error:
            output.event("lora", **_facts(entry, About()), problem=error.message)
            output.result(f"{entry.name}\n  unusable  {error.message}\n")
        else:
            output.event("lora", **_facts(entry, about), problem=None)
            output.result("\n".join(_lines(entry, about)) + "\n")
    if not entries:
        output.say("there are no LoRAs: `wan lora add FILE` takes one into the library")


def _facts(entry: LoraEntry, about: About) -> dict[str, object]:
    return {
        "name": entry.name,
        "paths": entry.files,
        "bytes": entry.nbytes,
        "own": entry.own,
        "trigger_words": about.trigger_words,
        "notes": about.notes,
        "source": about.source,
    }


def _lines(entry: LoraEntry, about: About) -> Iterator[str]:
    yield entry.name + (" (high and low)" if len(entry.files) == 2 else "")
    yield f"  on disk   {size(entry.nbytes)} in {entry.files[0].parent}"
    if about.trigger_words:
        yield f"  trigger   {', '.join(about.trigger_words)}"
    if about.notes:
        yield f"  notes     {about.notes}"
    if about.source:
        yield f"  from      {about.source}"


def _file_facts(file: LoraFile) -> dict[str, object]:
    return {
        "path": file.path,
        "dialect": file.dialect,
        "base": file.base,
        "width": file.width,
        "ranks": file.ranks,
        "modules": len(file.targets),
        "experts": _experts(file),
        "models": _models(file),
        "image_branch": len(file.image_branch),
        "unknown": len(file.unknown),
        "digest": file.digest,
    }


def _file_lines(file: LoraFile) -> Iterator[str]:
    ranks = ", ".join(str(rank) for rank in file.ranks) or "none"
    yield f"  {file.path.name}"
    yield f"    made for  {file.base}, {' and '.join(_experts(file))} noise"
    yield f"    fits      {', '.join(_models(file)) or 'no model here'}"
    yield f"    holds     {len(file.targets)} modules, rank {ranks}, written as {file.dialect}"
    if file.image_branch or file.unknown:
        yield f"    left out  {len(file.image_branch)} tensors of the image branch, {len(file.unknown)} unknown"


def _experts(file: LoraFile) -> list[str]:
    part = expert_of(file.path)
    named = file.parts or (frozenset(EXPERTS) if part is None else frozenset({part}))
    return [word for part, word in EXPERTS.items() if part in named]


def _models(file: LoraFile) -> list[str]:
    """The models of the catalogue that it fits."""

    def fits(config: TransformerConfig) -> bool:
        try:
            fit(file, config)
        except LoraError:
            return False
        return True

    return [spec.id for spec in MODELS if fits(spec.transformer)]
