"""Where the benchmark meets the parts of the engine that make it faster or smaller.

Each function does what is asked of it, or raises SkipPart with a reason that the table shows.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

from benchmarks.speed.record import SkipPart
from wanvideo.kernels import attention
from wanvideo.kernels.attention import EXACT, FAST, Backend, attention_backends
from wanvideo.models.transformer import WanTransformer
from wanvideo.pipelines.pipeline import Pipeline
from wanvideo.request import Tier
from wanvideo.runtime.quantize import LINEARS, kind_for, quantize
from wanvideo.runtime.streaming import Arena, BlockStream, HostMemory


@contextmanager
def in_tier(model: WanTransformer, tier: Tier) -> Iterator[None]:
    """Turn a model with full weights into one of this tier, in place, which computes in it while the block runs."""
    if tier is Tier.FAST:
        quantize(model, kind_for(next(model.parameters()).device))
    with attention_backends(*(FAST if tier is Tier.FAST else EXACT)):
        yield


@contextmanager
def rounded(
    model: WanTransformer, kind: torch.dtype, linears: Collection[str], backends: tuple[Backend, ...]
) -> Iterator[None]:
    """Parts of the tier fast: 8-bit products in `linears` of each block only, attention by the first of `backends`.

    The model gets its own blocks back when the block ends, and until then both are in memory.
    """
    blocks = list(model.blocks)
    feed_forwards = [block.get_submodule("ffn") for block in blocks]
    kept = [{name: block.get_submodule(name) for name in LINEARS} for block in blocks]
    try:
        if linears:
            quantize(model, kind)
            for block, own in zip(model.blocks, kept, strict=True):
                for name in set(LINEARS).difference(linears):
                    block.set_submodule(name, own[name])
        with attention_backends(*backends):
            yield
    finally:
        for index, (block, feed_forward, own) in enumerate(zip(blocks, feed_forwards, kept, strict=True)):
            block.set_submodule("ffn", feed_forward)
            for name, linear in own.items():
                block.set_submodule(name, linear)
            model.blocks[index] = block


def backend_in_use(backends: tuple[Backend, ...], device: torch.device) -> Backend:
    """Which of `backends` long sequences get here."""
    return attention._first(backends, device)


def use_tier(pipeline: Pipeline, tier: Tier) -> None:
    """Make a pipeline that has loaded nothing run in this tier."""
    pipeline.tier = pipeline._parts.tier = tier


@contextmanager
def streamed(model: WanTransformer, resident_blocks: int, device: torch.device) -> Iterator[None]:
    """Let a model in host memory run on the GPU, with that many of its blocks kept there."""
    arena = Arena(device)
    stream = BlockStream(model, model.blocks, arena, memory=HostMemory())
    blocks = len(model.blocks)
    arena.open(stream.slab_bytes, resident=resident_blocks, lanes=0 if resident_blocks == blocks else 2)
    try:
        stream.start()  # what comes before the first block has to be there as well
        yield
    finally:
        arena.close()
        stream.close()


def peer_or_skip(*also: str) -> Any:
    """The module benchmarks.speed.peer, if diffusers, transformers and `also` are there."""
    for package in ("diffusers", "transformers", *also):
        if find_spec(package) is None:
            raise SkipPart(f"{package} is not installed")
    return import_module("benchmarks.speed.peer")
