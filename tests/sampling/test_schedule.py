"""Schedules, against values printed by the official `wan/utils/fm_solvers*.py` and by diffusers."""

import math
import subprocess
import sys
from itertools import pairwise

import diffusers
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wanvideo.errors import InvalidRequest
from wanvideo.request import Solver
from wanvideo.sampling.schedule import Schedule, make_schedule

T2V_A14B = (
    999, 997, 995, 993, 990, 988, 985, 982, 979, 976, 972, 969, 965, 961, 956, 952, 947, 941, 936, 929,
    922, 915, 907, 898, 888, 877, 865, 852, 837, 819, 799, 776, 749, 717, 678, 631, 571, 492, 386, 235,
)  # fmt: skip
I2V_A14B = (
    999, 994, 989, 983, 978, 972, 965, 959, 952, 944, 937, 929, 920, 911, 902, 892, 882, 870, 859, 846,
    833, 818, 803, 786, 768, 749, 728, 706, 681, 654, 624, 591, 555, 514, 468, 416, 356, 288, 208, 113,
)  # fmt: skip
TI2V_5B = (
    999, 995, 991, 987, 982, 978, 973, 968, 963, 957, 952, 946, 940, 934, 927, 920, 913, 906, 898, 890, 882, 873, 863,
    854, 843, 833, 821, 809, 796, 783, 768, 753, 737, 720, 701, 681, 660, 636, 611, 584, 555, 522, 487, 448, 405, 356,
    302, 241, 172, 92,
)  # fmt: skip

solvers = st.sampled_from(Solver)
step_counts = st.integers(1, 300)
shifts = st.floats(0.05, 50)


@pytest.mark.parametrize(
    ("steps", "shift", "expected"),
    [
        pytest.param(40, 12.0, T2V_A14B, id="T2V-A14B"),
        pytest.param(40, 5.0, I2V_A14B, id="I2V-A14B"),
        pytest.param(50, 5.0, TI2V_5B, id="TI2V-5B"),
        pytest.param(5, 5.0, (999, 952, 882, 768, 555), id="five steps"),
    ],
)
def test_unipc_has_the_official_timesteps(steps: int, shift: float, expected: tuple[int, ...]) -> None:
    assert make_schedule(Solver.UNIPC, steps, shift).timesteps == expected


def test_unipc_has_the_official_sigmas() -> None:
    sigmas = make_schedule(Solver.UNIPC, 40, 12.0).sigmas
    assert sigmas[:3] == pytest.approx((0.999917, 0.997783, 0.995546), abs=6e-7)
    assert sigmas[-4:] == pytest.approx((0.492880, 0.386847, 0.235110, 0), abs=6e-7)
    sigmas = make_schedule(Solver.UNIPC, 5, 5.0).sigmas
    assert sigmas == pytest.approx((0.9997998, 0.952154, 0.8820933, 0.7689347, 0.5552468, 0), abs=6e-8)


def test_dpmpp_starts_at_pure_noise_and_truncates() -> None:
    schedule = make_schedule(Solver.DPMPP, 5, 5.0)
    assert schedule.sigmas[0] == 1
    assert schedule.timesteps == (1000, 952, 882, 769, 555)


def test_euler_keeps_the_fraction_of_the_timestep() -> None:
    schedule = make_schedule(Solver.EULER, 4, 5.0)
    assert schedule.sigmas == pytest.approx((1, 0.9375, 0.833333, 0.625, 0), abs=6e-7)
    assert schedule.timesteps == pytest.approx((1000, 937.5, 833.3333, 625), abs=1e-4)


def test_the_grid_is_shifted_once_not_twice() -> None:
    # The official class, built with the shift as well as given it, would shift the end of its grid again: 0.99996.
    assert make_schedule(Solver.UNIPC, 40, 5.0).sigmas[0] == pytest.approx(5 * 0.999 / (1 + 4 * 0.999), abs=1e-7)


def test_diffusers_defaults_to_another_grid_and_ours_is_the_official_one() -> None:
    theirs = diffusers.UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=12.0)
    theirs.set_timesteps(40)
    timesteps = theirs.timesteps.tolist()
    assert sum(a != b for a, b in zip(timesteps, T2V_A14B, strict=True)) == 19
    assert theirs.sigmas[-4:].tolist() == pytest.approx((0.496465, 0.391810, 0.242431, 0), abs=6e-7)
    assert make_schedule(Solver.UNIPC, 40, 12.0).timesteps == T2V_A14B


def test_diffusers_flow_euler_shifts_its_end_twice_and_ours_does_not() -> None:
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(shift=5.0)
    theirs.set_timesteps(4)
    assert theirs.sigmas.tolist() == pytest.approx((1, 0.9097, 0.7173, 0.0244, 0), abs=1e-4)
    theirs.set_timesteps(sigmas=[1, 0.75, 0.5, 0.25])
    ours = make_schedule(Solver.EULER, 4, 5.0)
    assert theirs.sigmas.tolist() == pytest.approx(ours.sigmas, abs=1e-7)
    assert theirs.timesteps.tolist() == pytest.approx(ours.timesteps, abs=1e-4)


