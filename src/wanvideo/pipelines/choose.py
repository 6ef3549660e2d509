"""Which model to use: the one that is named, or the best one at hand for what is given. No torch."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wanvideo.errors import UnknownModel, WanVideoError
from wanvideo.pipelines.memory import footprint
from wanvideo.pipelines.size import Size
from wanvideo.request import GenerationRequest
from wanvideo.weights import catalog
from wanvideo.weights.catalog import ModelSpec
from wanvideo.weights.finding import find_all, open_loose, require, survey_of
from wanvideo.weights.folder import ModelFolder, open_folder, spec_of
from wanvideo.weights.places import MODEL_INDEX, Places, hub_cache

# The best first; of two that take the same inputs, the first that is at hand is used.
_BEST_FIRST: Final = (
    catalog.T2V_A14B,
    catalog.I2V_A14B,
    catalog.TI2V_5B,
    catalog.WAN21_T2V_14B,
    catalog.WAN21_T2V_1_3B,
)
_DEMOS: Final = (catalog.T2V_A14B_DEMO, catalog.I2V_A14B_DEMO)  # text alone, and pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A model on disk, and in half a sentence why it was taken."""

    spec: ModelSpec
    folder: ModelFolder
    reason: str


def usual_places(roots: Sequence[str | os.PathLike[str]] = ()) -> Places:
    """`roots`, and where the Hugging Face hub keeps its downloads for this user."""
    return Places(roots=tuple(Path(root) for root in roots), hub_cache=hub_cache(os.environ, Path.home()))


def named(name_or_folder: str | os.PathLike[str], places: Places, variant: str | None = None) -> Choice:
    """The model of that name in any spelling, or else the folder or file there.

    variant: of a name, which form to take; a precision such as "fp8" or "q4_k_m", or a word in the files' names.

    Raises UnknownModel if it is neither, ModelMissing and its kin if the files are not in order.
    """
    if isinstance(name_or_folder, str):
        try:
            spec = catalog.resolve(name_or_folder)
        except UnknownModel:
            if not Path(name_or_folder).expanduser().is_dir() and not _looks_like_path(name_or_folder):
                raise
        else:
            folder = require(spec, places, variant=variant)
            return Choice(spec=spec_of(folder), folder=folder, reason="asked for by name")
    path = Path(name_or_folder).expanduser()
    folder = open_folder(path) if _is_diffusers(path) else open_loose(path, places)
    return Choice(spec=spec_of(folder), folder=folder, reason=f"found in {folder.path}")


def choose(request: GenerationRequest, places: Places, free_bytes: int | None) -> Choice:
    """The best real model for the inputs of `request` that is on disk and fits, else the demo model for them.

    free_bytes: memory of the GPU; None: there is no GPU, on which alone real models finish in reasonable time.
    Raises ModelMissing if not even the demo model is there.
    """
    found = survey_of(places)
    refused: list[str] = []
    for spec in _BEST_FIRST:
        if not _takes(spec, request):
            continue
        try:
            folders = find_all(spec, places, found=found)
        except WanVideoError as error:
            refused.append(f"{spec.id} is damaged ({error.code})")
            continue
        if folders and free_bytes is None:
            refused.append(f"{spec.id} needs a GPU")
            continue
        needs = [
            footprint(folder, Size(spec.defaults.width, spec.defaults.height), spec.defaults.frames).in_turn
            for folder in folders
        ]
        for folder, needed in zip(folders, needs, strict=True):
            if free_bytes is not None and needed <= free_bytes:
                return Choice(spec=spec_of(folder), folder=folder, reason=_because("the best that is here", refused))
        if free_bytes is not None and needs:
            free = f"{free_bytes / 2**30:.0f} are free"
            refused.append(f"{spec.id} needs {min(needs) / 2**30:.0f} GiB of GPU memory, {free}")
    spec = next(spec for spec in _DEMOS if _takes(spec, request))
    why = _because("a built-in demo", refused or ["no model for this is on disk"])
    folder = require(spec, places)
    return Choice(spec=spec_of(folder), folder=folder, reason=why)


def _is_diffusers(path: Path) -> bool:
    """Whether to open it as a Diffusers folder, whose errors say what is wrong with one."""
    return not path.exists() or (path.is_dir() and (path / MODEL_INDEX).exists())


def _takes(spec: ModelSpec, request: GenerationRequest) -> bool:
    """Whether the model can be given the pictures of the request."""
    if request.image is None:
        return not spec.requires_image
    return spec.takes_image and (request.end_image is None or spec.takes_end_image)


def _because(why: str, refused: Sequence[str]) -> str:
    return ": ".join([why, "; ".join(refused)]) if refused else why


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "~", os.sep)) or Path(name).exists()
