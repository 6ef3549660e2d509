"""A family that does otherwise than it should is told what is missing."""

import tempfile
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toy_family.family import FAMILY, PLASMA, Memory, ToyFamily, ToyFinder, ToyModel
from toy_family.pipeline import ToyPipeline
from wanvideo.families.protocol import (
    Event,
    Frames,
    GenerationRequest,
    InstalledModel,
    LoadOptions,
    LoraLibrary,
    ModelEntry,
    Places,
    Progress,
    Resolved,
    ResolvedRequest,
    Variant,
    VideoPipeline,
)
from wanvideo.testing import NotConforming, checks
from wanvideo.weights.catalog import T2V_A14B_LIGHTNING

Change = Callable[[Generator[Event, None, None]], Generator[Event, None, None]]


def finding(family: Any, name: str) -> str:
    """What the check of that name says of `family`, which fails it."""
    (check,) = [check for check in checks(family) if check.name.removeprefix("toy-plasma-") == name]
    with pytest.raises(NotConforming) as caught:
        check()
    return str(caught.value)


# --- the catalog


@pytest.mark.parametrize(
    ("change", "check", "said"),
    [
        ({"good_at": " "}, "describes_its_models", "good_at is empty"),
        ({"tasks": frozenset()}, "describes_its_models", "tasks is empty"),
        ({"base": "toy"}, "describes_its_models", "no model of the family"),
        ({"variants": (Variant(id="a", title="A"),)}, "describes_its_models", "no files"),
        ({"defaults": replace(PLASMA.defaults, width=321)}, "has_legal_defaults", "a default side of 321"),
        ({"defaults": replace(PLASMA.defaults, frames=48)}, "has_legal_defaults", "48 frames"),
        ({"defaults": replace(PLASMA.defaults, steps=500)}, "has_legal_defaults", "500 default steps"),
        ({"family": "other"}, "has_a_name_and_models", "family is 'other', not 'toy'"),
    ],
    ids=str,
)
def test_an_entry_that_is_not_well_formed_is_found(change: dict[str, Any], check: str, said: str) -> None:
    assert said in finding(ToyFamily(entries=(replace(PLASMA, **change),)), check)


def test_two_models_of_one_name_are_found() -> None:
    other = replace(PLASMA, id="toy-other", aliases=("TOY PLASMA",))
    said = finding(ToyFamily(entries=(PLASMA, other)), "resolves_its_names")
    assert "toy-plasma and toy-other" in said


def test_a_family_without_a_model_on_disk_cannot_be_checked() -> None:
    from wanvideo.families.wan import WanFamily

    with pytest.raises(NotConforming, match="no model of wan is on disk"):
        checks(WanFamily(entries=(T2V_A14B_LIGHTNING,)), places=Places())


@dataclass(frozen=True, slots=True)
class Careless(ToyFamily):
    """Takes any request as it is."""

    def adapt(
        self, entry: ModelEntry, request: GenerationRequest, *, library: LoraLibrary | None = None
    ) -> ResolvedRequest:
        numbers = count(1)
        legal = FAMILY.adapt(entry, GenerationRequest(prompt="waves", seed=request.seed or next(numbers)))
        return replace(legal, prompt=request.prompt, width=request.width or legal.width, frames=request.frames or 49)


def test_a_family_that_adapts_nothing_is_found() -> None:
    legal_values = "nothing is raised; raise InvalidRequest with the legal values"
    assert legal_values in finding(Careless(), "refuses_what_it_cannot_do")
    assert "nothing is raised; raise ImageNotTaken" in finding(Careless(), "refuses_pictures_it_cannot_take")
    assert "gives 1 each time: draw one" in finding(Careless(), "draws_a_seed")


# --- a model that runs


@dataclass(frozen=True, slots=True)
class Broken(ToyFamily):
    """The toy family with another pipeline, or other sizes."""

    pipeline: Callable[[ModelEntry], VideoPipeline] = ToyPipeline
    pixels: Callable[[int, int, int], int] = lambda width, height, frames: width * height * frames

    def look_in(self, places: Places) -> ToyFinder:
        return BrokenFinder(self)


