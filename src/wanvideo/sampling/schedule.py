"""Noise levels and model timesteps of a denoising run. No torch here.

Flow matching: at noise level sigma a sample is `(1 - sigma) * data + sigma * noise`, from 1 (pure noise) down to 0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from wanvideo.errors import InvalidRequest
from wanvideo.request import Solver

TRAIN_TIMESTEPS = 1000  # the model is told 1000 * sigma

# The training table of the official UniPC ends one timestep short of pure noise, and is held in float32.
_UNIPC_START = float(np.float32(0.999))


@dataclass(frozen=True, slots=True)
class Schedule:
    """The plan of N steps: step i goes from `sigmas[i]` to `sigmas[i + 1]`, and the model is given `timesteps[i]`."""

    sigmas: tuple[float, ...]  # N + 1 noise levels, exact in float32; strictly falling, the last is 0
    timesteps: tuple[float, ...]  # N numbers, in (0, 1000]

    @property
    def steps(self) -> int:
        """N, the number of steps."""
        return len(self.timesteps)


@lru_cache(maxsize=128)  # requests are checked by it, many of them alike
def make_schedule(solver: Solver, steps: int, shift: float, sigmas: tuple[float, ...] | None = None) -> Schedule:
    """The schedule that `solver` was designed with, or the one given by `sigmas`.

    steps, shift: a uniform grid is shifted once; `shift` > 1 dwells at high noise (arXiv:2403.03206).
    sigmas: noise levels in (0, 1], strictly falling; used as they are, so that `steps` and `shift` do not count. The
        final 0 may be left out.

    UniPC and DPM++ truncate the timestep to an integer, Euler (used by few-step distilled models) keeps it.
    Raises InvalidRequest. Source: official `wan/utils/fm_solvers*.py`.
    """
    levels = _shifted(solver, steps, shift) if sigmas is None else _given(sigmas)
    timesteps = TRAIN_TIMESTEPS * levels
    if solver is not Solver.EULER:
        timesteps = np.trunc(timesteps)  # before sigma is rounded to float32, as the official code does
    return Schedule(sigmas=(*_as_float32(levels), 0.0), timesteps=_as_float32(timesteps))


def _shifted(solver: Solver, steps: int, shift: float) -> NDArray[np.float64]:
    """A uniform grid of `steps` noise levels down to, and without, 0; then shifted."""
    if steps < 1:
        raise InvalidRequest(f"steps is {steps}: at least 1 is needed")
    if not 0 < shift < math.inf:
        raise InvalidRequest(f"shift is {shift}: it must be a positive number, such as 5")
    start = _UNIPC_START if solver is Solver.UNIPC else 1.0
    grid = np.linspace(start, 0.0, steps + 1)[:-1]
    levels: NDArray[np.float64] = shift * grid / (1 + (shift - 1) * grid)
    if _first_rise(levels) is not None:
        raise InvalidRequest(
            f"shift {shift} over {steps} steps gives noise levels too close to tell apart: "
            "choose a shift nearer to 1, or fewer steps"
        )
    return levels


def _given(sigmas: Sequence[float]) -> NDArray[np.float64]:
    """Noise levels chosen by the user, checked, without the final 0."""
    if sigmas and sigmas[-1] == 0:
        sigmas = sigmas[:-1]
    if not sigmas:
        raise InvalidRequest("sigmas has no noise level above 0: give at least one, for example 1, 0.75, 0.5, 0.25")
    for sigma in sigmas:
        if not 0 < sigma <= 1:
            raise InvalidRequest(f"sigmas contains {sigma}: noise levels must be above 0 and at most 1 (pure noise)")
    levels = np.array(sigmas, dtype=np.float64)
    if (rise := _first_rise(levels)) is not None:
        before, after = (*sigmas, 0)[rise : rise + 2]
        raise InvalidRequest(f"sigmas has {after} after {before}: each noise level must be below the one before it")
    return levels


def _first_rise(levels: NDArray[np.float64]) -> int | None:
    """Index of the first level that does not exceed its successor (after the last comes 0), as float32 sees them."""
    pairs = enumerate(pairwise((*_as_float32(levels), 0.0)))
    return next((i for i, (before, after) in pairs if before <= after), None)


def _as_float32(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(values.astype(np.float32).tolist())
