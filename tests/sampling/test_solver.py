"""Solvers, against trajectories of the official code, diffusers, and equations with a known solution."""

import math
from collections.abc import Callable
from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from wanvideo.errors import IncompatibleState
from wanvideo.request import Solver
from wanvideo.sampling.schedule import Schedule, make_schedule
from wanvideo.sampling.solver import STEP, SolverState, integrate

SHAPE = (2, 16, 3, 8, 8)  # [B, C, T, H, W]


def trajectory(
    solver: Solver, velocity: Callable[[Tensor, float, int], Tensor], start: Tensor, schedule: Schedule
) -> list[Tensor]:
    state = SolverState(step=0, latents=start)
    return [state.latents for state in integrate(STEP[solver], velocity, state, schedule)]


def linear(latents: Tensor, timestep: float, step: int) -> Tensor:
    return 0.7 * latents - 0.2 + 0.0003 * timestep


def network(latents: Tensor, timestep: float, step: int) -> Tensor:
    """Stands for a model: smooth, not linear, mixes the channels, depends on the timestep, data of unit size."""
    mixed = latents.roll(1, dims=1) * 0.5 + latents
    return latents - torch.tanh(1.5 * mixed + timestep / 1000)


def noise(seed: int = 0) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


UNIPC_TRAJECTORY = [
    [0.478574, -1.21306],
    [0.449898, -1.159886],
    [0.410087, -1.076558],
    [0.351914, -0.925774],
    [0.233735, -0.54735],
]
DPMPP_TRAJECTORY = [
    [0.478571, -1.213095],
    [0.449118, -1.159624],
    [0.408193, -1.075875],
    [0.348988, -0.924837],
    [0.231881, -0.546567],
]


@pytest.mark.parametrize(("solver", "expected"), [(Solver.UNIPC, UNIPC_TRAJECTORY), (Solver.DPMPP, DPMPP_TRAJECTORY)])
def test_five_steps_are_the_official_trajectory(solver: Solver, expected: list[list[float]]) -> None:
    samples = trajectory(solver, linear, torch.tensor([0.5, -1.25]), make_schedule(solver, 5, 5.0))
    torch.testing.assert_close(torch.stack(samples), torch.tensor(expected), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("solver", "expected"), [(Solver.UNIPC, [0.288168, -0.568812]), (Solver.DPMPP, [0.288008, -0.568739])]
)
def test_sixteen_steps_end_where_the_official_code_ends(solver: Solver, expected: list[float]) -> None:
    *_, last = trajectory(solver, linear, torch.tensor([0.5, -1.25]), make_schedule(solver, 16, 5.0))
    torch.testing.assert_close(last, torch.tensor(expected), atol=1e-6, rtol=0)


def test_euler_steps_along_the_velocity() -> None:
    schedule = make_schedule(Solver.EULER, 4, 5.0)
    x = torch.tensor([0.5, -1.25])
    for i, sample in enumerate(trajectory(Solver.EULER, linear, x, schedule)):
        x = x + (schedule.sigmas[i + 1] - schedule.sigmas[i]) * linear(x, schedule.timesteps[i], i)
        assert torch.equal(sample, x)


def assert_follows_diffusers(solver: Solver, scheduler: diffusers.SchedulerMixin, timesteps: tuple[float, ...]) -> None:
    """Run our solver and a diffusers scheduler side by side on the latter's sigmas."""
    scheduler.set_begin_index(0)
    schedule = Schedule(sigmas=tuple(scheduler.sigmas.tolist()), timesteps=timesteps)
    theirs = noise()
    for i, ours in enumerate(trajectory(solver, network, noise(), schedule)):
        theirs = scheduler.step(network(theirs, timesteps[i], i), scheduler.timesteps[i], theirs).prev_sample
        assert (ours - theirs).norm() <= 1e-6 * theirs.norm()
        torch.testing.assert_close(ours, theirs, atol=4e-6, rtol=0)