@dataclass(frozen=True)
class BrokenFinder(ToyFinder):
    family: Broken

    def find(self, entry: ModelEntry, variant: str | None = None) -> Sequence[InstalledModel]:
        return [BrokenModel(entry, pipeline=self.family.pipeline, pixels=self.family.pixels)]


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenModel(ToyModel):
    pipeline: Callable[[ModelEntry], VideoPipeline]
    pixels: Callable[[int, int, int], int]

    def memory(self, width: int, height: int, frames: int) -> Memory:
        return Memory(self.pixels(width, height, frames))

    def load(self, options: LoadOptions) -> VideoPipeline:
        return self.pipeline(self.entry)


def changed(change: Change) -> Broken:
    """The toy family whose events go through `change`."""

    class Pipeline(ToyPipeline):
        def generate(self, request: GenerationRequest, **options: Any) -> Generator[Event, None, None]:
            return change(super().generate(request, **options))

    return Broken(pipeline=Pipeline)


def without(kind: type[Event]) -> Change:
    return lambda events: (event for event in events if not isinstance(event, kind))


def each(change: Callable[[Any], Event]) -> Change:
    return lambda events: (change(event) for event in events)


def gray(event: Event) -> Event:
    return replace(event, frames=np.zeros_like(event.frames)) if isinstance(event, Frames) else event


def as_floats(event: Any) -> Any:
    if isinstance(event, Frames):
        floats: Any = event.frames / 255
        return replace(event, frames=floats)
    return event


def backwards(event: Event) -> Event:
    return replace(event, step=event.steps - event.step) if isinstance(event, Progress) else event


@pytest.mark.parametrize(
    ("change", "check", "said"),
    [
        (without(Resolved), "says_what_it_does", "the first event is Progress, not Resolved"),
        (without(Frames), "says_what_it_does", "0 frames came, 5 were asked for"),
        (without(Progress), "says_what_it_does", "there is no Progress"),
        (each(as_floats), "says_what_it_does", "frames are float64, not uint8"),
        (each(backwards), "says_what_it_does", "denoise goes back from step"),
        (each(gray), "repeats_itself", "another seed gives the same frames"),
        (each(gray), "follows_the_prompt", "another prompt gives the same frames"),
    ],
    ids=["no resolved", "no frames", "no progress", "floats", "backwards", "one seed", "one prompt"],
)
def test_events_that_are_not_as_they_should_be_are_found(change: Change, check: str, said: str) -> None:
    assert said in finding(changed(change), check)


class Forgetful(ToyPipeline):
    """Refuses late, makes another video each time, and keeps what it made."""

    def __init__(self, spec: ModelEntry) -> None:
        super().__init__(spec)
        self.numbers, self.kept = count(), list[Any]()

    def generate(self, request: GenerationRequest, **options: Any) -> Generator[Event, None, None]:
        yield from super().generate(replace(request, seed=next(self.numbers)), **options)
        self.kept.append(np.ones((1024, 1024), np.float32))


class Messy(ToyPipeline):
    """Leaves a file behind."""

    def generate(self, request: GenerationRequest, **options: Any) -> Generator[Event, None, None]:
        Path(tempfile.mkstemp(suffix=".part")[1]).write_bytes(b"half")
        return super().generate(request, **options)


class Threaded(ToyPipeline):
    """Leaves a thread behind."""

    def __init__(self, spec: ModelEntry) -> None:
        super().__init__(spec)
        self.stop = threading.Event()

    def generate(self, request: GenerationRequest, **options: Any) -> Generator[Event, None, None]:
        threading.Thread(target=self.stop.wait, args=(2,), name="left-behind").start()
        return super().generate(request, **options)


@pytest.mark.parametrize(
    ("pipeline", "check", "said"),
    [
        (Forgetful, "refuses_before_it_starts", "nothing is raised"),
        (Forgetful, "repeats_itself", "the same request gives other frames the second time"),
        (Forgetful, "frees_what_it_loaded", "MiB are kept after close()"),
        (Messy, "can_be_cancelled", "leaves files"),
        (Threaded, "can_be_cancelled", "leaves threads: left-behind"),
    ],
)
def test_a_pipeline_that_does_not_clean_up_is_found(pipeline: type[ToyPipeline], check: str, said: str) -> None:
    assert said in finding(Broken(pipeline=pipeline), check)


def test_sizes_that_fall_or_are_nothing_are_found() -> None:
    assert "(0, 0) bytes" in finding(Broken(pixels=lambda *_: 0), "plans_its_memory")
    falling = Broken(pixels=lambda width, height, frames: 10**9 - width * height * frames)
    assert "falls as the video grows" in finding(falling, "plans_its_memory")
