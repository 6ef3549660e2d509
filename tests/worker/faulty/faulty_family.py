"""A family whose models fail as their prompt says: by "large denoise fatal", the model "faulty-large" does so there."""

import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch

from wanvideo.errors import (
    EncodeFailed,
    IncompatibleState,
    LoraError,
    ModelCorrupt,
    NonFiniteLatents,
    NotEnoughMemory,
    RankFailed,
)
from wanvideo.families.protocol import (
    Defaults,
    Event,
    Frames,
    GenerationRequest,
    InstalledModel,
    Limits,
    LoadOptions,
    LoraLibrary,
    ModelEntry,
    Phase,
    Places,
    Progress,
    Resolved,
    ResolvedRequest,
    Solver,
    Task,
    Tier,
    VideoPipeline,
    adapt,
)
from wanvideo.pipelines.state import Checkpoint
from wanvideo.weights.giving_up import go_on_or_give_up

STEPS = 2


def entry(name: str, rank: int) -> ModelEntry:
    return ModelEntry(
        id=f"faulty-{name}",
        title=name,
        family="faulty",
        tasks=frozenset({Task.TEXT_TO_VIDEO}),
        defaults=Defaults(
            width=64, height=64, frames=5, fps=8, steps=STEPS, shift=1.0, guidance_high=1.0, guidance_low=1.0,
            solver=Solver.EULER,
        ),
        limits=Limits(size_multiple=16, max_area=64 * 64, max_frames=9, max_steps=9),
        licence="Apache-2.0",
        good_at="failing",
        needs="nothing",
        rank=rank,
    )  # fmt: skip


def fail(error: BaseException) -> Callable[[], NoReturn]:
    def now() -> NoReturn:
        raise error

    return now


def cuda(number: int, text: str) -> Callable[[], NoReturn]:
    error = torch.AcceleratorError(f"CUDA error: {text}\nCUDA kernel errors might be reported later")
    error.error_code = number  # type: ignore[attr-defined]  # as PyTorch sets it
    return fail(error)


def slowly() -> None:
    """As a model of 28 GB is read: in many small steps."""
    for _ in range(1000):
        go_on_or_give_up()
        time.sleep(0.05)


FAULTS: Mapping[str, Callable[[], object]] = {
    "gpu-memory": fail(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")),
    "planned": fail(NotEnoughMemory("12 GiB are needed", facts={"short_bytes": 1})),
    "fatal": cuda(700, "an illegal memory access was encountered"),
    "argument": cuda(1, "invalid argument"),
    "lost": cuda(100, "no CUDA-capable device is detected"),
    "driver": cuda(803, "system has unsupported display driver / cuda driver combination"),
    "kernel": cuda(209, "no kernel image is available for execution on the device"),
    "host-memory": lambda: torch.empty(1 << 50, dtype=torch.uint8),
    "python-memory": lambda: bytearray(1 << 60),
    "full": fail(OSError(28, "No space left on device")),
    "encoder": fail(EncodeFailed("the encoder said no")),
    "bug": fail(KeyError(f"nothing in {__file__}")),
    "no-encoder": lambda: sys.modules.update({"av": None, "av.codec": None}),  # type: ignore[dict-item]  # as if PyAV were not installed
    "rank": fail(RankFailed("rank 1 of 2 died")),
    "state": fail(IncompatibleState("the saved run was made with other settings")),
    "lora": fail(LoraError("the LoRA is of a kind that this family does not know")),
    "corrupt": fail(ModelCorrupt(f"{Path(__file__).parent}/transformer_2/weights.safetensors is truncated")),
    "not-finite": fail(NonFiniteLatents("step 1 gave numbers that are not finite")),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "slow": slowly,
    "stuck": lambda: time.sleep(3600),
}


@dataclass(frozen=True)
class Memory:
    together: int = 1
    in_turn: int = 1


@dataclass(frozen=True)
class Model:
    entry: ModelEntry
    precision: str
    path: Path = Path(__file__).parent
    nbytes: int = 0
    parts: Mapping[str, Path] = field(default_factory=dict)

    def memory(self, width: int, height: int, frames: int) -> Memory:
        return Memory()

    def load(self, options: LoadOptions) -> VideoPipeline:
        return Pipeline(self, options.tier)


@dataclass(frozen=True)
class Family:
    name: str = "faulty"
    entries: Sequence[ModelEntry] = (entry("large", 2), entry("small", 1))

    def adapt(
        self, entry: ModelEntry, request: GenerationRequest, *, library: LoraLibrary | None = None
    ) -> ResolvedRequest:
        if request.prompt == "adapt bug":
            FAULTS["bug"]()
        return adapt(entry, request, catalog=self.entries, library=library)

    def look_in(self, places: Places) -> "Finder":
        return Finder()


class Finder:
    def find(self, entry: ModelEntry, variant: str | None = None) -> Sequence[InstalledModel]:
        return [Model(entry, precision) for precision in ("bf16", "fp8") if variant in (None, precision)]

    def open(self, path: Path) -> InstalledModel | None:
        return None


class Pipeline(VideoPipeline):
    def __init__(self, model: Model, tier: Tier) -> None:
        self.spec, self.model, self.tier = model.entry, model, tier

    def close(self) -> None:
        pass

    def generate(
        self, request: GenerationRequest, *, resume: Checkpoint | None = None, previews: bool = False
    ) -> Generator[Event, None, None]:
        if resume is not None:
            raise IncompatibleState("it keeps no states")
        return self._events(replace(adapt(self.spec, request, catalog=[self.spec]), tier=self.tier))

    def _events(self, request: ResolvedRequest) -> Generator[Event, None, None]:
        yield Resolved(request=request)
        for phase in (Phase.LOAD, Phase.DENOISE, Phase.DECODE):
            yield Progress(phase=phase, step=0, steps=STEPS, seconds=0.0)
            self._fail_in(phase, request.prompt.split())
            for step in range(1, STEPS + 1):
                yield Progress(phase=phase, step=step, steps=STEPS, seconds=0.1 * step)
        shade = 0 if "black" in request.prompt else 200
        yield Frames(index=0, frames=np.full((request.frames, request.height, request.width, 3), shade, np.uint8))
        yield Progress(phase=Phase.WRITE, step=0, steps=1, seconds=0.0)
        self._fail_in(Phase.WRITE, request.prompt.split())

    def _fail_in(self, phase: Phase, words: list[str]) -> None:
        """`words` may also name a precision or a tier that fails alone."""
        me = {self.spec.id.removeprefix("faulty-"), "any", phase, self.model.precision, self.tier}
        if words[0] in me and words[1] in me and (len(words) == 3 or words[3] in me):
            FAULTS[words[2]]()


FAMILY = Family()