@pytest.mark.parametrize(("steps", "shift"), [(1, 5.0), (2, 5.0), (3, 5.0), (20, 8.0), (40, 12.0), (50, 5.0)])
def test_unipc_follows_diffusers_on_the_same_sigmas(steps: int, shift: float) -> None:
    schedule = make_schedule(Solver.UNIPC, steps, shift)
    scheduler = diffusers.UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True)
    scheduler.set_timesteps(sigmas=np.array(schedule.sigmas[:-1]))
    assert tuple(scheduler.sigmas.tolist()) == schedule.sigmas
    assert_follows_diffusers(Solver.UNIPC, scheduler, schedule.timesteps)


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning:diffusers")
@pytest.mark.parametrize(("steps", "shift"), [(1, 5.0), (2, 5.0), (3, 5.0), (20, 8.0), (40, 12.0), (50, 5.0)])
def test_dpmpp_follows_diffusers_on_the_same_sigmas(steps: int, shift: float) -> None:
    # The step is the same; the grid of diffusers is not (it starts at 0.999), so theirs is used.
    scheduler = diffusers.DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift
    )
    scheduler.set_timesteps(steps)
    assert_follows_diffusers(Solver.DPMPP, scheduler, tuple(scheduler.timesteps.tolist()))


def test_euler_follows_diffusers_on_the_same_sigmas() -> None:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=5.0)
    scheduler.set_timesteps(sigmas=[1, 0.75, 0.5, 0.25])
    assert_follows_diffusers(Solver.EULER, scheduler, make_schedule(Solver.EULER, 4, 5.0).timesteps)


@pytest.mark.parametrize("steps", [1, 2, 7, 40])
@pytest.mark.parametrize("solver", Solver)
def test_an_exact_velocity_lands_on_the_data(solver: Solver, steps: int) -> None:
    data, start = noise(1), noise(2)
    schedule = make_schedule(solver, steps, 5.0)
    first = schedule.sigmas[0]  # UniPC's grid starts a little below pure noise
    *_, last = trajectory(solver, lambda x, t, i: start - data, (1 - first) * data + first * start, schedule)
    torch.testing.assert_close(last, data, atol=1e-5, rtol=0)


# Data drawn from a Gaussian: the ideal model, and where it takes each noise, are known in closed form.
MEAN, SPREAD = 0.3, 0.5


def gaussian_path(start: Tensor, sigma: float) -> Tensor:
    return (1 - sigma) * MEAN + math.hypot((1 - sigma) * SPREAD, sigma) * start


def gaussian_error(solver: Solver, steps: int) -> float:
    """Largest error after integrating in float64 from sigma 0.95 to 0.05, evenly in the log signal-to-noise ratio."""
    sigmas: tuple[float, ...] = tuple((1 / (1 + np.exp(np.linspace(-3, 3, steps + 1)))).tolist())

    def velocity(latents: Tensor, timestep: float, step: int) -> Tensor:
        sigma = sigmas[step]
        gain = (1 - sigma) * SPREAD**2 / (((1 - sigma) * SPREAD) ** 2 + sigma**2)
        data = MEAN + gain * (latents - (1 - sigma) * MEAN)
        return (latents - data) / sigma

    start = torch.linspace(-3, 3, 101, dtype=torch.float64)
    schedule = Schedule(sigmas=sigmas, timesteps=tuple(1000 * sigma for sigma in sigmas[:-1]))
    *_, last = trajectory(solver, velocity, gaussian_path(start, sigmas[0]), schedule)
    return (last - gaussian_path(start, sigmas[-1])).abs().max().item()


@pytest.mark.parametrize(("solver", "order"), [(Solver.EULER, 1), (Solver.DPMPP, 2), (Solver.UNIPC, 3)])
def test_the_error_falls_with_the_order_of_the_solver(solver: Solver, order: int) -> None:
    # The corrector adds one to the order of UniPC's predictor, which is DPM++.
    assert math.log2(gaussian_error(solver, 80) / gaussian_error(solver, 160)) == pytest.approx(order, abs=0.05)


@pytest.mark.parametrize("steps", [1, 2, 3, 8])
@pytest.mark.parametrize("solver", Solver)
def test_starting_at_pure_noise_stays_finite(solver: Solver, steps: int) -> None:
    sigmas = make_schedule(Solver.EULER, steps, 5.0).sigmas
    assert sigmas[0] == 1
    schedule = make_schedule(solver, steps, 5.0, sigmas)
    assert all(sample.isfinite().all() for sample in trajectory(solver, network, noise(), schedule))


