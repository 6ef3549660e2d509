"""What can be downloaded: the files of one variant of a model, part by part. No torch.

A variant is one complete set of files in one precision. Hashes and revisions come from the hub when it is asked; sizes
stand here only where a source states them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class Part(StrEnum):
    """The parts of a model. The values are the names of their folders in a Diffusers repository."""

    TRANSFORMER = "transformer"  # the high-noise expert, or the only one
    TRANSFORMER_2 = "transformer_2"  # the low-noise expert
    VAE = "vae"
    TEXT_ENCODER = "text_encoder"
    TOKENIZER = "tokenizer"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFiles:
    """Files of one repository on the Hugging Face hub."""

    repo_id: str
    paths: tuple[str, ...]  # in the repository; `*` stands for anything within one folder
    nbytes: int | None = None  # of all of them together

    def __str__(self) -> str:
        return f"{self.repo_id}: {', '.join(self.paths)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One complete set of files of a model."""

    id: str  # short and lower case, unique within the model: "fp32", "fp16", "fp8", "q4_k_m"
    title: str
    # A part that is not named comes inside another: the tokenizer in ComfyUI's text encoder files.
    parts: Mapping[Part, RemoteFiles] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    # Files that belong to no network, such as model_index.json.
    extra: tuple[RemoteFiles, ...] = ()
    quantised: bool = False  # some weights are stored in fewer than 16 bits, and stay so in memory
    memory_scale: float = 1.0  # bytes in memory per byte of file: 0.5 where float32 files are run in bfloat16

    @property
    def files(self) -> tuple[RemoteFiles, ...]:
        """All of them, each once, the small ones first."""
        return tuple(dict.fromkeys((*self.extra, *reversed(tuple(self.parts.values())))))

    @property
    def nbytes(self) -> int | None:
        """Of the whole download; None where a size is not known."""
        return _sum(files.nbytes for files in self.files)

    @property
    def transformer_bytes(self) -> tuple[int, ...] | None:
        """In memory, of each transformer; None where a size is not known."""
        experts = [files for part, files in self.parts.items() if part in (Part.TRANSFORMER, Part.TRANSFORMER_2)]
        sizes = tuple(int(files.nbytes * self.memory_scale) for files in experts if files.nbytes is not None)
        return sizes if len(sizes) == len(experts) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetLora:
    """A LoRA that belongs to a preset, as it is published: one file for each transformer."""

    title: str
    high: RemoteFiles  # one file; of the high-noise expert, or of the only transformer
    low: RemoteFiles | None = None  # of the low-noise expert
    strength_high: float = 1.0
    strength_low: float = 1.0

    @property
    def files(self) -> tuple[RemoteFiles, ...]:
        return (self.high,) if self.low is None else (self.high, self.low)

    @property
    def nbytes(self) -> int | None:
        return _sum(files.nbytes for files in self.files)


def _sum(sizes: Iterable[int | None]) -> int | None:
    """None if any of them is."""
    known = list(sizes)
    return None if None in known else sum(size for size in known if size is not None)
