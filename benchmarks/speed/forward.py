"""One forward of each transformer, ours and diffusers', with the same random weights."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor

from benchmarks.full_size import random_weights
from benchmarks.speed.adapters import in_tier, peer_or_skip
from benchmarks.speed.bench import Bench
from benchmarks.speed.clock import measure
from benchmarks.speed.record import OURS, PEER, SkipPart
from benchmarks.speed.roofline import forward_seconds
from benchmarks.speed.shapes import A14B_480P, Inputs, Shape, forward_flop, inputs, shrunk
from wanvideo.models.transformer import WanTransformer
from wanvideo.pipelines.architecture import architecture_in_catalog
from wanvideo.request import Tier
from wanvideo.runtime.architecture import Work
from wanvideo.runtime.cost import block_compute
from wanvideo.runtime.machine import Calibration
from wanvideo.weights.catalog import resolve

PART: Final = "forward"
AGREEMENT: Final = "agreement"
OUR_POLICY: Final = "float32 residual stream, norms, modulation, time embedding and head"
PEER_POLICY: Final = "residual stream and head in the dtype of the weights"
PEER_NOTES: Final = {
    "default": f"{PEER_POLICY}; attention as PyTorch chooses",
    "cuDNN": f"{PEER_POLICY}; cuDNN attention",
}


def run(bench: Bench) -> None:
    _agreement(bench)
    for shape in bench.shapes:
        _speeds(bench, shape)


def draw(bench: Bench, shape: Shape) -> WanTransformer:
    torch.manual_seed(0)
    return random_weights(lambda: WanTransformer(shape.config), bench.device, bench.dtype, True)


def drawn(bench: Bench, part: str) -> Iterator[tuple[Shape, WanTransformer, Inputs]]:
    """A model of each size with random weights, and its inputs; where there is no memory for it, a row says so."""
    for shape in bench.shapes:
        model = bench.prepare(part, shape.name, partial(draw, bench, shape))
        if model is not None:
            yield shape, model, inputs(shape, bench.device, bench.dtype)


def _speeds(bench: Bench, shape: Shape) -> None:
    model, given = bench.prepare(PART, shape.name, lambda: draw(bench, shape)), inputs(shape, bench.device, bench.dtype)
    if model is None:
        return
    if Tier.EXACT in bench.tiers:
        _ours(bench, shape, model, given, Tier.EXACT)
    if bench.peer:
        _peers(bench, shape, model, given)
    if Tier.FAST in bench.tiers:  # last, since it changes the weights
        _ours(bench, shape, model, given, Tier.FAST)


def _ours(bench: Bench, shape: Shape, model: WanTransformer, given: Inputs, tier: Tier) -> None:
    with bench.case(PART, shape.name, f"{OURS} {tier}", OUR_POLICY) as row:
        with in_tier(model, tier):
            row |= _timed(bench, shape, lambda: model(given.latents, given.timestep, given.text))
        row["planned_seconds"] = planned_seconds(shape, tier, bench.rates)
        try:
            bound = forward_seconds(shape, tier, bench.ceilings)
        except SkipPart:  # no float8 here, for example
            return
        row |= {"roofline_seconds": bound, "of_roofline": bound / row["seconds"]}


def planned_seconds(shape: Shape, tier: Tier, rates: Calibration) -> float:
    """What the product expects of this forward, by these rates."""
    spec = resolve(shape.model)
    architecture = replace(architecture_in_catalog(spec, spec.variants[0]), transformer=shape.config)
    vae, (frames, height, width) = architecture.vae, shape.latent
    work = Work(
        width=width * vae.spatial_stride,
        height=height * vae.spatial_stride,
        frames=(frames - 1) * vae.temporal_stride + 1,
        steps=1,
        guided=False,
    )
    assert work.tokens(architecture) == shape.tokens
    return shape.config.num_layers * block_compute(architecture, work, tier, rates)


def _peers(bench: Bench, shape: Shape, model: WanTransformer, given: Inputs) -> None:
    theirs: Any = None
    for attention, note in PEER_NOTES.items():
        with bench.case(PART, shape.name, f"{PEER} eager, {attention}", note) as row:
            peer = peer_or_skip()
            if attention == "cuDNN" and not bench.on_gpu:
                raise SkipPart("cuDNN needs a GPU")
            if theirs is None:
                theirs = peer.peer_transformer(model)
            if (backend := peer.ATTENTION[attention]) is not None:
                theirs.set_attention_backend(backend)
            row |= _timed(bench, shape, peer.forward(theirs, shape, given, bench.dtype))
    if bench.peer_compiled and theirs is not None:
        # With the attention that was set last, which on GPUs is the faster one.
        with bench.case(PART, shape.name, f"{PEER} compiled", f"{PEER_POLICY}; torch.compile for each block") as row:
            for block in theirs.blocks:
                block.compile()
            row |= _timed(bench, shape, peer_or_skip().forward(theirs, shape, given, bench.dtype))
        torch.compiler.reset()


def _timed(bench: Bench, shape: Shape, forward: Callable[[], Tensor]) -> Mapping[str, float]:
    timing = measure(forward, bench.device, repeats=bench.repeats)
    return {**timing.numbers, "tflop_per_s": forward_flop(shape) / timing.seconds / 1e12}


def _agreement(bench: Bench) -> None:
    """Two blocks of the width of an A14B, against the same weights and inputs all in float32."""
    shape = shrunk(A14B_480P) if bench.tiny else A14B_480P
    shape = replace(shape, config=replace(shape.config, num_layers=2))
    case = f"2 blocks of A14B, L = {shape.tokens}, random weights, against float32"
    given = inputs(shape, bench.device, bench.dtype)
    prepared = bench.prepare(AGREEMENT, case, lambda: _with_reference(draw(bench, shape), given))
    if prepared is None:
        return
    model, reference = prepared
    exact: Tensor | None = None
    with torch.no_grad():
        if Tier.EXACT in bench.tiers:
            with bench.case(AGREEMENT, case, f"{OURS} exact", OUR_POLICY) as row:
                exact = model(given.latents, given.timestep, given.text)
                row["relative_error"] = relative_error(exact, reference)
        if bench.peer:
            with bench.case(AGREEMENT, case, f"{PEER} eager, default", PEER_POLICY) as row:
                peer = peer_or_skip()
                velocity = peer.forward(peer.peer_transformer(model), shape, given, bench.dtype)()
                row["relative_error"] = relative_error(velocity, reference)
                if exact is not None:
                    row["relative_error_to_exact"] = relative_error(velocity, exact)
        if Tier.FAST in bench.tiers:
            with bench.case(AGREEMENT, case, f"{OURS} fast", OUR_POLICY) as row:
                with in_tier(model, Tier.FAST):
                    velocity = model(given.latents, given.timestep, given.text)
                row["relative_error"] = relative_error(velocity, reference)


@torch.no_grad()
def _with_reference(model: WanTransformer, given: Inputs) -> tuple[WanTransformer, Tensor]:
    """The model, and what it gives if everything is float32."""
    with torch.device("meta"):
        wide = WanTransformer(model.config)
    wide.load_state_dict({name: value.float() for name, value in model.state_dict().items()}, assign=True)
    return model, wide(given.latents, given.timestep, given.text.float())


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """Length of the difference, by the length of the reference."""
    difference = (ours.float() - theirs.float()).norm()
    return float(difference / theirs.float().norm())
