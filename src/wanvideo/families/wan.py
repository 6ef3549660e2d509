"""Our own family: Wan 2.2 and 2.1, and the demo models. Registered like any other. No torch until a model is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from wanvideo.errors import InvalidRequest, ModelMissing
from wanvideo.families.protocol import LoadOptions
from wanvideo.pipelines.adapt import adapt
from wanvideo.pipelines.base import VideoPipeline
from wanvideo.pipelines.memory import Footprint, footprint
from wanvideo.pipelines.size import Size
from wanvideo.request import GenerationRequest, ResolvedRequest
from wanvideo.weights.catalog import MODELS, ModelSpec, base_of, resolve
from wanvideo.weights.entry import ModelEntry
from wanvideo.weights.folder import ModelFolder, Places, open_folder, require, spec_of
from wanvideo.weights.variants import PresetLora, RemoteFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraOnDisk:
    """The files of a preset's LoRA."""

    lora: PresetLora
    high: Path
    low: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WanModel:
    """A Wan model on disk."""

    entry: ModelSpec
    folder: ModelFolder
    loras: tuple[LoraOnDisk, ...] = ()  # of a preset

    @property
    def path(self) -> Path:
        return self.folder.path

    @property
    def nbytes(self) -> int:
        return self.folder.nbytes

    @property
    def precision(self) -> str:
        """Of the largest tensor of the transformers; their norms may be stored more precisely."""
        tensors = (
            tensor for part in self.folder.transformers for file in part.files for tensor in file.tensors.values()
        )
        return max(tensors, key=lambda tensor: tensor.nbytes).dtype.lower()

    def memory(self, width: int, height: int, frames: int) -> Footprint:
        return footprint(self.folder, Size(width, height), frames)

    def load(self, options: LoadOptions) -> VideoPipeline:
        if self.loras:  # without them, 4 steps make nothing but noise
            raise InvalidRequest(f"{self.entry.id} needs LoRA files, which are not applied yet: use {self.entry.base}")
        from wanvideo.pipelines.pipeline import Pipeline

        return Pipeline(
            self.entry,
            self.folder,
            device=options.device,
            dtype=options.dtype,
            vae_dtype=options.vae_dtype,
            tile=options.tile,
            batch_guidance=options.batch_guidance,
        )


@dataclass(frozen=True, slots=True)
class WanFamily:
    """See `wanvideo.families.protocol.Family`."""

    name: str = "wan"
    entries: Sequence[ModelSpec] = MODELS

    def adapt(self, entry: ModelEntry, request: GenerationRequest) -> ResolvedRequest:
        return adapt(entry, request, catalog=self.entries)

    def look_in(self, places: Places) -> "WanFinder":
        return WanFinder(places)


@dataclass(frozen=True, slots=True)
class WanFinder:
    """See `wanvideo.families.protocol.Finder`."""

    places: Places

    def find(self, entry: ModelEntry, variant: str | None = None) -> Sequence[WanModel]:
        spec = resolve(entry.id)
        folder = require(base_of(spec), self.places)
        loras = tuple(_find_lora(spec, lora, self.places) for lora in spec.loras)
        model = WanModel(entry=_as_installed(spec, folder), folder=folder, loras=loras)
        if variant not in (None, model.precision):
            raise ModelMissing(f"{spec.id} is on disk as {model.precision} in {model.path}, not as {variant}")
        return [model]

    def open(self, path: Path) -> WanModel:
        """Like `Finder.open`, but never None: what is no Wan model is an error that says what it is instead."""
        folder = open_folder(path)
        return WanModel(entry=spec_of(folder), folder=folder)


def _as_installed(spec: ModelSpec, folder: ModelFolder) -> ModelSpec:
    """`spec` with what the folder says: of a preset, whatever the base has beside its defaults."""
    found = spec_of(folder)
    if spec.base is None:
        return found
    return replace(
        spec,
        tasks=found.tasks,
        transformer=found.transformer,
        vae=found.vae,
        text_encoder=found.text_encoder,
        boundary=found.boundary,
    )


def _find_lora(spec: ModelSpec, lora: PresetLora, places: Places) -> LoraOnDisk:
    """Raises ModelMissing unless all files of the LoRA are on disk."""
    found = [_find_file(files, places) for files in lora.files]
    missing = [str(files) for files, path in zip(lora.files, found, strict=True) if path is None]
    if missing:
        raise ModelMissing(
            f"{spec.id} needs LoRA files beside {spec.base}, which are not on disk: {'; '.join(missing)}",
            facts={"model": spec.id, "missing": "; ".join(missing)},
        )
    high, *low = (path for path in found if path is not None)
    return LoraOnDisk(lora=lora, high=high, low=low[0] if low else None)


def _find_file(files: RemoteFiles, places: Places) -> Path | None:
    """A published file in the hub's cache, or in the `loras` folder of a ComfyUI tree, or loose among the models."""
    (path,) = files.paths
    name = path.rpartition("/")[2]
    candidates = [root / folder / name for root in places.roots for folder in ("loras", "")]
    if places.hub_cache is not None:
        snapshots = places.hub_cache / f"models--{files.repo_id.replace('/', '--')}" / "snapshots"
        candidates += [snapshot / path for snapshot in sorted(snapshots.glob("*"))]
    return next((candidate for candidate in candidates if candidate.is_file()), None)


WAN: Final = WanFamily()
