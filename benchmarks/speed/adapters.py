"""Where the benchmark meets the parts of the engine that make it faster or smaller.

Each function does what is asked of it, or raises SkipPart with a reason that the table shows.
"""

from enum import StrEnum
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from benchmarks.speed.record import SkipPart
from wanvideo.models.transformer import WanTransformer
from wanvideo.pipelines.pipeline import Pipeline


class Tier(StrEnum):
    """How much precision is given for speed."""

    EXACT = "exact"  # the official precision policy
    FAST = "fast"  # 8-bit Linears in the blocks and 8-bit attention


def apply_tier(model: WanTransformer, tier: Tier) -> None:
    """Turn a model with full weights into one of this tier, in place."""
    if tier is Tier.EXACT:
        return
    quantize = _engine("wanvideo.runtime.quantize", "no fast tier")
    quantize.quantize_fp8(model)


def use_tier(pipeline: Pipeline, tier: Tier) -> None:  # noqa: ARG001 - a pipeline has no tiers yet
    """Make a pipeline that has loaded nothing run in this tier."""
    if tier is not Tier.EXACT:
        raise SkipPart("a pipeline has no fast tier yet")


def make_streamed(model: WanTransformer, resident_blocks: int) -> WanTransformer:
    """A model whose weights lie in host memory, ready to run on the GPU with that many blocks kept there."""
    streaming = _engine("wanvideo.runtime.streaming", "no streaming of blocks")
    streamed: WanTransformer = streaming.make_streamed(model, resident_blocks)
    return streamed


def _engine(module: str, lacks: str) -> Any:
    if find_spec(module) is None:
        raise SkipPart(f"the engine has {lacks} yet ({module})")
    return import_module(module)


def peer_or_skip(*also: str) -> Any:
    """The module benchmarks.speed.peer, if diffusers, transformers and `also` are there."""
    for package in ("diffusers", "transformers", *also):
        if find_spec(package) is None:
            raise SkipPart(f"{package} is not installed")
    return import_module("benchmarks.speed.peer")
