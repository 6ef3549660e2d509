"""Guidance and the choice of the expert, against the official `wan/text2video.py` and `wan/image2video.py`."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wanvideo.request import Solver
from wanvideo.sampling.guidance import Expert, expert_at, guide
from wanvideo.sampling.schedule import make_schedule

T2V, I2V = 0.875, 0.9  # boundaries of the A14B models


@pytest.mark.parametrize(
    ("solver", "steps", "shift", "boundary", "high"),
    [
        pytest.param(Solver.UNIPC, 40, 12.0, T2V, 26, id="T2V-A14B"),
        pytest.param(Solver.UNIPC, 40, 5.0, I2V, 15, id="I2V-A14B"),
        pytest.param(Solver.UNIPC, 40, 5.0, T2V, 17, id="T2V, shift 5"),
        pytest.param(Solver.UNIPC, 40, 3.0, T2V, 12, id="T2V, shift 3"),
        pytest.param(Solver.UNIPC, 40, 3.0, I2V, 10, id="I2V, shift 3"),
        pytest.param(Solver.UNIPC, 20, 8.0, T2V, 11, id="T2V, 20 steps, shift 8"),
        pytest.param(Solver.UNIPC, 20, 5.0, I2V, 8, id="I2V, 20 steps"),
        pytest.param(Solver.EULER, 4, 5.0, T2V, 2, id="T2V, 4 distilled steps"),
        pytest.param(Solver.EULER, 4, 5.0, I2V, 2, id="I2V, 4 distilled steps"),
    ],
)
def test_the_high_noise_expert_takes_the_official_share_of_the_steps(
    solver: Solver, steps: int, shift: float, boundary: float, high: int
) -> None:
    experts = [expert_at(timestep, boundary) for timestep in make_schedule(solver, steps, shift).timesteps]
    assert experts == [Expert.HIGH] * high + [Expert.LOW] * (steps - high)


@pytest.mark.parametrize("boundary", [T2V, I2V])
def test_the_boundary_itself_belongs_to_the_high_noise_expert(boundary: float) -> None:
    assert expert_at(boundary * 1000, boundary) is Expert.HIGH
    assert expert_at(boundary * 1000 - 1, boundary) is Expert.LOW


@given(st.floats(0, 1000))
def test_a_single_transformer_takes_every_step(timestep: float) -> None:
    assert expert_at(timestep, None) is Expert.HIGH


def test_guidance_goes_beyond_the_condition() -> None:
    cond, uncond = torch.tensor([3.0, 0.0]), torch.tensor([1.0, 0.5])
    assert guide(cond, uncond, 4.0).tolist() == [9.0, -1.5]


def test_guidance_of_scale_one_is_the_condition_and_of_zero_is_not() -> None:
    cond, uncond = torch.randn(2, 1, 16, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(guide(cond, uncond, 1.0), cond, atol=1e-6, rtol=0)
    assert torch.equal(guide(cond, uncond, 0.0), uncond)
