"""Where the time of one forward goes: kernels by name, and how long the GPU waits between them."""

from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from benchmarks.speed.adapters import in_tier
from benchmarks.speed.bench import Bench
from benchmarks.speed.clock import measure
from benchmarks.speed.forward import draw
from benchmarks.speed.record import OURS
from benchmarks.speed.shapes import A14B_720P, Shape, inputs
from wanvideo.models.transformer import WanTransformer
from wanvideo.request import Tier

PART: Final = "profile"
LARGEST: Final = 14  # kernels that have a row of their own
LONGEST_NAME: Final = 80


class Span(NamedTuple):
    """One kernel, or on a CPU one operator."""

    name: str
    begin: float  # microseconds
    end: float


class Busy(NamedTuple):
    """Of some spans, in seconds."""

    busy: float  # at least one runs
    idle: float  # none does, between the first and the last
    longest_gap: float


def run(bench: Bench) -> None:
    for shape in bench.shapes:
        if shape.name == A14B_720P.name:  # too long for a gap to count
            continue
        model = bench.prepare(PART, shape.name, partial(draw, bench, shape))
        if model is None:
            continue
        for tier in sorted(bench.tiers):  # exact first, since fast changes the weights
            _profile(bench, shape, model, tier)


def _profile(bench: Bench, shape: Shape, model: WanTransformer, tier: Tier) -> None:
    given, spans = inputs(shape, bench.device, bench.dtype), list[Span]()
    subject = f"{OURS} {tier}"
    with bench.case(PART, shape.name, subject, "all kernels") as row, in_tier(model, tier):
        timing = measure(lambda: model(given.latents, given.timestep, given.text), bench.device, repeats=bench.repeats)
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if bench.on_gpu else [])]
        with torch.no_grad(), profile(activities=activities) as profiler:
            model(given.latents, given.timestep, given.text)
            if bench.on_gpu:
                torch.cuda.synchronize(bench.device)
        spans += _spans(profiler.events() or (), bench.on_gpu)
        found = busy(spans)
        row |= {"seconds": timing.seconds, "busy_seconds": found.busy, "idle_seconds": found.idle}
        row |= {"longest_gap_seconds": found.longest_gap, "calls": len(spans)}
    for name, (seconds, calls) in list(by_name(spans).items())[:LARGEST]:
        with bench.case(PART, shape.name, subject, name[:LONGEST_NAME]) as row:
            row |= {"busy_seconds": seconds, "calls": calls}


def _spans(events: Sequence[FunctionEvent], on_gpu: bool) -> list[Span]:
    wanted = "CUDA" if on_gpu else "CPU"
    return [
        Span(event.name, event.time_range.start, event.time_range.end)
        for event in events
        if event.device_type.name == wanted and (on_gpu or not event.cpu_children)
    ]


def busy(spans: Sequence[Span]) -> Busy:
    """Spans may overlap, as those of several streams do."""
    if not spans:
        return Busy(0.0, 0.0, 0.0)
    ordered = sorted(spans, key=lambda span: span.begin)
    reached, idle, longest = ordered[0].begin, 0.0, 0.0
    for span in ordered:
        gap = max(0.0, span.begin - reached)
        idle, longest, reached = idle + gap, max(longest, gap), max(reached, span.end)
    return Busy((reached - ordered[0].begin - idle) / 1e6, idle / 1e6, longest / 1e6)


def by_name(spans: Sequence[Span]) -> dict[str, tuple[float, int]]:
    """Seconds and calls of each name, the longest first."""
    found: dict[str, tuple[float, int]] = {}
    for span in spans:
        seconds, calls = found.get(span.name, (0.0, 0))
        found[span.name] = seconds + (span.end - span.begin) / 1e6, calls + 1
    return dict(sorted(found.items(), key=lambda item: -item[1][0]))
