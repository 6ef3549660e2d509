"""Saved runs: they come back bit for bit, and only to the request that they belong to."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.pipelines.conftest import picture
from wanvideo.errors import DiskFull, IncompatibleState, OutputNotWritable
from wanvideo.pipelines.adapt import adapt
from wanvideo.pipelines.state import Checkpoint, fingerprint
from wanvideo.request import GenerationRequest, ResolvedRequest, Solver
from wanvideo.sampling.schedule import make_schedule
from wanvideo.sampling.solver import SolverState
from wanvideo.sampling.step_cache import StepCache
from wanvideo.weights.catalog import T2V_A14B

SHAPE = (1, 16, 2, 8, 8)
STEPS = 4


def request(**changes: Any) -> ResolvedRequest:
    values: dict[str, Any] = {"prompt": "a heron, 蒼鷺 🪶", "steps": STEPS, "seed": 2**63 - 1, "shift": 3.3}
    return adapt(T2V_A14B, GenerationRequest(**(values | changes)))


def mark(of: ResolvedRequest) -> dict[str, object]:
    return fingerprint(of, make_schedule(of.solver, of.steps, of.shift, of.sigmas), None, None)


def checkpoint(outputs: int = 2, corrected: bool = True) -> Checkpoint:
    generator = torch.Generator().manual_seed(3)
    tensors = [torch.randn(SHAPE, generator=generator) for _ in range(4)]
    state = SolverState(
        step=2, latents=tensors[0], outputs=tuple(tensors[1 : 1 + outputs]), corrected=tensors[3] if corrected else None
    )
    return Checkpoint(state=state, rng=generator.get_state(), fingerprint=mark(request()))


@pytest.mark.parametrize(("outputs", "corrected"), [(2, True), (1, True), (1, False), (0, False)])
def test_what_is_saved_comes_back_bit_for_bit(tmp_path: Path, outputs: int, corrected: bool) -> None:
    before = checkpoint(outputs, corrected)
    before.save(tmp_path / "run.safetensors")
    after = Checkpoint.load(tmp_path / "run.safetensors")
    assert after.step == 2
    assert torch.equal(after.state.latents, before.state.latents)
    assert torch.equal(after.rng, before.rng)
    assert len(after.state.outputs) == outputs
    assert all(torch.equal(a, b) for a, b in zip(after.state.outputs, before.state.outputs, strict=True))
    assert (after.state.corrected is not None) == corrected
    after.require(mark(request()), SHAPE, STEPS)
    assert [file.name for file in tmp_path.iterdir()] == ["run.safetensors"]


def with_cache(rate: float | None = 0.1, **changes: Any) -> Checkpoint:
    before = checkpoint()
    values: dict[str, Any] = {"step": 1, "latents": before.state.latents, "velocity": torch.randn(SHAPE)}
    return replace(before, state=replace(before.state, cache=StepCache(rate=rate, **(values | changes)), reused=1))


@pytest.mark.parametrize("rate", [0.1, None])
def test_the_step_cache_comes_back_too(tmp_path: Path, rate: float | None) -> None:
    before = with_cache(rate)
    before.save(tmp_path / "run")
    after = Checkpoint.load(tmp_path / "run")
    old, new = before.state.cache, after.state.cache
    assert old is not None
    assert new is not None
    assert (new.step, new.rate, after.state.reused) == (1, rate, 1)
    assert torch.equal(new.latents, old.latents)
    assert torch.equal(new.velocity, old.velocity)
    after.require(mark(request()), SHAPE, STEPS)


@pytest.mark.parametrize("changes", [{"step": 2}, {"step": -1}, {"velocity": torch.zeros(1)}])
def test_a_step_cache_that_does_not_fit_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(IncompatibleState, match="do not fit"):
        with_cache(**changes).require(mark(request()), SHAPE, STEPS)


def test_the_same_tensor_may_appear_twice(tmp_path: Path) -> None:
    """UniPC corrects nothing on its first step: the corrected sample is the sample."""
    before = checkpoint()
    state = replace(before.state, corrected=before.state.latents, outputs=(before.state.latents.transpose(3, 4),))
    replace(before, state=state).save(tmp_path / "run")
    after = Checkpoint.load(tmp_path / "run")
    assert torch.equal(after.state.outputs[0], state.outputs[0])


def test_the_random_generator_goes_on_where_it_was(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(5)
    torch.randn(10, generator=generator)
    replace(checkpoint(), rng=generator.get_state()).save(tmp_path / "run")
    again = torch.Generator()
    again.set_state(Checkpoint.load(tmp_path / "run").rng)
    assert torch.equal(torch.randn(10, generator=again), torch.randn(10, generator=generator))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", "another"),
        ("negative_prompt", ""),
        ("width", 640),
        ("frames", 5),
        ("steps", 5),
        ("guidance", 2.0),
        ("shift", 7.0),
        ("sigmas", (1.0, 0.7, 0.4, 0.2)),
        ("solver", Solver.EULER),
        ("step_cache", 0.05),
        ("seed", 8),
    ],
)
def test_another_request_is_refused_and_the_difference_named(field: str, value: object) -> None:
    with pytest.raises(IncompatibleState, match=field):
        checkpoint().require(mark(request(**{field: value})), SHAPE, STEPS)


def test_another_picture_is_another_request() -> None:
    of = request()
    schedule = make_schedule(of.solver, of.steps, of.shift)
    prints = [
        fingerprint(of, schedule, image, None)["image"] for image in (picture(), picture(seed=1), picture(), None)
    ]
    assert prints[0] == prints[2]
    assert len(set(prints)) == 3


@pytest.mark.parametrize(
    "state",
    [
        SolverState(step=2, latents=torch.zeros(1, 16, 2, 8, 9)),
        SolverState(step=2, latents=torch.zeros(SHAPE, dtype=torch.float64)),
        SolverState(step=2, latents=torch.full(SHAPE, float("nan"))),
        SolverState(step=2, latents=torch.zeros(SHAPE), outputs=(torch.zeros(1),)),
        SolverState(step=5, latents=torch.zeros(SHAPE)),
        SolverState(step=-1, latents=torch.zeros(SHAPE)),
    ],
)
def test_tensors_that_do_not_fit_are_refused(state: SolverState) -> None:
    with pytest.raises(IncompatibleState, match="do not fit"):
        replace(checkpoint(), state=state).require(mark(request()), SHAPE, STEPS)


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(IncompatibleState, match="cannot be read"):
        Checkpoint.load(tmp_path / "missing")
    path = tmp_path / "run"
    path.write_bytes(b"no safetensors")
    with pytest.raises(IncompatibleState, match="cannot be read"):
        Checkpoint.load(path)
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(IncompatibleState, match="is no saved run"):
        Checkpoint.load(path)


def test_damaged_and_foreign_states_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run"
    checkpoint().save(path)
    whole, tensors = path.read_bytes(), load_file(path)
    path.write_bytes(whole[:-100])
    with pytest.raises(IncompatibleState, match="cannot be read"):
        Checkpoint.load(path)
    about = {"format": "wanvideo.denoising", "schema": 1, "step": 2, "fingerprint": {}}
    for changes, missing, message in (
        ({"schema": 2}, "", "another version"),
        ({"step": "2"}, "", "damaged"),
        ({"fingerprint": None}, "", "damaged"),
        ({}, "rng", "damaged"),
        ({"cache": {"step": 1, "rate": None}}, "", "damaged"),  # no tensors of it
        ({"cache": {"step": 1}}, "", "damaged"),
        ({"reused": None}, "", "damaged"),
    ):
        kept = {name: tensor for name, tensor in tensors.items() if name != missing}
        save_file(kept, path, metadata={"wanvideo": json.dumps(about | changes)})
        with pytest.raises(IncompatibleState, match=message):
            Checkpoint.load(path)


def test_a_state_that_cannot_be_written_says_so_and_leaves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutputNotWritable):
        checkpoint().save(tmp_path / "no folder" / "run")
    path = tmp_path / "run"
    checkpoint().save(path)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull):
        replace(checkpoint(), rng=torch.zeros(3, dtype=torch.uint8)).save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["run"]
