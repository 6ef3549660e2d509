"""What the lossy settings change, against the tier exact with the same random weights: whole forwards, and latents.

Random weights say what rounding does to all blocks in a row, not what it does to a picture: their attention is nearly
even, which flatters 8-bit attention.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from benchmarks.speed.adapters import backend_in_use, rounded
from benchmarks.speed.bench import Bench
from benchmarks.speed.forward import drawn, relative_error
from benchmarks.speed.record import OURS, SkipPart
from benchmarks.speed.shapes import A14B_720P, Inputs, Shape
from wanvideo.kernels.attention import EXACT, FAST, Backend
from wanvideo.kernels.eight_bit import FP8, INT8
from wanvideo.models.transformer import WanTransformer
from wanvideo.pipelines.conditioning import Condition
from wanvideo.pipelines.denoise import Embeddings, Sampling, denoise
from wanvideo.request import Solver
from wanvideo.runtime.quantize import LINEARS
from wanvideo.sampling.schedule import make_schedule
from wanvideo.sampling.solver import SolverState

PART: Final = "error"
STEPS: Final = 10
SHIFT: Final = 5.0
STEP_CACHE: Final = 0.05  # the setting that docs/quality.md recommends
FEED_FORWARD: Final = tuple(name for name in LINEARS if name.startswith("ffn."))
ATTENTION: Final = tuple(name for name in LINEARS if not name.startswith("ffn."))
KINDS: Final[Mapping[str, torch.dtype]] = {"fp8": FP8, "int8": INT8}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lossy:
    """Which parts of a forward have 8 bits."""

    kind: torch.dtype = FP8
    linears: Collection[str] = ()
    backends: tuple[Backend, ...] = EXACT

    @contextmanager
    def used_by(self, model: WanTransformer) -> Iterator[None]:
        with rounded(model, self.kind, self.linears, self.backends):
            yield


def settings() -> dict[str, Lossy]:
    """By the name in the table."""
    found = {"8-bit attention alone": Lossy(backends=FAST)}
    for name, kind in KINDS.items():
        found[f"{name} products of attention alone"] = Lossy(kind=kind, linears=ATTENTION)
        found[f"{name} products of the feed-forward alone"] = Lossy(kind=kind, linears=FEED_FORWARD)
        found[f"{name} products, 16-bit attention"] = Lossy(kind=kind, linears=LINEARS)
        found[f"fast ({name} products, 8-bit attention)"] = Lossy(kind=kind, linears=LINEARS, backends=FAST)
    return found


def run(bench: Bench) -> None:
    for shape, model, given in drawn(bench, PART):
        _forwards(bench, shape, model, given)
        if shape.name != A14B_720P.name:  # whose steps take 10 s each
            _latents(bench, shape, model, given)


@torch.no_grad()
def _forwards(bench: Bench, shape: Shape, model: WanTransformer, given: Inputs) -> None:
    case = f"{shape.name}, velocity of one forward"
    exact = bench.prepare(PART, case, lambda: model(given.latents, given.timestep, given.text))
    if exact is None:
        return
    for name, lossy in settings().items():
        with bench.case(PART, case, f"{OURS} {name}") as row:
            _refuse_without_kernels(bench, lossy)
            with lossy.used_by(model):
                velocity = model(given.latents, given.timestep, given.text)
            row["relative_error"] = relative_error(velocity, exact)


@torch.no_grad()
def _latents(bench: Bench, shape: Shape, model: WanTransformer, given: Inputs) -> None:
    case = f"{shape.name}, latents after {STEPS} steps without guidance, one expert for all"
    exact = bench.prepare(PART, case, lambda: _denoised(model, given, None).latents)
    if exact is None:
        return
    for name, kind in KINDS.items():
        with bench.case(PART, case, f"{OURS} fast ({name})") as row:
            lossy = Lossy(kind=kind, linears=LINEARS, backends=FAST)
            _refuse_without_kernels(bench, lossy)
            with lossy.used_by(model):
                row |= _distance(_denoised(model, given, None), exact)
    with bench.case(PART, case, f"{OURS} exact, step cache {STEP_CACHE:g}") as row:
        row |= _distance(_denoised(model, given, STEP_CACHE), exact)


def _denoised(model: WanTransformer, given: Inputs, step_cache: float | None) -> SolverState:
    """By UniPC, as the product does by default; the noise is the input of the forward."""
    sampling = Sampling(
        schedule=make_schedule(Solver.UNIPC, STEPS, SHIFT),
        solver=Solver.UNIPC,
        boundary=None,
        guidance_high=1.0,
        guidance_low=1.0,
        step_cache=step_cache,
    )
    noise, text = SolverState(step=0, latents=given.latents), Embeddings(prompt=given.text, negative=None)
    *_, last = denoise(lambda _: model, sampling, text, Condition(), noise)
    return last


def _distance(state: SolverState, exact: Tensor) -> dict[str, float]:
    return {"relative_error": relative_error(state.latents, exact), "steps_computed": STEPS - state.reused}


def _refuse_without_kernels(bench: Bench, lossy: Lossy) -> None:
    """On a GPU where no 8-bit attention works, a row about it would be one about another."""
    if bench.on_gpu and lossy.backends is FAST and backend_in_use(FAST, bench.device) in EXACT:
        raise SkipPart("no 8-bit attention works here")
