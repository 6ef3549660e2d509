"""The loop, with small functions in the place of networks."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from wanvideo.errors import NonFiniteLatents
from wanvideo.pipelines.adapt import adapt
from wanvideo.pipelines.conditioning import Condition
from wanvideo.pipelines.denoise import Embeddings, Sampling, Transformer, denoise, initial_noise, initial_state
from wanvideo.request import GenerationRequest, Solver
from wanvideo.sampling.guidance import Expert, guide
from wanvideo.sampling.schedule import make_schedule
from wanvideo.sampling.solver import STEP, SolverState
from wanvideo.weights.catalog import T2V_A14B

SHAPE = (1, 2, 3, 4, 4)
PROMPT, NEGATIVE = torch.full((1, 5, 6), 0.3), torch.full((1, 5, 6), -0.2)


def sampling(solver: Solver = Solver.UNIPC, steps: int = 6, **changes: Any) -> Sampling:
    values: dict[str, Any] = {"boundary": 0.9, "guidance_high": 3.0, "guidance_low": 2.0}
    return Sampling(schedule=make_schedule(solver, steps, 5.0), solver=solver, **(values | changes))


def noise(seed: int = 0) -> Tensor:
    return initial_noise(SHAPE, torch.Generator().manual_seed(seed))


class Network:
    """A smooth function of everything that a transformer is given; counts its calls and keeps the inputs."""

    def __init__(self) -> None:
        self.experts: list[Expert] = []
        self.calls: list[tuple[Tensor, Tensor, Tensor]] = []

    def __call__(self, expert: Expert) -> Transformer:
        def transformer(x: Tensor, time: Tensor, text: Tensor) -> Tensor:
            self.experts.append(expert)
            self.calls.append((x, time, text))
            push = text.mean((1, 2)) + time.mean(1) / 1000 + (0.1 if expert is Expert.HIGH else 0)
            return x[:, :2] - torch.tanh(x[:, :2] + push.reshape(-1, 1, 1, 1, 1))

        return transformer


def run(network: Network, how: Sampling, condition: Condition | None = None) -> list[SolverState]:
    condition = condition or Condition()
    text = Embeddings(prompt=PROMPT, negative=NEGATIVE)
    return list(denoise(network, how, text, condition, initial_state(noise(), condition)))


def test_noise_is_standard_normal_and_means_the_same_everywhere() -> None:
    values = initial_noise((1, 16, 21, 30, 52), torch.Generator().manual_seed(0))
    assert values.dtype == torch.float32
    assert abs(values.mean()) < 0.01
    assert abs(values.std() - 1) < 0.01
    torch.testing.assert_close(noise(7)[0, 0, 0, 0], torch.randn(SHAPE, generator=torch.manual_seed(7))[0, 0, 0, 0])


def test_the_high_noise_expert_comes_first_and_hands_over_at_the_boundary() -> None:
    how = sampling(steps=40, guidance_high=1.0, guidance_low=1.0)  # I2V-A14B: 15 steps and 25
    network = Network()
    run(network, how)
    assert network.experts == [Expert.HIGH] * 15 + [Expert.LOW] * 25
    assert how.experts == (Expert.HIGH, Expert.LOW)
    t2v = Sampling.of(adapt(T2V_A14B, GenerationRequest(prompt="a heron")), T2V_A14B.boundary)
    assert [t2v.expert(step) for step in range(40)] == [Expert.HIGH] * 26 + [Expert.LOW] * 14


def test_without_a_boundary_one_transformer_does_it_all() -> None:
    network = Network()
    run(network, sampling(boundary=None))
    assert set(network.experts) == {Expert.HIGH}


@pytest.mark.parametrize(("high", "low", "calls"), [(3.0, 2.0, (6, 6)), (1.0, 2.0, (3, 6)), (1.0, 1.0, (3, 3))])
def test_guidance_of_one_costs_one_call_a_step(high: float, low: float, calls: tuple[int, int]) -> None:
    network = Network()
    how = sampling(guidance_high=high, guidance_low=low)
    run(network, how)
    assert (network.experts.count(Expert.HIGH), network.experts.count(Expert.LOW)) == calls
    assert how.guided == (high != 1 or low != 1)


def test_each_expert_has_its_own_guidance() -> None:
    def last(**scales: Any) -> Tensor:
        return run(Network(), sampling(**scales))[-1].latents

    both = last(guidance_high=3.0, guidance_low=2.0)
    assert not torch.allclose(both, last(guidance_high=2.0, guidance_low=3.0))
    assert not torch.allclose(both, last(guidance_high=3.0, guidance_low=3.0))


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("solver", Solver)
def test_both_prompts_in_one_call_give_the_same(solver: Solver, first: bool) -> None:
    condition = Condition(first_latent=torch.rand(1, 2, 1, 4, 4)) if first else Condition()
    one, two = Network(), Network()
    sequential = run(one, sampling(solver), condition)[-1].latents
    batched = run(two, sampling(solver, batch_guidance=True), condition)[-1].latents
    assert len(one.calls) == 2 * len(two.calls)
    torch.testing.assert_close(batched, sequential, atol=1e-5, rtol=0)


def test_known_channels_are_put_beside_the_latents_of_every_call() -> None:
    channels = torch.rand(1, 6, 3, 4, 4)
    network = Network()
    run(network, sampling(), Condition(channels=channels))
    assert all(torch.equal(x[:, 2:], channels) for x, _, _ in network.calls)
    assert all(time.shape == (1, 1) for _, time, _ in network.calls)


@pytest.mark.parametrize("solver", Solver)
def test_a_known_first_frame_is_clean_for_the_network_and_never_changes(solver: Solver) -> None:
    known = torch.randn(1, 2, 1, 4, 4)
    network = Network()
    states = run(network, sampling(solver), Condition(first_latent=known))
    assert all(torch.equal(x[:, :, :1], known) for x, _, _ in network.calls)
    assert all(time[0, 0] == 0 and time[0, 1] > 0 for _, time, _ in network.calls)
    assert all(torch.equal(state.latents[:, :, :1], known) for state in states)
    assert all(torch.equal(state.outputs[-1][:, :, :1], known) for state in states)


@pytest.mark.parametrize("solver", Solver)
def test_putting_the_first_frame_back_after_every_step_gives_the_same(solver: Solver) -> None:
    """The official way: the whole sample is solved for, and then frame 0 is replaced."""
    known = torch.randn(1, 2, 1, 4, 4)
    condition, how = Condition(first_latent=known), sampling(solver)
    ours = run(Network(), how, condition)

    def replaced(tensor: Tensor) -> Tensor:
        return torch.cat([known, tensor[:, :, 1:]], dim=2)

    state = initial_state(noise(), condition)
    for step, timestep in enumerate(how.schedule.timesteps):
        network = Network()(how.expert(step))
        time = torch.tensor([[0.0, timestep]])
        cond, uncond = (network(state.latents, time, prompt) for prompt in (PROMPT, NEGATIVE))
        after = STEP[solver](state, guide(cond, uncond, how.scale(how.expert(step))), how.schedule.sigmas)
        state = SolverState(
            step=after.step, latents=replaced(after.latents), outputs=after.outputs, corrected=after.corrected
        )
        torch.testing.assert_close(state.latents, ours[step].latents, atol=1e-5, rtol=0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_stop_the_run_and_name_the_step(bad: float) -> None:
    good = Network()

    def failing(expert: Expert) -> Transformer:
        return lambda x, time, text: good(expert)(x, time, text) + (bad if len(good.calls) > 8 else 0)

    text = Embeddings(prompt=PROMPT, negative=NEGATIVE)
    states = denoise(failing, sampling(), text, Condition(), initial_state(noise(), Condition()))
    assert [next(states).step for _ in range(4)] == [1, 2, 3, 4]
    with pytest.raises(NonFiniteLatents, match="step 5 of 6 by the low-noise expert at timestep") as caught:
        next(states)
    assert caught.value.facts["step"] == 5
    assert caught.value.facts["expert"] == "low"


def test_an_overflow_of_the_solver_is_found_too() -> None:
    def huge(expert: Expert) -> Transformer:
        return lambda x, time, text: x * 1e38

    text = Embeddings(prompt=PROMPT, negative=None)
    how = sampling(Solver.EULER, guidance_high=1.0, guidance_low=1.0, boundary=None)
    with pytest.raises(NonFiniteLatents, match="of 6 at timestep"):
        list(denoise(huge, how, text, Condition(), initial_state(noise(), Condition())))


def test_no_gradients_are_kept() -> None:
    weight = torch.ones(1, requires_grad=True)
    text = Embeddings(prompt=PROMPT, negative=NEGATIVE)
    start = initial_state(noise(), Condition())
    states = denoise(lambda _: lambda x, time, _: x * weight, sampling(), text, Condition(), start)
    assert not next(states).latents.requires_grad


# --- step cache ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [None, 0.0])
@pytest.mark.parametrize("solver", Solver)
def test_without_a_threshold_every_step_is_computed(solver: Solver, threshold: float | None) -> None:
    plain, network = Network(), Network()
    exact = run(plain, sampling(solver))
    states = run(network, sampling(solver, step_cache=threshold))
    assert all(torch.equal(a.latents, b.latents) for a, b in zip(states, exact, strict=True))
    assert len(network.calls) == len(plain.calls)
    assert states[-1].reused == 0
    assert states[-1].cache is None


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("solver", Solver)
def test_steps_are_spared_for_both_prompts_and_the_result_is_near(solver: Solver, guidance: float, first: bool) -> None:
    condition = Condition(first_latent=torch.rand(1, 2, 1, 4, 4)) if first else Condition()
    how = sampling(solver, steps=30, guidance_high=guidance, guidance_low=guidance)
    exact = run(Network(), how, condition)[-1].latents
    errors = []
    for threshold in (0.02, 0.2):
        network = Network()
        last = run(network, replace(how, step_cache=threshold), condition)[-1]
        assert 0 < last.reused < 30
        assert len(network.calls) == (30 - last.reused) * (1 if guidance == 1 else 2)
        errors.append(float((last.latents - exact).norm() / exact.norm()))
        assert torch.equal(last.latents, run(Network(), replace(how, step_cache=threshold), condition)[-1].latents)
        if condition.first_latent is not None:
            assert torch.equal(last.latents[:, :, :1], condition.first_latent)
    assert 0 < errors[0] < errors[1] < 0.2


def test_both_prompts_in_one_call_spare_the_same_steps() -> None:
    one, two = Network(), Network()
    how = sampling(steps=30, step_cache=0.05)
    sequential = run(one, how)[-1]
    batched = run(two, replace(how, batch_guidance=True))[-1]
    assert len(one.calls) == 2 * len(two.calls)
    assert batched.reused == sequential.reused > 0
    torch.testing.assert_close(batched.latents, sequential.latents, atol=1e-5, rtol=0)


def test_known_channels_do_not_matter_to_the_cache() -> None:
    network = Network()
    last = run(network, sampling(steps=30, step_cache=0.05), Condition(channels=torch.rand(1, 6, 3, 4, 4)))[-1]
    assert last.reused > 0


def test_each_expert_begins_anew_and_the_last_step_is_computed() -> None:
    """However large the threshold: two steps of each, for the rate, the rest of the warm-up, and the last one."""
    network = Network()
    how = sampling(steps=40, guidance_high=1.0, guidance_low=1.0, step_cache=1.0)  # 15 steps and 25
    states = run(network, how)
    taken = [time.item() for _, time, _ in network.calls]
    steps = [how.schedule.timesteps.index(time) for time in taken]
    assert steps[:8] == list(range(8))
    assert {15, 16, 39} <= set(steps)
    assert [state.cache.step for state in states if state.cache is not None] == [
        max(taken for taken in steps if taken <= step) for step in range(40)
    ]


@pytest.mark.parametrize("solver", Solver)
def test_a_run_resumed_from_any_step_spares_the_same_steps(solver: Solver) -> None:
    how = sampling(solver, steps=30, step_cache=0.05)
    text = Embeddings(prompt=PROMPT, negative=NEGATIVE)
    states = run(Network(), how)
    assert states[-1].reused > 0
    for state in states[:-1]:
        *_, last = denoise(Network(), how, text, Condition(), state)
        assert torch.equal(last.latents, states[-1].latents)
        assert last.reused == states[-1].reused


def test_numbers_that_are_not_finite_are_found_with_a_cache_too() -> None:
    good = Network()

    def failing(expert: Expert) -> Transformer:
        return lambda x, time, text: good(expert)(x, time, text) + (float("nan") if len(good.calls) > 16 else 0)

    text = Embeddings(prompt=PROMPT, negative=NEGATIVE)
    how = sampling(steps=30, step_cache=0.05)
    with pytest.raises(NonFiniteLatents):
        list(denoise(failing, how, text, Condition(), initial_state(noise(), Condition())))
