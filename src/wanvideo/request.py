"""The values that cross every layer: what is asked for, what will be done, and how far it is. No torch here."""

import os
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeAlias, Union

if TYPE_CHECKING:
    from PIL.Image import Image

ImageSource: TypeAlias = Union[str, os.PathLike[str], "Image"]


class Task(StrEnum):
    """What a request is made from."""

    TEXT_TO_VIDEO = "t2v"
    IMAGE_TO_VIDEO = "i2v"


class Solver(StrEnum):
    """How the flow is integrated from noise to video."""

    UNIPC = "unipc"
    EULER = "euler"
    DPMPP = "dpm++"


class Phase(StrEnum):
    """The parts of one generation, in their order."""

    LOAD = "load"
    ENCODE = "encode"
    DENOISE = "denoise"
    DECODE = "decode"
    WRITE = "write"


class Tier(StrEnum):
    """How exactly the model is computed. Tiers differ in the picture, so nothing changes one unasked."""

    EXACT = "exact"  # as the official code, with the weights as they are stored
    FAST = "fast"  # matrix products and attention in 8 bits


class LoraExpert(StrEnum):
    """Which expert of a model with two a LoRA is for."""

    HIGH = "high"
    LOW = "low"
    BOTH = "both"


class LoraPolicy(StrEnum):
    """What a LoRA that cannot be used does to the request."""

    WARN = "warn"  # the video is made without it, and an adjustment says so
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraUse:
    """One LoRA, and how much of it. A high/low pair is one source (a folder, a name of the library) or two uses."""

    source: str | os.PathLike[str]  # a name of the library, or a path
    strength: float = 1.0  # 0 is the same as without it
    strength_low: float | None = None  # for the low-noise expert; unset follows `strength`
    expert: LoraExpert | None = None  # unset: what the file or its name says, else both


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """What a user asks for. `None` everywhere means "the model's default"."""

    prompt: str
    negative_prompt: str | None = None  # "" is really empty
    image: "ImageSource | None" = None  # first frame
    end_image: "ImageSource | None" = None  # last frame
    width: int | None = None  # pixels
    height: int | None = None
    frames: int | None = None  # 1 makes a still image
    seconds: float | None = None  # instead of `frames`
    steps: int | None = None
    guidance: float | None = None  # of the high-noise expert, or of the only transformer; 1 = no guidance
    guidance_low: float | None = None  # of the low-noise expert; unset follows `guidance` if that is set
    shift: float | None = None
    sigmas: tuple[float, ...] | None = None  # noise levels, 1 down to 0, instead of `steps` and `shift`
    solver: Solver | None = None
    # Lossy: steps whose velocity is expected to differ by less than this share from the latest one computed take that
    # one. 0 and unset: every step is computed.
    step_cache: float | None = None
    seed: int | None = None  # unset draws one; the result says which
    loras: tuple[LoraUse, ...] = ()  # added up
    lora_policy: LoraPolicy = LoraPolicy.WARN


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """One thing that was asked for and had to be changed."""

    field: str
    asked: str
    used: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedLora:
    """One LoRA file that fits the model. A strength of 0 leaves that expert as it is."""

    name: str
    path: Path
    digest: str  # of its content
    nbytes: int  # in the memory of a GPU, for one transformer
    strength: float  # in the high-noise expert, or the only transformer
    strength_low: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedRequest:
    """A request that the model can run as it stands: every default filled in, every value legal."""

    model: str
    task: Task
    prompt: str
    negative_prompt: str
    image: "ImageSource | None"
    end_image: "ImageSource | None"
    width: int  # pixels
    height: int
    frames: int  # 4 n + 1
    fps: int
    steps: int
    guidance_high: float
    guidance_low: float
    shift: float
    sigmas: tuple[float, ...] | None
    solver: Solver
    seed: int
    step_cache: float | None = None  # None: every step is computed
    loras: tuple[ResolvedLora, ...] = ()
    tier: Tier = Tier.EXACT  # that the model was loaded in
    adjustments: tuple[Adjustment, ...] = ()

    @property
    def seconds(self) -> float:
        """Length of the clip."""
        return self.frames / self.fps

    def adjusted(self, adjustment: Adjustment) -> Self:
        """With one more thing that was changed."""
        return replace(self, adjustments=(*self.adjustments, adjustment))


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A cheap picture of the current guess: `frames` RGB images of `width` x `height`, 8 bit, row by row."""

    width: int
    height: int
    frames: int
    rgb: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far one phase is. `step` of `steps` are done; `seconds` have passed since the phase began."""

    phase: Phase
    step: int
    steps: int
    seconds: float
    expert: str | None = None  # "high" or "low" while a model with two experts denoises
    preview: Preview | None = None
    reused: int = 0  # of the steps done, how many the step cache spared

    @property
    def done(self) -> bool:
        return self.step >= self.steps
