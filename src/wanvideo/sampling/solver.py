"""Solvers of the flow from noise to data. Pure: a step takes a state and returns a new one, and changes no tensor.

Notation: alpha = 1 - sigma; lambda = ln(alpha / sigma); a velocity v = noise - data predicts the data as x - sigma * v.
Coefficients are Python floats, that is float64. The official code computes them in float32; over a run of 50 steps that
moves the result by less than 1e-6 of its size.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from torch import Tensor

from wanvideo.errors import IncompatibleState
from wanvideo.request import Solver
from wanvideo.sampling.schedule import Schedule
from wanvideo.sampling.step_cache import StepCache


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SolverState:
    """Where a run stands: all that the next step needs. Tensors are float32 and have the shape of `latents`."""

    step: int  # steps done so far
    latents: Tensor  # the current sample, [B, C, T, H, W]
    outputs: tuple[Tensor, ...] = ()  # the latest predictions of the data, newest last, at most 2
    corrected: Tensor | None = None  # UniPC: the sample from which the last step was predicted
    # Of velocities that are not computed at every step; kept by whoever provides them, so solvers leave both unset.
    cache: StepCache | None = None
    reused: int = 0  # steps so far that took the velocity of an earlier one


StepFunction: TypeAlias = Callable[[SolverState, Tensor, Sequence[float]], SolverState]
Velocity: TypeAlias = Callable[[Tensor, float, int], Tensor]  # of latents, timestep, step


def integrate(step: StepFunction, velocity: Velocity, state: SolverState, schedule: Schedule) -> Iterator[SolverState]:
    """Yield the state after every step that is left; resuming from any of them repeats the rest bit for bit.

    Raises IncompatibleState if `state` is further than the schedule goes.
    """
    if not 0 <= state.step <= schedule.steps:
        raise IncompatibleState(
            f"the saved state is at step {state.step}, but the schedule has {schedule.steps} steps: "
            "resume with the settings that it was saved with, or start again"
        )
    while state.step < schedule.steps:
        predicted = velocity(state.latents, schedule.timesteps[state.step], state.step)
        state = step(state, predicted, schedule.sigmas)
        yield state


def euler_step(state: SolverState, velocity: Tensor, sigmas: Sequence[float]) -> SolverState:
    """First order, a straight line along the velocity. What few-step distilled models are made for."""
    sigma, sigma_next = sigmas[state.step], sigmas[state.step + 1]
    return SolverState(
        step=state.step + 1,
        latents=state.latents + (sigma_next - sigma) * velocity,
        outputs=(_data(state, velocity, sigmas),),
    )


def dpmpp_step(state: SolverState, velocity: Tensor, sigmas: Sequence[float]) -> SolverState:
    """DPM-Solver++ 2M, midpoint, deterministic (arXiv:2211.01095)."""
    data = _data(state, velocity, sigmas)
    return SolverState(
        step=state.step + 1,
        latents=_predict(state.latents, (*state.outputs, data), sigmas, state.step),
        outputs=(data,),
    )


def unipc_step(state: SolverState, velocity: Tensor, sigmas: Sequence[float]) -> SolverState:
    """UniPC of order 2 with B(h) = expm1(-h) (arXiv:2302.04867), the default solver of the official code.

    The predictor alone is DPM-Solver++ 2M. The corrector comes one step late, when the model has been run on the
    predicted sample anyway: it costs no evaluation.
    """
    outputs = (*state.outputs, _data(state, velocity, sigmas))
    corrected = state.latents
    if state.corrected is not None:
        corrected = _correct(state.corrected, outputs, sigmas, state.step)
    return SolverState(
        step=state.step + 1,
        latents=_predict(corrected, outputs, sigmas, state.step),
        outputs=outputs[-2:],
        corrected=corrected,
    )


STEP: Final[Mapping[Solver, StepFunction]] = {
    Solver.UNIPC: unipc_step,
    Solver.EULER: euler_step,
    Solver.DPMPP: dpmpp_step,
}


def _data(state: SolverState, velocity: Tensor, sigmas: Sequence[float]) -> Tensor:
    """The clean data, as predicted from the sample that the model has just seen."""
    return state.latents - sigmas[state.step] * velocity


def _lambda(sigma: float) -> float:
    """Half the log signal-to-noise ratio: -inf at pure noise, inf at none. The formulas have their limits there."""
    if sigma in (0.0, 1.0):
        return math.inf if sigma == 0.0 else -math.inf
    return math.log1p(-sigma) - math.log(sigma)


def _weight(sigma: float, sigma_next: float) -> float:
    """How far a first-order step moves the sample towards the data; alpha_next * (1 - exp(-h)) in the papers."""
    return 1 - sigma_next / sigma


def _predict(sample: Tensor, outputs: Sequence[Tensor], sigmas: Sequence[float], i: int) -> Tensor:
    """Take `sample` from sigma i to sigma i + 1. `outputs`: the data predictions up to sigma i.

    Second order where there is an older prediction; first order on the last step, where lambda is infinite.
    """
    *older, data = outputs
    sigma, sigma_next = sigmas[i], sigmas[i + 1]
    weight = _weight(sigma, sigma_next)
    first_order = sample.lerp(data, weight)
    if not older or sigma_next == 0:
        return first_order
    h = _lambda(sigma_next) - _lambda(sigma)
    r = (_lambda(sigmas[i - 1]) - _lambda(sigma)) / h
    return first_order + (0.5 * weight / r) * (older[-1] - data)


def _correct(sample: Tensor, outputs: Sequence[Tensor], sigmas: Sequence[float], i: int) -> Tensor:
    """Redo the step of `sample` from sigma i - 1 to sigma i. `outputs`: the data predictions, now with sigma i."""
    *older, data, data_next = outputs
    sigma, sigma_next = sigmas[i - 1], sigmas[i]
    weight = _weight(sigma, sigma_next)
    first_order = sample.lerp(data, weight)
    if not older:
        return first_order + 0.5 * weight * (data_next - data)
    h = _lambda(sigma_next) - _lambda(sigma)
    r = (_lambda(sigmas[i - 2]) - _lambda(sigma)) / h
    # The two differences are weighted by rho, with rho_old + rho_new = b1 and r * rho_old + rho_new = b2.
    phi = math.expm1(-h)
    g1 = phi / -h - 1
    g2 = g1 / -h - 0.5
    b1, b2 = g1 / phi, 2 * g2 / phi
    rho_old = (b2 - b1) / (r - 1)
    rho_new = b1 - rho_old
    return first_order + (weight * rho_old / r) * (older[-1] - data) + weight * rho_new * (data_next - data)
