"""From noise to latents: the loop that joins the networks' velocity with a solver, one step at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from wanvideo.errors import NonFiniteLatents
from wanvideo.pipelines.conditioning import Condition
from wanvideo.request import ResolvedRequest, Solver
from wanvideo.sampling.guidance import Expert, expert_at, guide
from wanvideo.sampling.schedule import Schedule, make_schedule
from wanvideo.sampling.solver import STEP, SolverState, integrate
from wanvideo.sampling.step_cache import expected_change, learn, may_reuse

# A transformer: input [B, C, T, h, w], timestep [B] or [B, 2], text [B, S, D] -> velocity [B, z, T, h, w].
Transformer: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
# Both velocities of a guided step: of a transformer, its input and timestep, the prompt and the negative prompt.
Both: TypeAlias = Callable[[Transformer, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embeddings:
    """The prompts as the transformer reads them, [1, S, D] each."""

    prompt: Tensor
    negative: Tensor | None  # None: guidance is off everywhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How to get from noise to latents."""

    schedule: Schedule
    solver: Solver
    boundary: float | None  # None: one transformer
    guidance_high: float
    guidance_low: float
    # Both prompts in one call of the network. One alone keeps the device busy on all but the smallest videos, so two at
    # once take more memory and no less time; with the demo models on one core, 0.16 s a step against 0.15 s.
    batch_guidance: bool = False
    step_cache: float | None = None  # how much of itself a velocity may differ from the one used in its place

    @classmethod
    def of(cls, request: ResolvedRequest, boundary: float | None, *, batch_guidance: bool = False) -> "Sampling":
        return cls(
            schedule=make_schedule(request.solver, request.steps, request.shift, request.sigmas),
            solver=request.solver,
            boundary=boundary,
            guidance_high=request.guidance_high,
            guidance_low=request.guidance_low,
            batch_guidance=batch_guidance,
            step_cache=request.step_cache,
        )

    def expert(self, step: int) -> Expert:
        """Which transformer takes step `step`, from 0."""
        return expert_at(self.schedule.timesteps[step], self.boundary)

    @property
    def experts(self) -> tuple[Expert, ...]:
        """The transformers that have steps to take, in their order."""
        return tuple(dict.fromkeys(self.expert(step) for step in range(self.schedule.steps)))

    def scale(self, expert: Expert) -> float:
        return self.guidance_high if expert is Expert.HIGH else self.guidance_low

    @property
    def guided(self) -> bool:
        """Whether the negative prompt plays any part."""
        return any(self.scale(expert) != 1 for expert in self.experts)


def initial_noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard normal float32 from a CPU generator, so that a seed means the same on every machine."""
    return torch.randn(shape, generator=generator, dtype=torch.float32)


def initial_state(noise: Tensor, condition: Condition) -> SolverState:
    """Before the first step: noise [1, z, T, h, w], and what is known of the first latent frame."""
    if condition.first_latent is not None:
        noise = torch.cat([condition.first_latent, noise[:, :, 1:]], dim=2)
    return SolverState(step=0, latents=noise)


def denoise(
    transformer: Callable[[Expert], Transformer],
    sampling: Sampling,
    text: Embeddings,
    condition: Condition,
    state: SolverState,
    both: Both | None = None,
) -> Iterator[SolverState]:
    """Yield the state after every step that is left, all on the device of `state`.

    `transformer` gives the network of an expert when a step needs it. Raises NonFiniteLatents, with the step, as soon
    as a NaN or an infinity appears. The step cache is part of the state, so that a run that is resumed reuses as it
    would have done. both: computes the two velocities of a guided step, if not one after the other.
    """
    cache, reused = state.cache, state.reused
    steps, threshold = sampling.schedule.steps, sampling.step_cache or 0.0

    def velocity(latents: Tensor, timestep: float, step: int) -> Tensor:
        nonlocal cache, reused
        expert = sampling.expert(step)
        if cache is not None and sampling.expert(cache.step) is not expert:
            cache = None
        if cache is not None and may_reuse(step, steps) and expected_change(cache, latents) < threshold:
            reused += 1
            return cache.velocity
        result = guided_velocity(transformer(expert), sampling, expert, latents, timestep, text, condition, both)
        if threshold > 0:
            cache = learn(cache, step, latents, result)
        return result

    for after in integrate(STEP[sampling.solver], velocity, state, sampling.schedule):
        check_finite(after, sampling)
        yield replace(after, cache=cache, reused=reused)


@torch.no_grad()
def guided_velocity(
    transformer: Transformer,
    sampling: Sampling,
    expert: Expert,
    latents: Tensor,
    timestep: float,
    text: Embeddings,
    condition: Condition,
    both: Both | None = None,
) -> Tensor:
    """The velocity [1, z, T, h, w] at one noise level, with guidance unless its scale is 1.

    Where the first latent frame is known, the network is told that it is clean, and its velocity is 0: every solver
    then leaves it exactly as it is, as the official code does by putting it back after each step.
    """
    x = latents if condition.channels is None else torch.cat([latents, condition.channels], dim=1)
    levels = [timestep] if condition.first_latent is None else [0.0, timestep]
    time = torch.tensor([levels], dtype=torch.float32, device=x.device)
    scale = sampling.scale(expert)
    if scale == 1 or text.negative is None:
        result = transformer(x, time, text.prompt)
    else:
        both = both or (_in_one_batch if sampling.batch_guidance else _in_turn)
        result = guide(*both(transformer, x, time, text.prompt, text.negative), scale)
    if condition.first_latent is None:
        return result
    return torch.cat([torch.zeros_like(result[:, :, :1]), result[:, :, 1:]], dim=2)


def _in_turn(transformer: Transformer, x: Tensor, time: Tensor, *texts: Tensor) -> tuple[Tensor, Tensor]:
    prompt, negative = texts
    return transformer(x, time, prompt), transformer(x, time, negative)


def _in_one_batch(transformer: Transformer, x: Tensor, time: Tensor, *texts: Tensor) -> tuple[Tensor, Tensor]:
    cond, uncond = transformer(x.expand(2, *x.shape[1:]), time.expand(2, -1), torch.cat(texts)).split(1)
    return cond, uncond


def check_finite(state: SolverState, sampling: Sampling) -> None:
    """Raises NonFiniteLatents if the step just taken went wrong."""
    # The predicted data is made from the velocity, and so shows what the network has done.
    if all(bool(torch.isfinite(tensor).all()) for tensor in (state.latents, *state.outputs[-1:])):
        return
    step, steps = state.step, sampling.schedule.steps
    expert, timestep = sampling.expert(step - 1), sampling.schedule.timesteps[step - 1]
    which = "" if sampling.boundary is None else f" by the {expert}-noise expert"
    raise NonFiniteLatents(
        f"step {step} of {steps}{which} at timestep {timestep:g} gave numbers that are not finite: "
        "check the model's files and get damaged ones again, or use dtype float32",
        suggestions=("dtype float32",),
        facts={"step": step, "steps": steps, "expert": expert.value, "timestep": timestep},
    )