def test_unipc_from_pure_noise_agrees_with_starting_a_little_below() -> None:
    # diffusers moves a sigma of 1 to 1 - 1e-6, where lambda is finite. Here it stays: the formulas take their limit.
    sigmas = (1.0, 0.9375, 0.8333, 0.625, 0.3, 0.0)
    scheduler = diffusers.UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True)
    scheduler.set_timesteps(sigmas=np.array(sigmas[:-1]))
    moved = tuple(scheduler.sigmas.tolist())
    assert moved[0] == pytest.approx(1 - 1e-6, abs=1e-7)
    schedule = make_schedule(Solver.UNIPC, 5, 5.0, sigmas)
    *_, ours = trajectory(Solver.UNIPC, network, noise(), schedule)
    *_, theirs = trajectory(Solver.UNIPC, network, noise(), replace(schedule, sigmas=moved))
    assert (ours - theirs).norm() < 2e-4 * theirs.norm()


def as_tensors(state: SolverState) -> list[Tensor]:
    return [state.latents, *state.outputs, *([] if state.corrected is None else [state.corrected])]


def assert_same(a: SolverState, b: SolverState) -> None:
    assert a.step == b.step
    assert all(torch.equal(x, y) for x, y in zip(as_tensors(a), as_tensors(b), strict=True))


@given(st.sampled_from(Solver), st.integers(1, 9), st.data())
def test_resuming_anywhere_repeats_the_rest_bit_for_bit(solver: Solver, steps: int, data: st.DataObject) -> None:
    schedule = make_schedule(solver, steps, 5.0)
    start = SolverState(step=0, latents=noise())
    whole = [start, *integrate(STEP[solver], network, start, schedule)]
    kept = data.draw(st.integers(0, steps), label="steps kept")
    saved = whole[kept]
    restored = SolverState(
        step=saved.step,
        latents=saved.latents.clone(),
        outputs=tuple(output.clone() for output in saved.outputs),
        corrected=None if saved.corrected is None else saved.corrected.clone(),
    )
    rest = list(integrate(STEP[solver], network, restored, schedule))
    assert len(rest) == steps - kept
    for expected, resumed in zip(whole[kept + 1 :], rest, strict=True):
        assert_same(expected, resumed)


@pytest.mark.parametrize("solver", Solver)
def test_a_step_changes_no_tensor_it_was_given(solver: Solver) -> None:
    schedule = make_schedule(solver, 6, 5.0)
    state = SolverState(step=0, latents=noise())
    for step in range(6):
        given = [*as_tensors(state), network(state.latents, schedule.timesteps[step], step)]
        before = [tensor.clone() for tensor in given]
        state = STEP[solver](state, given[-1], schedule.sigmas)
        assert all(torch.equal(a, b) for a, b in zip(before, given, strict=True))


@pytest.mark.parametrize("solver", Solver)
def test_states_are_float32_and_hold_at_most_two_outputs(solver: Solver) -> None:
    for state in integrate(STEP[solver], network, SolverState(step=0, latents=noise()), make_schedule(solver, 5, 5.0)):
        assert all(tensor.dtype == torch.float32 and tensor.shape == SHAPE for tensor in as_tensors(state))
        assert 1 <= len(state.outputs) <= 2


@pytest.mark.parametrize("solver", Solver)
def test_the_last_sample_is_the_last_prediction_of_the_data(solver: Solver) -> None:
    *_, last = integrate(STEP[solver], network, SolverState(step=0, latents=noise()), make_schedule(solver, 5, 5.0))
    torch.testing.assert_close(last.latents, last.outputs[-1], atol=1e-6, rtol=0)


@pytest.mark.parametrize("solver", Solver)
def test_the_model_is_asked_once_a_step_with_the_timestep_of_the_schedule(solver: Solver) -> None:
    asked: list[tuple[float, int]] = []

    def velocity(latents: Tensor, timestep: float, step: int) -> Tensor:
        asked.append((timestep, step))
        return network(latents, timestep, step)

    schedule = make_schedule(solver, 5, 5.0)
    trajectory(solver, velocity, noise(), schedule)
    assert asked == [(timestep, step) for step, timestep in enumerate(schedule.timesteps)]


@pytest.mark.parametrize("step", [-1, 6])
def test_a_state_from_outside_the_schedule_is_refused(step: int) -> None:
    schedule = make_schedule(Solver.UNIPC, 5, 5.0)
    with pytest.raises(IncompatibleState, match=f"at step {step}, but the schedule has 5 steps"):
        next(integrate(STEP[Solver.UNIPC], network, SolverState(step=step, latents=noise()), schedule))


def test_every_solver_has_a_step() -> None:
    assert set(STEP) == set(Solver)
