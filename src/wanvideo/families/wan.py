"""Our own family: Wan 2.2 and 2.1, and the demo models. Registered like any other. No torch until a model is loaded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

from wanvideo.errors import ModelMissing
from wanvideo.families.protocol import LoadOptions
from wanvideo.pipelines.adapt import adapt
from wanvideo.pipelines.architecture import architecture_of
from wanvideo.pipelines.base import VideoPipeline
from wanvideo.request import GenerationRequest, LoraExpert, LoraUse, ResolvedRequest
from wanvideo.runtime.architecture import Work
from wanvideo.runtime.plan import GPUNeeds, gpu_needs
from wanvideo.weights.catalog import MODELS, ModelSpec, base_of, resolve
from wanvideo.weights.entry import ModelEntry
from wanvideo.weights.finding import find_all, missing, open_loose, survey_of
from wanvideo.weights.folder import ModelFolder, open_folder, spec_of
from wanvideo.weights.lora.library import LoraLibrary
from wanvideo.weights.places import MODEL_INDEX, Places
from wanvideo.weights.survey import Survey
from wanvideo.weights.variants import PresetLora, RemoteFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraOnDisk:
    """The files of a preset's LoRA."""

    lora: PresetLora
    high: Path
    low: Path | None

    @property
    def uses(self) -> Iterator[LoraUse]:
        """What the preset adds to every request."""
        if self.low is None:
            yield LoraUse(source=self.high, strength=self.lora.strength_high, strength_low=self.lora.strength_low)
            return
        yield LoraUse(source=self.high, strength=self.lora.strength_high, expert=LoraExpert.HIGH)
        yield LoraUse(source=self.low, strength=self.lora.strength_low, expert=LoraExpert.LOW)


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
        return self.folder.precision

    @property
    def parts(self) -> Mapping[str, Path]:
        loras = {f"LoRA {use.expert}": Path(use.source) for one in self.loras for use in one.uses}
        return (
            loras if self.path.is_dir() else {**{part.value: path for part, path in self.folder.paths.items()}, **loras}
        )

    def memory(self, width: int, height: int, frames: int) -> GPUNeeds:
        architecture = architecture_of(self.folder, self.entry.id)
        return gpu_needs(architecture, Work(width=width, height=height, frames=frames, steps=self.entry.defaults.steps))

    def load(self, options: LoadOptions) -> VideoPipeline:
        from wanvideo.parallel.watch import PATIENCE
        from wanvideo.pipelines.pipeline import Pipeline
        from wanvideo.pipelines.ranked import ranked, ranked_on
        from wanvideo.pipelines.recipe import Recipe

        recipe = Recipe(
            spec=self.entry,
            folder=self.folder,
            dtype=None if options.dtype is None else str(options.dtype),
            vae_dtype=None if options.vae_dtype is None else str(options.vae_dtype),
            tile=options.tile,
            batch_guidance=options.batch_guidance,
            tier=options.tier,
            memory_limit=options.memory_limit,
            library=options.library,
            loras=tuple(use for one in self.loras for use in one.uses),
        )
        patience = PATIENCE if options.rank_patience is None else options.rank_patience
        if len(options.devices) > 1:
            return ranked_on(recipe, options.devices, patience)
        if options.gpus != 1:
            return ranked(recipe, options.device, options.gpus, patience)
        return Pipeline(**recipe.arguments, device=options.device)


@dataclass(frozen=True, slots=True)
class WanFamily:
    """See `wanvideo.families.protocol.Family`."""

    name: str = "wan"
    entries: Sequence[ModelSpec] = MODELS

    def adapt(
        self, entry: ModelEntry, request: GenerationRequest, *, library: LoraLibrary | None = None
    ) -> ResolvedRequest:
        return adapt(entry, request, catalog=self.entries, library=library)

    def look_in(self, places: Places) -> "WanFinder":
        return WanFinder(places)


class WanFinder:
    """See `wanvideo.families.protocol.Finder`."""

    def __init__(self, places: Places) -> None:
        self.places = places

    @cached_property
    def _found(self) -> Survey:
        return survey_of(self.places)

    def find(self, entry: ModelEntry, variant: str | None = None) -> Sequence[WanModel]:
        spec = resolve(entry.id)
        base = base_of(spec)
        # The demo models lie in the package: no need to look around for them.
        folders = find_all(base, self.places, variant=variant, found=None if base.demo else self._found)
        if not folders:
            raise missing(spec, self.places, variant)
        loras = tuple(_find_lora(spec, lora, self.places) for lora in spec.loras)
        return [WanModel(entry=_as_installed(spec, folder), folder=folder, loras=loras) for folder in folders]

    def open(self, path: Path) -> WanModel:
        """Like `Finder.open`, but never None: what is no Wan model is an error that says what it is instead."""
        # A Diffusers folder has errors of its own for what is wrong with it.
        is_diffusers = not path.exists() or (path.is_dir() and (path / MODEL_INDEX).exists())
        folder = open_folder(path) if is_diffusers else open_loose(path, self.places)
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
    absent = [str(files) for files, path in zip(lora.files, found, strict=True) if path is None]
    if absent:
        command = f"wan models pull {spec.id}"
        raise ModelMissing(
            f"{spec.id} needs LoRA files beside {spec.base}, which are not on disk: `{command}` downloads "
            f"{'; '.join(absent)}",
            suggestions=(command,),
            facts={"model": spec.id, "missing": "; ".join(absent)},
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
