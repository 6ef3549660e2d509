"""What there is: one model, always there, since it has no files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wanvideo.families.protocol import (
    Defaults,
    GenerationRequest,
    InstalledModel,
    Limits,
    LoadOptions,
    LoraLibrary,
    ModelEntry,
    Places,
    ResolvedRequest,
    Solver,
    Task,
    VideoPipeline,
    adapt,
)

PLASMA = ModelEntry(
    id="toy-plasma",
    title="Plasma",
    family="toy",
    aliases=("plasma",),
    tasks=frozenset({Task.TEXT_TO_VIDEO}),
    defaults=Defaults(
        width=320,
        height=192,
        frames=49,
        fps=24,
        steps=12,
        shift=1.0,
        guidance_high=1.0,
        guidance_low=1.0,
        solver=Solver.EULER,
    ),
    limits=Limits(size_multiple=16, max_area=640 * 384, max_frames=241, max_steps=100),
    usual_sizes=((320, 192), (640, 384)),
    licence="Apache-2.0",
    good_at="showing how a family is added: coloured waves from the words of a prompt",
    needs="any computer",
)


@dataclass(frozen=True, slots=True)
class Memory:
    """The field of float32 numbers, and the frames made of it."""

    pixels: int

    @property
    def together(self) -> int:
        return self.pixels * 3 * (4 + 1)

    @property
    def in_turn(self) -> int:
        return self.together


@dataclass(frozen=True, slots=True)
class ToyModel:
    """See `wanvideo.families.protocol.InstalledModel`."""

    entry: ModelEntry
    path: Path = Path(__file__).parent
    nbytes: int = 0
    precision: str = ""
    parts: Mapping[str, Path] = field(default_factory=dict)

    def memory(self, width: int, height: int, frames: int) -> Memory:
        return Memory(width * height * frames)

    def load(self, options: LoadOptions) -> VideoPipeline:
        """`options` name devices and precisions, and numpy has one of each."""
        from toy_family.pipeline import ToyPipeline  # a real family loads torch here, not above

        return ToyPipeline(self.entry)


@dataclass(frozen=True, slots=True)
class ToyFamily:
    """See `wanvideo.families.protocol.Family`."""

    name: str = "toy"
    entries: Sequence[ModelEntry] = (PLASMA,)

    def adapt(
        self, entry: ModelEntry, request: GenerationRequest, *, library: LoraLibrary | None = None
    ) -> ResolvedRequest:
        return adapt(entry, request, catalog=self.entries, library=library)

    def look_in(self, places: Places) -> "ToyFinder":
        """A family with files keeps `places` and looks there."""
        return ToyFinder()


class ToyFinder:
    """See `wanvideo.families.protocol.Finder`. A toy model needs no files, and so is always there."""

    def find(self, entry: ModelEntry, variant: str | None = None) -> Sequence[InstalledModel]:
        return [ToyModel(entry)]

    def open(self, path: Path) -> InstalledModel | None:
        """No file or folder holds a toy model."""
        return None


FAMILY = ToyFamily()
