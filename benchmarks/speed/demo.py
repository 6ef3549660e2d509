"""The demo models on a CPU, from text to frames, ours and diffusers', with the same weights.

Same tokens, noise, noise levels and number of steps; runs alternate, so that what else the machine does meets both.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from benchmarks.speed.adapters import peer_or_skip
from benchmarks.speed.bench import Bench
from benchmarks.speed.record import OURS, PEER, SkipPart
from wanvideo.pipelines.pipeline import Pipeline
from wanvideo.request import GenerationRequest, Task
from wanvideo.weights.catalog import resolve
from wanvideo.weights.folder import open_folder
from wanvideo.weights.places import DEMO_FOLDER

PART: Final = "demo"
MODELS: Final = ("t2v-A14B-demo", "i2v-A14B-demo", "ti2v-5B-demo")
PROMPT: Final = "a small red circle moves left on a navy background"
RUNS: Final = 5


def run(bench: Bench) -> None:
    for threads in (1,) if bench.tiny else (1, 2):
        for model in MODELS[:1] if bench.tiny else MODELS:
            with using_threads(threads):
                _compare(bench, model, threads)


def demo_pipeline(model: str, device: str = "cpu", dtype: str = "float32") -> Pipeline:
    return Pipeline(resolve(model), open_folder(DEMO_FOLDER / model), device=device, dtype=dtype)


def _compare(bench: Bench, model: str, threads: int) -> None:
    spec = resolve(model)
    request = GenerationRequest(prompt=PROMPT, seed=7, negative_prompt="")
    if Task.TEXT_TO_VIDEO not in spec.tasks:
        request = replace(request, image=_picture(spec.defaults.width, spec.defaults.height))
    if bench.tiny:
        request = replace(request, width=64, height=64, frames=5, steps=2)
    runs = 1 if bench.tiny else 3 if bench.quick else RUNS
    case = f"{model}, {threads} thread" + ("s" if threads > 1 else "")
    times: dict[str, list[tuple[float, float]]] = {OURS: [], PEER: []}  # wall clock and CPU seconds
    decibels: float | None = None
    with demo_pipeline(model) as pipeline:
        with bench.case(PART, case, f"{OURS} exact", "float32") as row:
            if find_spec("ftfy") is None:
                raise SkipPart("ftfy is not installed")
            ours = pipeline(request).frames  # the warm-up
            theirs = _peer(pipeline, request) if bench.peer else None
            if theirs is not None:
                decibels = psnr(ours, theirs())
            for _ in range(runs):
                times[OURS].append(_clocked(lambda: pipeline(request)))
                if theirs is not None:
                    times[PEER].append(_clocked(theirs))
            row |= _numbers(times[OURS])
        if bench.peer:
            with bench.case(PART, case, f"{PEER} eager", "float32") as row:
                peer_or_skip()
                if not times[PEER]:
                    raise SkipPart("ours did not run")
                row |= _numbers(times[PEER])
                assert decibels is not None
                row["psnr_to_exact_db"] = decibels


def _peer(pipeline: Pipeline, request: GenerationRequest) -> Callable[[], npt.NDArray[np.uint8]] | None:
    try:
        peer_or_skip()
    except SkipPart:
        return None  # the row of the peer says it
    from benchmarks.speed.peer_demo import video_maker

    return video_maker(pipeline, request)


def _clocked(make: Callable[[], object]) -> tuple[float, float]:
    began, cpu = time.perf_counter(), time.process_time()
    make()
    return time.perf_counter() - began, time.process_time() - cpu


def _numbers(times: list[tuple[float, float]]) -> dict[str, Any]:
    wall, cpu = zip(*times, strict=True)
    return {
        "seconds": statistics.median(wall),
        "fastest_seconds": min(wall),
        "slowest_seconds": max(wall),
        "cpu_seconds": statistics.median(cpu),
    }


def psnr(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    """Decibels, of 8-bit values; 100 for equal ones."""
    error = float(np.square(a.astype(float) - b).mean())
    return float(10 * np.log10(255**2 / error)) if error > 0 else 100.0


def _picture(width: int, height: int) -> Image.Image:
    cells = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)


@contextmanager
def using_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