@pytest.mark.parametrize("solver", Solver)
@pytest.mark.parametrize("end", [(), (0.0,)], ids=["without 0", "with 0"])
def test_given_sigmas_are_used_as_they_are(solver: Solver, end: tuple[float, ...]) -> None:
    schedule = make_schedule(solver, steps=40, shift=12.0, sigmas=(1.0, 0.9375, 0.625, *end))
    assert schedule.sigmas == (1.0, 0.9375, 0.625, 0.0)
    assert schedule.timesteps == ((1000, 937.5, 625) if solver is Solver.EULER else (1000, 937, 625))


@pytest.mark.parametrize(
    ("sigmas", "named"),
    [
        ((), "no noise level"),
        ((0.0,), "no noise level"),
        ((1.5, 0.5), "1.5"),
        ((0.5, -0.25), "-0.25"),
        ((0.5, 0.0, 0.0), "0.0"),
        ((math.nan, 0.5), "nan"),
        ((math.inf,), "inf"),
        ((0.8, 0.4, 0.6), "0.6 after 0.4"),
        ((0.8, 0.8), "0.8 after 0.8"),
        ((0.5, 0.5 - 1e-12), "0.499999999999 after 0.5"),  # one number in float32
        ((0.5, 1e-60), "0 after 1e-60"),
    ],
)
def test_impossible_sigmas_are_refused_by_name(sigmas: tuple[float, ...], named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        make_schedule(Solver.UNIPC, 40, 5.0, sigmas)


@pytest.mark.parametrize("steps", [0, -3])
def test_a_run_has_at_least_one_step(steps: int) -> None:
    with pytest.raises(InvalidRequest, match=f"steps is {steps}"):
        make_schedule(Solver.UNIPC, steps, 5.0)


@pytest.mark.parametrize("shift", [0.0, -1.0, math.inf, math.nan])
def test_a_shift_is_a_positive_number(shift: float) -> None:
    with pytest.raises(InvalidRequest, match=f"shift is {shift}"):
        make_schedule(Solver.EULER, 4, shift)


@pytest.mark.parametrize("shift", [1e9, 1e300])
def test_a_shift_that_makes_all_levels_equal_is_refused(shift: float) -> None:
    with pytest.raises(InvalidRequest, match="too close to tell apart"):
        make_schedule(Solver.UNIPC, 40, shift)


@given(solvers, step_counts, shifts)
def test_noise_falls_strictly_to_zero(solver: Solver, steps: int, shift: float) -> None:
    schedule = make_schedule(solver, steps, shift)
    assert schedule.steps == len(schedule.timesteps) == len(schedule.sigmas) - 1 == steps
    assert all(before > after for before, after in pairwise(schedule.sigmas))
    assert schedule.sigmas[0] <= 1
    assert schedule.sigmas[-1] == 0


@given(solvers, step_counts, shifts)
def test_the_timestep_is_a_thousand_sigmas(solver: Solver, steps: int, shift: float) -> None:
    schedule = make_schedule(solver, steps, shift)
    for sigma, timestep in zip(schedule.sigmas, schedule.timesteps, strict=False):
        assert timestep == pytest.approx(1000 * sigma, abs=1e-3 if solver is Solver.EULER else 1.001)
        assert timestep == np.float32(timestep)
    if solver is not Solver.EULER:
        assert all(timestep.is_integer() for timestep in schedule.timesteps)


@given(step_counts, st.floats(0.2, 7), st.floats(0.2, 7))
def test_shifting_twice_is_shifting_by_the_product(steps: int, first: float, second: float) -> None:
    once = make_schedule(Solver.EULER, steps, first * second).sigmas
    twice = [second * s / (1 + (second - 1) * s) for s in make_schedule(Solver.EULER, steps, first).sigmas]
    assert once == pytest.approx(twice, abs=1e-6)


@given(solvers, step_counts, shifts, st.floats(1.1, 10))
def test_a_larger_shift_stays_at_higher_noise(solver: Solver, steps: int, shift: float, factor: float) -> None:
    low, high = make_schedule(solver, steps, shift), make_schedule(solver, steps, shift * factor)
    assert all(a <= b for a, b in zip(low.sigmas, high.sigmas, strict=True))


@given(solvers, step_counts, shifts)
def test_a_schedule_given_back_as_sigmas_is_the_same(solver: Solver, steps: int, shift: float) -> None:
    schedule = make_schedule(solver, steps, shift)
    again: Schedule = make_schedule(solver, steps, shift, schedule.sigmas)
    assert again.sigmas == schedule.sigmas
    # Rounding sigma to float32 may carry 1000 * sigma over an integer.
    assert again.timesteps == pytest.approx(schedule.timesteps, abs=1)


def test_schedules_need_no_torch() -> None:
    program = "import sys; sys.modules['torch'] = None; import wanvideo.sampling.schedule"
    subprocess.run([sys.executable, "-c", program], check=True, env={"PYTHONPATH": ":".join(sys.path)})
