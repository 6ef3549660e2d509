"""Which steps are spared, and what the others teach."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from wanvideo.request import Solver
from wanvideo.sampling.schedule import make_schedule
from wanvideo.sampling.solver import STEP, SolverState, integrate
from wanvideo.sampling.step_cache import StepCache, expected_change, learn, may_reuse

SHAPE = (1, 2, 3, 4, 4)


def computed(samples: Sequence[Tensor], velocities: Sequence[Tensor], threshold: float) -> list[int]:
    """The steps of a recorded run for which the network would have been run."""
    cache: StepCache | None = None
    steps = []
    for step, (latents, velocity) in enumerate(zip(samples, velocities, strict=True)):
        if cache is not None and may_reuse(step, len(samples)) and expected_change(cache, latents) < threshold:
            continue
        cache = learn(cache, step, latents, velocity)
        steps.append(step)
    return steps


@pytest.mark.parametrize(("steps", "free"), [(1, []), (2, []), (4, [1, 2]), (20, range(4, 19)), (50, range(10, 49))])
def test_the_warm_up_and_the_last_step_are_always_computed(steps: int, free: Sequence[int]) -> None:
    assert [step for step in range(steps) if may_reuse(step, steps)] == list(free)


def test_nothing_is_expected_before_two_steps_were_computed() -> None:
    first = learn(None, 0, torch.ones(SHAPE), torch.ones(SHAPE))
    assert expected_change(first, torch.ones(SHAPE)) == math.inf


def test_the_velocity_is_expected_to_change_as_it_did_before() -> None:
    """It rose by 0.5 where the sample moved by 1; after another 2 it is expected at 4 + 1, a quarter more."""
    first = learn(None, 3, torch.zeros(SHAPE), torch.full(SHAPE, 3.5))
    second = learn(first, 5, torch.full(SHAPE, -1.0), torch.full(SHAPE, 4.0))
    assert second.step == 5
    assert second.rate == pytest.approx(0.5)
    assert expected_change(second, torch.full(SHAPE, -3.0)) == pytest.approx(0.25)
    assert expected_change(second, second.latents) == 0


@pytest.mark.parametrize("velocity", [0.0, 2.0])
def test_a_sample_that_did_not_move_teaches_no_rate(velocity: float) -> None:
    first = learn(None, 0, torch.ones(SHAPE), torch.ones(SHAPE))
    second = learn(first, 1, torch.ones(SHAPE), torch.full(SHAPE, velocity))
    assert second.rate is None
    assert expected_change(second, torch.ones(SHAPE)) == math.inf


def test_a_velocity_of_zero_is_never_reused() -> None:
    first = learn(None, 0, torch.ones(SHAPE), torch.ones(SHAPE))
    assert expected_change(learn(first, 1, torch.zeros(SHAPE), torch.zeros(SHAPE)), torch.zeros(SHAPE)) == math.inf


@pytest.mark.parametrize("solver", Solver)
def test_along_a_straight_flow_reuse_is_exact(solver: Solver) -> None:
    data, noise = torch.randn(SHAPE), torch.randn(SHAPE)
    schedule = make_schedule(solver, 10, 5.0)
    cache: StepCache | None = None
    calls = 0

    def velocity(latents: Tensor, timestep: float, step: int) -> Tensor:
        nonlocal cache, calls
        if cache is not None and may_reuse(step, 10) and expected_change(cache, latents) < 0.01:
            return cache.velocity
        calls += 1
        cache = learn(cache, step, latents, noise - data)
        return cache.velocity

    start = data + schedule.sigmas[0] * (noise - data)
    *_, last = integrate(STEP[solver], velocity, SolverState(step=0, latents=start), schedule)
    assert calls == 3  # two at the start, and the last
    torch.testing.assert_close(last.latents, data, atol=1e-5, rtol=0)


def recorded(seed: int, steps: int = 24) -> tuple[list[Tensor], list[Tensor]]:
    """A run whose velocity turns with time, at a pace of its own in each place."""
    generator = torch.Generator().manual_seed(seed)
    pace, start, x = (torch.randn(SHAPE, generator=generator) for _ in range(3))
    samples, velocities = [], []
    for step in range(steps):
        velocity = start + torch.sin(pace * step / steps)
        samples.append(x)
        velocities.append(velocity)
        x = x - velocity / steps
    return samples, velocities


@pytest.mark.parametrize("seed", range(20))
def test_a_larger_threshold_never_computes_more_of_a_recorded_run(seed: int) -> None:
    samples, velocities = recorded(seed)
    counts = [len(computed(samples, velocities, threshold / 100)) for threshold in range(50)]
    assert counts == sorted(counts, reverse=True)


def test_a_threshold_of_zero_computes_every_step_and_a_large_one_hardly_any() -> None:
    samples, velocities = recorded(0)
    assert computed(samples, velocities, 0.0) == list(range(24))
    assert computed(samples, velocities, 1.0) == [*range(5), 23]
    assert 6 < len(computed(samples, velocities, 0.05)) < 24
