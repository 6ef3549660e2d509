"""What is said when memory is too little."""

from dataclasses import replace

import pytest
import torch

from tests.pipelines.conftest import ask
from wanvideo.pipelines.adapt import adapt
from wanvideo.pipelines.alternatives import alternatives_to
from wanvideo.pipelines.architecture import architecture_in_catalog, work_of
from wanvideo.pipelines.shortage import Remedy, does_not_fit, ran_out
from wanvideo.request import Phase, ResolvedRequest, Tier
from wanvideo.runtime.machine import H100, PROFILES
from wanvideo.runtime.placement import MemoryPlan
from wanvideo.runtime.plan import plan
from wanvideo.weights.catalog import resolve

GIB = 2**30
SPEC = resolve("t2v-A14B")
FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.20 GiB. GPU 0 has a total capacity of 79 GiB")


def planned(gib: float) -> tuple[ResolvedRequest, MemoryPlan, list[Remedy]]:
    """720p of A14B on an H100 of which so much may be used."""
    request = adapt(SPEC, ask("t2v", width=1280, height=720, frames=81))
    machine = replace(PROFILES["h100"], memory_limit=int(gib * GIB))
    architecture = architecture_in_catalog(SPEC, SPEC.variants[0])
    work = work_of(SPEC, request)
    remedies = [
        Remedy(change=change, plan=plan(architecture, other, machine, H100, tier=tier))
        for change, other, tier in alternatives_to(SPEC, work, Tier.EXACT, on_gpu=True)
    ]
    return request, plan(architecture, work, machine, H100), remedies


def test_what_runs_out_says_what_was_needed_and_there_and_what_takes_less() -> None:
    request, whole, remedies = planned(16)
    error = ran_out(Phase.DENOISE, request, whole, torch.device("cpu"), FULL, remedies)
    needed = whole.phase(Phase.DENOISE).peak_bytes
    assert f"{needed / GIB:.1f} GiB were planned for it, 16.0 GiB may be used" in error.message
    assert "Tried to allocate 1.20 GiB. Close" in error.message
    assert error.facts["needed_bytes"] == needed
    assert error.facts["cap_bytes"] == 16 * GIB
    for remedy in remedies:
        assert remedy.plan is not None
        less = remedy.plan.phase(Phase.DENOISE).peak_bytes < needed
        assert (str(remedy) in error.message) == (str(remedy) in error.suggestions) == less


def test_what_does_not_fit_names_what_would_with_its_memory() -> None:
    request, whole, remedies = planned(8)
    assert not whole.fits
    error = does_not_fit(whole, request, remedies)
    fitting = [str(remedy) for remedy in remedies if remedy.plan is not None and remedy.plan.fits]
    assert fitting
    assert error.suggestions == (*fitting, "wan plan t2v-A14B --size 1280x720 --frames 81")
    assert all("GiB)" in remedy and remedy in error.message for remedy in fitting)


@pytest.mark.parametrize("phase", [Phase.ENCODE, Phase.DECODE])
def test_without_a_plan_the_numbers_are_left_out(phase: Phase) -> None:
    request, _, _ = planned(16)
    error = ran_out(phase, request, None, torch.device("cpu"), FULL, [Remedy(change="41 frames", plan=None)])
    assert error.message.endswith("or ask for 41 frames")
    assert error.facts["needed_bytes"] is None
    assert error.suggestions == ("41 frames",)
