"""Where the benchmark meets the parts of the engine that make it faster or smaller.

Each function does what is asked of it, or raises SkipPart with a reason that the table shows.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

from benchmarks.speed.record import SkipPart
from wanvideo.kernels.attention import EXACT, FAST, attention_backends
from wanvideo.models.transformer import WanTransformer
from wanvideo.pipelines.pipeline import Pipeline
from wanvideo.request import Tier
from wanvideo.runtime.quantize import kind_for, quantize
from wanvideo.runtime.streaming import Arena, BlockStream


@contextmanager
def in_tier(model: WanTransformer, tier: Tier) -> Iterator[None]:
    """Turn a model with full weights into one of this tier, in place, which computes in it while the block runs."""
    if tier is Tier.FAST:
        quantize(model, kind_for(next(model.parameters()).device))
    with attention_backends(*(FAST if tier is Tier.FAST else EXACT)):
        yield


def use_tier(pipeline: Pipeline, tier: Tier) -> None:
    """Make a pipeline that has loaded nothing run in this tier."""
    pipeline.tier = pipeline._parts.tier = tier


@contextmanager
def streamed(model: WanTransformer, resident_blocks: int, device: torch.device) -> Iterator[None]:
    """Let a model in host memory run on the GPU, with that many of its blocks kept there."""
    arena = Arena(device)
    stream = BlockStream(model, model.blocks, arena)
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
