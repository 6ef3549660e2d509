"""Plans for the tiny models, on the CPU: what happens on a GPU that cannot hold all networks."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from wanvideo.pipelines.pipeline import Pipeline
from wanvideo.request import Phase, Tier
from wanvideo.runtime import streaming
from wanvideo.runtime.placement import (
    BlockPlacement,
    MemoryPlan,
    PhasePlan,
    Placement,
    Source,
    TextEncoderPlan,
    VAEPlan,
)


def planned(
    monkeypatch: pytest.MonkeyPatch,
    pipeline: Pipeline,
    *,
    resident: int = 0,
    source: Source | None = Source.PINNED,
    text: Placement = Placement.RESIDENT,
    keep_all: bool = False,
    short: int = 0,
) -> MemoryPlan:
    """Let the pipeline work by this plan, with blocks that are moved however small they are."""
    blocks = pipeline._parts.folder.transformers[0].config.num_layers
    plan = MemoryPlan(
        tier=Tier.EXACT,
        device="cpu",
        transformer=BlockPlacement(resident=resident, streamed=blocks - resident, buffers=2, source=source),
        text_encoder=TextEncoderPlan(placement=text, keep=keep_all),
        vae=VAEPlan(dtype="float32", device="cpu"),
        keep_all=keep_all,
        phases=(PhasePlan(phase=Phase.DENOISE, peak_bytes=1, seconds=1),),
        host_bytes=1,
        pinned_bytes=0,
        cap_bytes=1,
        short_bytes=short,
        rates="none",
        notes=("it is only a test",),
    )
    monkeypatch.setattr(pipeline, "_plan", lambda *_: plan)
    monkeypatch.setattr(streaming, "LEAST", 256)
    return plan


def runs_out(function: Callable[..., Any], times: set[int]) -> Callable[..., Any]:
    """`function`, which finds no memory at these of its calls."""
    calls = 0

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls in times:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return function(*args, **kwargs)

    return call
