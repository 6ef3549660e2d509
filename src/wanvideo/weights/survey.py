"""What lies in all the places where models may be: networks, one by one, each of which can be part of several models.

No torch. Only headers are read, of a bounded number of files, and only of those whose names or folders speak of Wan.
"""

import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

from wanvideo.errors import ModelCorrupt, ModelIncomplete, ModelMismatch, WanVideoError
from wanvideo.models.config import TextEncoderConfig, TransformerConfig, VAEConfig
from wanvideo.weights.headers import WeightFile
from wanvideo.weights.labels import Label, read_label
from wanvideo.weights.layout import Config
from wanvideo.weights.network import INDEX_SUFFIX, SHARD, AnyPart, NetworkPart, open_networks
from wanvideo.weights.places import MODEL_INDEX, Places, Role, snapshots
from wanvideo.weights.registry import registered
from wanvideo.weights.stored import EMBEDDED

log = logging.getLogger(__name__)

_SUFFIXES: Final = (".safetensors", ".gguf")
PICKLED: Final = (".pth", ".pt", ".ckpt", ".bin")  # looked at only to say what to get instead
_RELEVANT: Final = re.compile(r"wan|t5|vae|[ti]2v", re.IGNORECASE)
_TOKENIZERS: Final = ("tokenizer.json", "spiece.model")
_TOKENIZER_FOLDER: Final = re.compile(r"tokenizer|t5", re.IGNORECASE)
# Folders of ComfyUI and others that hold no networks of ours.
_SKIPPED: Final = frozenset(
    {
        "loras", "lora", "controlnet", "clip_vision", "embeddings", "upscale_models", "hypernetworks", "style_models",
        "gligen", "photomaker", "ultralytics", "insightface", "image_encoder", "__pycache__", "node_modules",
    }
)  # fmt: skip
_MOST_FILES: Final = 2000  # whose headers one survey reads
_MOST_FOLDERS: Final = 20_000
_DEEPEST: Final = 6  # folders below a place


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformer:
    """A transformer that was found, and which one it is."""

    part: NetworkPart[TransformerConfig]
    label: Label
    role: Role | None  # as the user said, or else as the name says


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A file that could not be used."""

    path: Path
    error: WanVideoError


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """All that was found, the places of the user first."""

    transformers: tuple[Transformer, ...] = ()
    vaes: tuple[NetworkPart[VAEConfig], ...] = ()
    text_encoders: tuple[NetworkPart[TextEncoderConfig], ...] = ()
    tokenizers: tuple[Path, ...] = ()  # folders with a tokenizer.json, or files that are or hold one
    diffusers: tuple[Path, ...] = ()  # folders with a model_index.json
    problems: tuple[Problem, ...] = ()


def survey(places: Places, known: Iterable[Config]) -> Survey:
    """Look into every place. `known` are the architectures that are looked for."""
    known = tuple(dict.fromkeys(known))
    parts: list[tuple[AnyPart, Role | None]] = []
    problems: list[Problem] = []
    others: list[Path] = []
    for path, role in islice(_files(places), _MOST_FILES):
        if path.name in (MODEL_INDEX, *_TOKENIZERS):
            others.append(path)
            continue
        try:
            parts += [(part, role) for part in open_networks(path, known)]
        except (ModelCorrupt, ModelIncomplete, ModelMismatch) as error:
            log.debug("%s is not used: %s", path, error)
            problems.append(Problem(path=path, error=error))
    text_encoders = tuple(part for part, _ in parts if isinstance(part.config, TextEncoderConfig))
    return Survey(
        transformers=tuple(
            _transformer(part, role) for part, role in parts if isinstance(part.config, TransformerConfig)
        ),
        vaes=tuple(part for part, _ in parts if isinstance(part.config, VAEConfig)),
        text_encoders=text_encoders,
        tokenizers=(
            *(path.parent if path.name == _TOKENIZERS[0] else path for path in others if path.name in _TOKENIZERS),
            *(part.path for part in text_encoders if embeds_tokenizer(part.files)),
        ),
        diffusers=tuple(path.parent for path in others if path.name == MODEL_INDEX),
        problems=tuple(problems),
    )


def _transformer(part: NetworkPart[TransformerConfig], role: Role | None) -> Transformer:
    label = read_label(part.path)
    return Transformer(part=part, label=label, role=role or label.role)


def embeds_tokenizer(files: Sequence[WeightFile]) -> bool:
    """Whether the files of a text encoder hold its tokenizer too."""
    return any(EMBEDDED in file.tensors or "tokenizer.ggml.model" in file.metadata for file in files)


def files_at_hand(places: Places) -> Iterator[Path]:
    """Weight files outside the hub's cache."""
    for path, _ in _files(replace(places, hub_cache=None)):
        if path.name.lower().endswith(_SUFFIXES):
            yield path


def _files(places: Places) -> Iterator[tuple[Path, Role | None]]:
    """Checkpoints, indexes of shards, tokenizers and model indexes, each once, with the role that the user gave."""
    seen: set[str] = set()
    for path, role in _all_files(places):
        real = os.path.realpath(path)  # unlike Path.resolve, it does not mind links in a circle
        if real not in seen:
            seen.add(real)
            yield path, role


def _all_files(places: Places) -> Iterator[tuple[Path, Role | None]]:
    for added in registered(places):
        found = _walk(added.path) if os.path.isdir(added.path) else [added.path]  # noqa: PTH112  # may be forbidden
        yield from ((path, added.role) for path in found)
    for root in places.roots:
        yield from ((path, None) for path in _walk(root))
    if places.hub_cache is not None and places.hub_cache.is_dir():
        for repository in sorted(places.hub_cache.glob("models--*")):
            for snapshot in snapshots(repository):
                for path in _walk(snapshot):
                    if _RELEVANT.search(f"{repository.name}/{path.relative_to(snapshot)}"):
                        yield path, None


def _walk(root: Path) -> Iterator[Path]:
    """The files below a folder that may be of use, in the order of their names; links are followed, but not twice."""
    visited: set[str] = set()
    for count, (folder, subfolders, names) in enumerate(os.walk(root, followlinks=True)):
        real = os.path.realpath(folder)
        depth = len(Path(folder).relative_to(root).parts)
        if real in visited or depth > _DEEPEST or count > _MOST_FOLDERS:
            subfolders.clear()
            continue
        visited.add(real)
        subfolders[:] = sorted(n for n in subfolders if not n.startswith(".") and n.lower() not in _SKIPPED)
        yield from (Path(folder, name) for name in sorted(names) if _may_be_of_use(Path(folder, name)))


def _may_be_of_use(path: Path) -> bool:
    name = path.name.lower()
    if name in _TOKENIZERS:
        return _TOKENIZER_FOLDER.search(path.parent.name) is not None
    if name.endswith(PICKLED):
        return _RELEVANT.search(name) is not None
    is_shard = SHARD.search(name) is not None
    return name == MODEL_INDEX or name.endswith(INDEX_SUFFIX) or (name.endswith(_SUFFIXES) and not is_shard)
