"""Checks of a model that is on disk: what it says, makes and leaves while it runs on the CPU."""

import gc
import sys
import tempfile
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import chdir, closing, contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from wanvideo.errors import InvalidRequest
from wanvideo.families.protocol import Family, InstalledModel, LoadOptions
from wanvideo.pipelines.base import VideoPipeline
from wanvideo.pipelines.events import Event, Frames, Resolved
from wanvideo.request import GenerationRequest, Phase, Progress
from wanvideo.testing import requests
from wanvideo.testing.check import refused, require

CPU: Final = LoadOptions(device="cpu")
KEPT_BYTES: Final = 2 * 2**20  # that a closed pipeline may keep: a tokenizer, a table of colours


def plans_its_memory(model: InstalledModel) -> None:
    """Sizes are positive and grow with width, height and frames."""
    entry, d = model.entry, model.entry.defaults
    side = requests.least_side(entry)
    sizes = [(side, side, 1), (d.width, side, 1), (d.width, d.height, 1), (d.width, d.height, d.frames)]
    needs = [model.memory(*size) for size in sizes]
    for size, need in zip(sizes, needs, strict=True):
        require(0 < need.in_turn <= need.together, f"{entry.id}: memory{size} is {need.in_turn, need.together} bytes")
    for what in ("in_turn", "together"):
        values = [getattr(need, what) for need in needs]
        require(values == sorted(values), f"{entry.id}: memory.{what} falls as the video grows: {values} for {sizes}")
    require(model.nbytes >= 0, f"{entry.id}: nbytes is {model.nbytes}")


def says_what_it_does(family: Family, model: InstalledModel) -> None:
    """Events come in their order, and the frames are all there."""
    request = requests.small(model.entry)
    wanted = family.adapt(model.entry, request)
    with model.load(CPU) as pipeline:
        require(pipeline.spec.id == model.entry.id, f"the pipeline's spec is {pipeline.spec.id}, not {model.entry.id}")
        events = list(pipeline.generate(request))
    require(bool(events) and isinstance(events[0], Resolved), f"the first event is {_kind(events)}, not Resolved")
    first = events[0]
    assert isinstance(first, Resolved)
    require(sum(isinstance(event, Resolved) for event in events) == 1, "Resolved comes more than once")
    require(replace(first.request, adjustments=()) == wanted, f"Resolved says {first.request}, adapt said {wanted}")
    _require_progress([event for event in events if isinstance(event, Progress)])
    _require_frames(
        [event for event in events if isinstance(event, Frames)], (wanted.frames, wanted.height, wanted.width)
    )


def refuses_before_it_starts(model: InstalledModel) -> None:
    """A request that cannot be is refused by the call, not by the first event."""
    what = "generate with steps=0, before any event is asked for"
    with model.load(CPU) as pipeline, refused(what, InvalidRequest):
        pipeline.generate(replace(requests.small(model.entry), steps=0))


def repeats_itself(model: InstalledModel) -> None:
    """The same seed makes the same frames, bit for bit on the CPU; another one makes others."""
    request = requests.small(model.entry)
    with model.load(CPU) as pipeline:
        one, two = _frames(pipeline, request), _frames(pipeline, request)
        other = _frames(pipeline, replace(request, seed=requests.SEED + 1))
    with model.load(CPU) as pipeline:
        afresh = _frames(pipeline, request)
    require(np.array_equal(one, two), "the same request gives other frames the second time")
    require(np.array_equal(one, afresh), "the same request gives other frames in a new pipeline")
    require(not np.array_equal(one, other), "another seed gives the same frames")


def follows_the_prompt(model: InstalledModel) -> None:
    request = requests.small(model.entry)
    with model.load(CPU) as pipeline:
        one, other = (_frames(pipeline, replace(request, prompt=text)) for text in (request.prompt, "a blue square"))
    require(not np.array_equal(one, other), "another prompt gives the same frames")


