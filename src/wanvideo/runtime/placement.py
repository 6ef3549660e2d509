"""What a plan decides, as values. No torch."""

from dataclasses import dataclass
from enum import StrEnum

from wanvideo.request import Phase, Tier
from wanvideo.runtime.tiles import Tiling


class Source(StrEnum):
    """Where the blocks wait that are not on the GPU."""

    PINNED = "pinned"  # host memory that the GPU copies from directly
    MAPPED = "mapped"  # their files


class Placement(StrEnum):
    """Where the text encoder works."""

    RESIDENT = "resident"  # whole on the GPU, for its phase
    STREAMED = "streamed"  # block by block; the table of tokens is looked up on the CPU
    CPU = "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockPlacement:
    """The blocks of the transformer at work. Two experts take turns in the same `resident` slabs and buffers."""

    resident: int  # on the GPU for as long as the transformer works
    streamed: int  # copied for every forward
    buffers: int  # on the GPU, of one block each, that the streamed ones go through; 0 where none are streamed
    source: Source | None  # of the streamed ones, or of those that would be if memory ran out; None: none could be


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEncoderPlan:
    placement: Placement
    keep: bool  # after its phase


@dataclass(frozen=True, slots=True, kw_only=True)
class VAEPlan:
    dtype: str  # "float32" or "bfloat16"
    device: str  # "cuda" or "cpu"
    tiles: Tiling | None = None  # that it decodes in; None: the whole picture
    encode_tiles: Tiling | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PhasePlan:
    phase: Phase
    peak_bytes: int  # of GPU memory in torch's allocator; of host memory where the CPU does everything
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """What is decided, and what it will take. All numbers are predictions.

    Without `keep_all`, one network at a time is on the GPU: blocks, buffers and all else of a transformer are given
    back before the autoencoder's turn.
    """

    tier: Tier
    device: str  # "cuda:0" or "cpu"
    transformer: BlockPlacement
    text_encoder: TextEncoderPlan
    vae: VAEPlan
    keep_all: bool  # all networks are on the device from beginning to end
    phases: tuple[PhasePlan, ...]  # each once, in their order
    host_bytes: int  # of host memory, of which the pinned part is `pinned_bytes`
    pinned_bytes: int
    cap_bytes: int  # how much memory of the device there is for us
    short_bytes: int  # by how much that, or host memory, is too little; 0: it fits
    rates: str  # for which computer the seconds hold, and whether they were measured there
    notes: tuple[str, ...]  # why, in words
    gpus: int = 1  # that make the video together; all bytes are those of each
    remedy: str | None = None  # what would make it fit, if that is neither a smaller size nor another tier

    @property
    def fits(self) -> bool:
        return self.short_bytes == 0

    @property
    def peak_bytes(self) -> int:
        return max(phase.peak_bytes for phase in self.phases)

    @property
    def seconds(self) -> float:
        return sum(phase.seconds for phase in self.phases)

    def phase(self, phase: Phase) -> PhasePlan:
        return next(each for each in self.phases if each.phase is phase)
