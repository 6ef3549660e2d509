"""Which model to use: the one that is named, or the best one at hand for what is given. No torch."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wanvideo.errors import InvalidRequest, ModelMissing, UnknownModel, WanVideoError
from wanvideo.families.protocol import InstalledModel
from wanvideo.families.registry import Registry, installed_families
from wanvideo.request import GenerationRequest, Tier
from wanvideo.weights.entry import ModelEntry
from wanvideo.weights.places import Places, hub_cache
from wanvideo.weights.registry import usual_registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A model on disk, and in half a sentence why it was taken."""

    model: InstalledModel
    reason: str

    @property
    def spec(self) -> ModelEntry:
        return self.model.entry


def usual_places(roots: Sequence[str | os.PathLike[str]] = ()) -> Places:
    """What this user added, `roots`, and where the Hugging Face hub keeps this user's downloads."""
    return Places(
        roots=tuple(Path(root) for root in roots),
        hub_cache=hub_cache(os.environ, Path.home()),
        registry=usual_registry(),
    )


def named_tier(name: Tier | str) -> Tier:
    """The tier, which may be said by its name. Raises InvalidRequest."""
    try:
        return Tier(name)
    except ValueError as error:
        raise InvalidRequest(f"no tier is called {name!r:.40}: there are {' and '.join(Tier)}") from error


def named(
    name_or_folder: str | os.PathLike[str],
    places: Places,
    variant: str | None = None,
    *,
    families: Registry | None = None,
) -> Choice:
    """The model of that name in any spelling, or else the folder there.

    variant: of a name, which form to take if several are on disk; by default the best one.

    Raises UnknownModel if it is neither, ModelMissing and its kin if the files are not in order.
    """
    families = families or installed_families()
    search = families.look_in(places)
    if isinstance(name_or_folder, str):
        try:
            entry = families.resolve(name_or_folder)
        except UnknownModel:
            if not Path(name_or_folder).expanduser().is_dir() and not _looks_like_path(name_or_folder):
                raise
        else:
            return Choice(model=search.find(entry, variant)[0], reason="asked for by name")
    model = search.open(Path(name_or_folder).expanduser())
    return Choice(model=model, reason=f"found in {model.path}")


def choose(
    request: GenerationRequest, places: Places, free_bytes: int | None, *, families: Registry | None = None
) -> Choice:
    """The best real model for the inputs of `request` that is on disk and fits, else the demo model for them.

    free_bytes: memory of the GPU; None: there is no GPU, on which alone real models finish in reasonable time.
    Raises ModelMissing if not even the demo model is there.
    """
    families = families or installed_families()
    search = families.look_in(places)
    refused: list[str] = []
    for entry in sorted(families.entries, key=lambda entry: entry.rank, reverse=True):
        if entry.rank == 0 or not _takes(entry, request):
            continue
        try:
            forms = search.find(entry)
        except ModelMissing:
            continue
        except WanVideoError as error:
            refused.append(f"{entry.id} is damaged ({error.code})")
            continue
        if free_bytes is None:
            refused.append(f"{entry.id} needs a GPU")
            continue
        needs = [_bytes_at_work(model) for model in forms]
        if fitting := [model for model, needed in zip(forms, needs, strict=True) if needed <= free_bytes]:
            return Choice(model=fitting[0], reason=_because("the best that is here", refused))
        refused.append(
            f"{entry.id} needs {min(needs) / 2**30:.0f} GiB of GPU memory, {free_bytes / 2**30:.0f} are free"
        )
    demo = next(entry for entry in families.entries if entry.demo and _takes(entry, request))
    why = _because("a built-in demo", refused or ["no model for this is on disk"])
    return Choice(model=search.find(demo)[0], reason=why)


def _bytes_at_work(model: InstalledModel) -> int:
    """On the GPU, for a video of the usual size with one network on it at a time."""
    usual = model.entry.defaults
    return model.memory(usual.width, usual.height, usual.frames).in_turn


def _takes(entry: ModelEntry, request: GenerationRequest) -> bool:
    """Whether the model can be given the pictures of the request."""
    if request.image is None:
        return not entry.requires_image
    return entry.takes_image and (request.end_image is None or entry.takes_end_image)


def _because(why: str, refused: Sequence[str]) -> str:
    return ": ".join([why, "; ".join(refused)]) if refused else why


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "~", os.sep)) or Path(name).exists()