def can_be_cancelled(model: InstalledModel) -> None:
    """Closing the generator ends the run: no file, thread or half state is left."""
    request, threads = requests.small(model.entry), set(threading.enumerate())
    with _nowhere() as folder, model.load(CPU) as pipeline:
        whole = _frames(pipeline, request)
        with closing(pipeline.generate(request)) as events:
            for event in events:
                if isinstance(event, Progress) and event.step > 0:
                    break
        require(next(events, None) is None, "events go on after the generator was closed")
        left = [path.name for path in folder.rglob("*") if path.is_file()]
        require(not left, f"a cancelled run leaves files: {', '.join(left)}")
        more = [thread.name for thread in set(threading.enumerate()) - threads if thread.is_alive()]
        require(not more, f"a cancelled run leaves threads: {', '.join(more)}")
        require(
            np.array_equal(_frames(pipeline, request), whole),
            "after a cancelled run, the same request gives other frames",
        )


def frees_what_it_loaded(model: InstalledModel) -> None:
    """After close() the weights are gone, and the pipeline can be used again."""
    request, pipeline = requests.small(model.entry), model.load(CPU)
    tracemalloc.start()
    try:
        before = _held_bytes()
        whole = _frames(pipeline, request)
        pipeline.close()
        kept = _held_bytes() - before - whole.nbytes
        require(kept <= KEPT_BYTES, f"{kept / 2**20:.1f} MiB are kept after close(): let go of every network")
    finally:
        tracemalloc.stop()
    require(np.array_equal(_frames(pipeline, request), whole), "a pipeline that was closed cannot be used again")
    pipeline.close()


# --- what the checks stand on ----------------------------------------------------------------------------------------


def _frames(pipeline: VideoPipeline, request: GenerationRequest) -> npt.NDArray[np.uint8]:
    """[F, H, W, 3]."""
    return np.concatenate([event.frames for event in pipeline.generate(request) if isinstance(event, Frames)])


def _require_progress(events: list[Progress]) -> None:
    require(any(event.phase is not Phase.LOAD for event in events), "there is no Progress but that of loading")
    for event in events:
        require(0 <= event.step <= event.steps, f"{event.phase}: step {event.step} of {event.steps}")
        require(event.seconds >= 0, f"{event.phase}: {event.seconds} seconds have passed")
    for before, after in pairwise(events):
        if before.phase is after.phase and after.phase is not Phase.LOAD:  # networks are loaded when their turn comes
            require(before.step <= after.step, f"{after.phase} goes back from step {before.step} to {after.step}")
            require(before.steps == after.steps, f"{after.phase} has {before.steps} steps, then {after.steps}")
    last = {event.phase: event for event in events}
    unfinished = [phase.value for phase, event in last.items() if not event.done]
    require(not unfinished, f"Progress of {', '.join(unfinished)} never reaches its last step")


def _require_frames(events: list[Frames], shape: tuple[int, int, int]) -> None:
    """`shape`: frames, height, width."""
    count = 0
    for event in events:
        require(event.index == count, f"Frames begin at {event.index}, after {count} frames")
        require(event.frames.dtype == np.uint8, f"frames are {event.frames.dtype}, not uint8")
        require(
            event.frames.shape[1:] == (*shape[1:], 3), f"frames are {event.frames.shape[1:]}, not {(*shape[1:], 3)}"
        )
        count += len(event.frames)
    require(count == shape[0], f"{count} frames came, {shape[0]} were asked for")


def _kind(events: list[Event]) -> str:
    return type(events[0]).__name__ if events else "missing"


@contextmanager
def _nowhere() -> Iterator[Path]:
    """An empty folder that is the current one, and the one for temporary files."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory() as name, chdir(name):
        tempfile.tempdir = name
        try:
            yield Path(name)
        finally:
            tempfile.tempdir = before


def _held_bytes() -> int:
    """Of Python and numpy, as tracemalloc counts, and of tensors if there is torch."""
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    if (torch := sys.modules.get("torch")) is not None:
        # By type(), since asking some objects of torch for their class makes them warn that they are deprecated.
        # Of exactly these types: what a compiler leaves behind are tensors without memory.
        tensors = [item for item in gc.get_objects() if type(item) in (torch.Tensor, torch.nn.Parameter)]
        storages = [tensor.untyped_storage() for tensor in tensors if tensor.device.type != "meta"]
        held += sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())
    return held
