"""Whole pipelines at full size, from token ids to frames, without a cap on GPU memory and under some."""

import statistics
import time
from dataclasses import replace
from typing import Any, Final

import torch

from benchmarks.full_size import measure, pipeline_for
from benchmarks.speed.bench import Bench
from benchmarks.speed.clock import GIB, free_memory, resident_bytes
from benchmarks.speed.record import OURS, SkipPart
from wanvideo.errors import NotEnoughMemory
from wanvideo.request import GenerationRequest
from wanvideo.weights.catalog import resolve

PART: Final = "memory"
STEPS: Final = 3  # of an A14B, with the high-noise expert first
REQUESTS: Final = {
    "5b-704p": ("ti2v-5B", GenerationRequest(prompt="random", width=1280, height=704, frames=121, seed=1)),
    "a14b-480p": ("t2v-A14B", GenerationRequest(prompt="random", width=832, height=480, frames=81, seed=1)),
    "a14b-720p": ("t2v-A14B", GenerationRequest(prompt="random", width=1280, height=720, frames=81, seed=1)),
}


def run(bench: Bench) -> None:
    for shape in bench.shapes:
        model, request = REQUESTS[shape.name]
        for cap in (*bench.caps, *(() if bench.quick else (None,))):
            subject = f"{OURS} exact, " + ("all memory" if cap is None else f"{cap:g} GiB")
            guided = "without" if bench.quick else "with"
            with bench.case(PART, f"{shape.name}, {STEPS} steps {guided} guidance, bfloat16 VAE", subject) as row:
                if not bench.on_gpu:
                    raise SkipPart("whole pipelines of full size need a GPU")
                row |= _one(model, replace(request, steps=STEPS, guidance=1.0 if bench.quick else None), cap)


def _one(model: str, request: GenerationRequest, cap: float | None) -> dict[str, float]:
    free_memory()
    torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    try:
        limit = None if cap is None else int(cap * GIB)
        with pipeline_for(resolve(model), "bfloat16", limit) as pipeline:
            found: dict[str, Any] = measure(pipeline, request)
    except NotEnoughMemory as error:
        raise SkipPart(f"does not fit: {error}") from error
    seconds, peaks, planned = found["seconds"], found["peak GiB"], found["planned GiB"]
    return {
        "seconds": time.perf_counter() - began,
        "step_seconds": statistics.median(found["seconds per step"]),
        "decode_seconds": seconds["decode"],
        "peak_gib": max(peaks.values()),
        "planned_peak_gib": max(planned.values()),
        "denoise_peak_gib": peaks["denoise"],
        "planned_denoise_gib": planned["denoise"],
        "decode_peak_gib": peaks["decode"],
        "planned_decode_gib": planned["decode"],
        "host_rss_gib": resident_bytes() / GIB,
    }
