"""What a model family is: the interface between wanvideo and the packages that add models to it. No torch.

A family is an object that an entry point of the group `wanvideo.families` names. Everything that it needs to know of
wanvideo can be imported from here. docs/adding-a-family.md shows how to write one, wanvideo.testing checks it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from wanvideo.pipelines.adapt import adapt
from wanvideo.pipelines.base import VideoPipeline
from wanvideo.pipelines.events import Event, Frames, Resolved
from wanvideo.request import GenerationRequest, Phase, Preview, Progress, ResolvedRequest, Solver, Task, Tier
from wanvideo.weights.entry import Defaults, Limits, ModelEntry
from wanvideo.weights.lora.library import LoraLibrary
from wanvideo.weights.places import Places
from wanvideo.weights.variants import Part, PresetLora, RemoteFiles, Variant

if TYPE_CHECKING:
    import torch

__all__ = [
    "ENTRY_POINTS",
    "Defaults",
    "Event",
    "Family",
    "Finder",
    "Frames",
    "GenerationRequest",
    "InstalledModel",
    "Limits",
    "LoadOptions",
    "LoraLibrary",
    "MemoryNeeds",
    "ModelEntry",
    "Part",
    "Phase",
    "Places",
    "PresetLora",
    "Preview",
    "Progress",
    "RemoteFiles",
    "Resolved",
    "ResolvedRequest",
    "Solver",
    "Task",
    "Tier",
    "Variant",
    "VideoPipeline",
    "adapt",
]

ENTRY_POINTS: Final = "wanvideo.families"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """How a model is to run. A family may pass over what means nothing to it."""

    device: str | None = "auto"  # "auto" (a CUDA device if there is one), "cpu", "cuda", "cuda:1"
    dtype: "str | torch.dtype | None" = None  # of the text encoder and the transformers; None: the family's default
    vae_dtype: "str | torch.dtype | None" = None  # of the autoencoder
    tile: int | None = None  # side in pixels of the tiles that the autoencoder works in; None: what the plan says
    tier: Tier = Tier.EXACT
    memory_limit: int | None = None  # bytes of GPU memory to use at most; None: all that is free
    batch_guidance: bool = False  # both prompts in one call of the transformer
    gpus: int = 1  # that make one video together; with the device "cpu", as many processes
    devices: tuple[str, ...] = ()  # just these together, instead of the first `gpus`; `device` is one of them
    rank_patience: float | None = None  # seconds that one of several GPUs may be behind others; None: the usual ones
    library: LoraLibrary | None = None  # where the names of LoRAs are looked up; None: only in what the package brings


class MemoryNeeds(Protocol):
    """Bytes of device memory that one video needs, estimated from sizes alone."""

    @property
    def together(self) -> int:
        """With all networks on the device at once."""

    @property
    def in_turn(self) -> int:
        """With as little on the device at a time as it can do with."""


class InstalledModel(Protocol):
    """A model whose files are here and in order. Nothing of it is loaded yet."""

    @property
    def entry(self) -> ModelEntry:
        """What the catalog says, corrected by what the files say."""

    @property
    def path(self) -> Path:
        """Where it lies; of several places, the one that tells users most."""

    @property
    def parts(self) -> Mapping[str, Path]:
        """Where its parts lie, by their names, as far as `path` does not say."""

    @property
    def nbytes(self) -> int:
        """Bytes of its weights on disk."""

    @property
    def precision(self) -> str:
        """How the weights are stored, as `find` takes it for a variant: "bf16", "fp8", "q4_k_m"; "" without weights."""

    def memory(self, width: int, height: int, frames: int) -> MemoryNeeds:
        """What a video of this size, in pixels, and length needs. Grows with each of them."""

    def load(self, options: LoadOptions) -> VideoPipeline:
        """Quick: weights are read when they are first needed. Raises InvalidRequest for options that cannot be."""


class Finder(Protocol):
    """What has looked around for the models of one family, and may be asked for any number of them."""

    def find(self, entry: ModelEntry, variant: str | None = None) -> Sequence[InstalledModel]:
        """The model, wherever it is installed, in all its forms: the best first, and at least one.

        variant: only the forms of this precision.

        Raises ModelMissing, which says how to get it; ModelIncomplete, ModelCorrupt or ModelMismatch, which say what is
        wrong with what is there.
        """

    def open(self, path: Path) -> InstalledModel | None:
        """The model in a folder or file that a user named; None if it is none of this family.

        Raises what `find` raises, if it is one but not in order.
        """


@runtime_checkable
class Family(Protocol):
    """A kind of model: which there are, where they are, and what makes them run."""

    @property
    def name(self) -> str:
        """Short and lower case, the `family` of all entries."""

    @property
    def entries(self) -> Sequence[ModelEntry]:
        """The catalog: every model, whether it is on disk or not."""

    def adapt(
        self, entry: ModelEntry, request: GenerationRequest, *, library: LoraLibrary | None = None
    ) -> ResolvedRequest:
        """The request as the model can run it, with every change listed; names of LoRAs are looked up in `library`.

        `protocol.adapt` does this for all models whose limits an entry can express. Raises InvalidRequest or one of its
        kinds, with the legal values.
        """

    def look_in(self, places: Places) -> Finder:
        """What finds models in `places`. Looking around is for the finder to do, once, when it is first asked."""
