"""What goes between a pipeline and its ranks arrives as it was."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.pipelines.conftest import ask, load, picture
from wanvideo.errors import IncompatibleState
from wanvideo.pipelines.adapt import adapt
from wanvideo.pipelines.architecture import architecture_in_catalog
from wanvideo.pipelines.events import Adjusted, Event, Frames, Planned, Resolved
from wanvideo.pipelines.recipe import Recipe
from wanvideo.pipelines.state import Checkpoint
from wanvideo.pipelines.wire import event_message, from_json, read_event, read_request, request_message, to_json
from wanvideo.request import Adjustment, GenerationRequest, LoraUse, Phase, Preview, Progress, Solver, Tier
from wanvideo.runtime.architecture import Work
from wanvideo.runtime.machine import PROFILES, predict
from wanvideo.runtime.plan import plan
from wanvideo.sampling.solver import SolverState
from wanvideo.sampling.step_cache import StepCache
from wanvideo.weights.catalog import resolve
from wanvideo.weights.lora.library import LoraLibrary

REQUEST = GenerationRequest(
    prompt="x", width=64, height=64, sigmas=(1.0, 0.5, 0.0), solver=Solver.DPMPP, seed=2**40,
    loras=(LoraUse(source="style", strength_low=0.25), LoraUse(source="/a/b.safetensors")),
)  # fmt: skip


def checkpoint() -> Checkpoint:
    latents, cached = torch.randn(1, 4, 2, 3, 3), torch.randn(1, 4, 2, 3, 3)
    cache = StepCache(step=1, latents=cached, velocity=2 * cached, rate=0.5)
    state = SolverState(step=2, latents=latents, outputs=(latents + 1,), corrected=latents - 1, cache=cache, reused=1)
    return Checkpoint(state=state, rng=torch.Generator().get_state(), fingerprint={"seed": 3, "sigmas": [1.0, 0.5]})


def check_same(one: Checkpoint, other: Checkpoint) -> None:
    assert torch.equal(one.rng, other.rng)
    assert one.fingerprint == other.fingerprint
    assert (one.state.step, one.state.reused) == (other.state.step, other.state.reused)
    assert torch.equal(one.state.latents, other.state.latents)
    assert torch.equal(one.state.outputs[0], other.state.outputs[0])
    assert one.state.cache is not None
    assert other.state.cache is not None
    assert torch.equal(one.state.cache.velocity, other.state.cache.velocity)
    assert one.state.cache.rate == other.state.cache.rate


def test_a_request_arrives_with_the_pixels_of_its_pictures_and_where_to_go_on() -> None:
    first, last, kept = picture(80, 64), picture(64, 48), checkpoint()
    sent = request_message(replace(REQUEST, image=first, end_image=last), kept, True)
    request, resume, previews = read_request(sent)
    assert replace(request, image=None, end_image=None) == REQUEST
    for mine, theirs in ((first, request.image), (last, request.end_image)):
        assert np.array_equal(np.asarray(mine), np.asarray(theirs))
    assert resume is not None
    check_same(kept, resume)
    assert previews


def test_a_request_without_any_of_it_does_too() -> None:
    assert read_request(request_message(REQUEST, None, False)) == (REQUEST, None, False)


def events() -> list[Event]:
    resolved = adapt(resolve("i2v-A14B-demo"), ask("i2v", width=80))
    adjustment = Adjustment(field="size", asked="80x64", used="64x64", reason="because")
    spec, machine = resolve("t2v-A14B"), PROFILES["rtx-4080-64gb"]
    work = Work(width=1280, height=720, frames=81, steps=40)
    found = plan(architecture_in_catalog(spec, spec.variants[0]), work, machine, predict(machine), tier=Tier.FAST)
    preview = Preview(width=2, height=1, frames=2, rgb=bytes(range(12)))
    return [
        Resolved(request=replace(resolved, adjustments=(adjustment,))),
        Planned(plan=found),
        Adjusted(adjustment=adjustment),
        Progress(phase=Phase.DENOISE, step=1, steps=2, seconds=0.1, expert="high", preview=preview, reused=1),
        Progress(phase=Phase.LOAD, step=0, steps=2, seconds=0.0),
    ]


@pytest.mark.parametrize("event", events(), ids=lambda event: type(event).__name__)
def test_an_event_arrives_as_it_was(event: Event) -> None:
    asked = ask("i2v") if not isinstance(event, Resolved) else replace(ask("i2v"), image=event.request.image)
    assert read_event(event_message(event), asked) == event


def test_frames_and_checkpoints_do_too() -> None:
    frames = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    got = read_event(event_message(Frames(index=5, frames=frames)), REQUEST)
    assert isinstance(got, Frames)
    assert got.index == 5
    assert np.array_equal(got.frames, frames)
    kept = checkpoint()
    again = read_event(event_message(kept), REQUEST)
    assert isinstance(again, Checkpoint)
    check_same(kept, again)


def test_bytes_that_are_no_checkpoint_are_refused() -> None:
    with pytest.raises(IncompatibleState):
        Checkpoint.from_bytes(b"\x08\0\0\0\0\0\0\0{}      ")


def test_a_recipe_arrives_with_all_that_is_known_of_the_files(tiny: Path) -> None:
    folder = load(tiny / "ti2v", device="cpu")._parts.folder
    recipe = Recipe(
        spec=resolve("ti2v-5B-demo"), folder=folder, dtype="float32", vae_dtype=None, tile=256, batch_guidance=True,
        tier=Tier.FAST, memory_limit=2**34, library=LoraLibrary(folder=tiny, roots=(tiny,)), loras=REQUEST.loras,
    )  # fmt: skip
    assert from_json(Recipe, to_json(Recipe, recipe)) == recipe
