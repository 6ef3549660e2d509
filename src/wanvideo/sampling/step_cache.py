"""Step caching: some steps take the velocity of an earlier one, which saves running the network. Lossy.

The idea is that of EasyCache (arXiv:2507.02860): how far the velocity has moved is told from how far the sample has
moved, at the rate last seen between two steps for which the network was run. Nothing inside the network is looked at
and nothing is calibrated, so it works with any. Two things differ from the paper:

- The velocity is kept, not its difference to the sample. Along a straight flow it is the velocity that stays as it is;
  with the demo models, kept velocities left half the error that kept differences did, in as many steps.
- What is kept comes after guidance. Guidance is linear in both of its velocities, so keeping each would give the same.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

WARM_UP: Final = 0.2  # share of all steps, at the start, that are always computed: they lay out the picture


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepCache:
    """What is known of the velocity from the latest step for which the network was run. It changes no more."""

    step: int
    latents: Tensor  # what the network was given then, [B, C, T, H, W]
    velocity: Tensor  # and what it said, of the same shape
    rate: float | None  # change of the velocity by change of the latents since the step computed before; None: unknown

    def to(self, device: torch.device) -> "StepCache":
        return replace(self, latents=self.latents.to(device), velocity=self.velocity.to(device))


def may_reuse(step: int, steps: int) -> bool:
    """Whether step `step` of `steps`, from 0, need not be computed: not in the warm-up, and never the last one."""
    return math.ceil(WARM_UP * steps) <= step < steps - 1


def expected_change(cache: StepCache, latents: Tensor) -> float:
    """How much of itself the velocity at `latents` is expected to differ from the one that is kept; inf if unknown.

    The change of the sample since then is the sum of all steps since then, so this adds up over steps in a row.
    """
    if cache.rate is None:
        return math.inf
    size = _size(cache.velocity)
    return cache.rate * _size(latents - cache.latents) / size if size else math.inf


def learn(before: StepCache | None, step: int, latents: Tensor, velocity: Tensor) -> StepCache:
    """The cache after a step for which the network was run; `before` is the one of the same expert."""
    rate = None
    if before is not None:
        moved = _size(latents - before.latents)
        rate = _size(velocity - before.velocity) / moved if moved else None
    return StepCache(step=step, latents=latents, velocity=velocity, rate=rate)


def _size(tensor: Tensor) -> float:
    return float(tensor.abs().mean())
