"""Other ways to ask for nearly the same video, which take less. No torch."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, TypeAlias

from wanvideo.pipelines.lossy import FEW_STEPS, USUAL_STEP_CACHE, computed_share
from wanvideo.pipelines.size import Size, nearest_legal
from wanvideo.request import Tier
from wanvideo.runtime.architecture import Work
from wanvideo.weights.catalog import ModelSpec

SMALL: Final = Size(832, 480)  # what larger sizes may be exchanged for

Change: TypeAlias = tuple[str, Work, Tier]  # in words, and what is asked for then


def alternatives_to(spec: ModelSpec, work: Work, tier: Tier, *, on_gpu: bool) -> Iterator[Change]:
    """One thing changed: the tier, the size, the length."""
    if on_gpu:
        other = Tier.FAST if tier is Tier.EXACT else Tier.EXACT
        differs = "whose picture differs" if other is Tier.FAST else "the official precision"
        yield f"tier {other}, {differs}", work, other
    smaller = _smaller(spec, work)
    if smaller is not None:
        yield f"{smaller.width}x{smaller.height}", smaller, tier
    if (fewer := _with_frames(work, _half(work.frames))).frames < work.frames:
        yield f"{fewer.frames} frame{'s' if fewer.frames > 1 else ''}", fewer, tier


def with_step_cache(spec: ModelSpec, work: Work, tier: Tier) -> Iterator[Change]:
    """Fewer steps computed, in the same memory; or all of them again."""
    if work.step_cache is not None:
        yield "no step cache, all steps computed", replace(work, step_cache=None, computed=1.0), tier
    elif work.steps >= FEW_STEPS:
        share = computed_share(spec, USUAL_STEP_CACHE, work.steps)
        cached = replace(work, step_cache=USUAL_STEP_CACHE, computed=share)
        yield f"step cache {USUAL_STEP_CACHE:g}, about {100 * share:.0f} % of the steps computed", cached, tier


def smaller_and_smaller(spec: ModelSpec, work: Work, tier: Tier) -> Iterator[Change]:
    """From most to least of the picture."""
    small = _smaller(spec, work)
    tiers = (tier, Tier.FAST) if tier is Tier.EXACT else (tier,)
    for base in (work, small) if small else (work,):
        frames = base.frames
        while frames > 1:
            frames = _half(frames)
            for each in tiers:
                yield (
                    f"{base.width}x{base.height}, {frames} frame{'s' if frames > 1 else ''}, tier {each}",
                    _with_frames(base, frames),
                    each,
                )


def _smaller(spec: ModelSpec, work: Work) -> Work | None:
    """At the size below, in the same orientation."""
    asked = SMALL if work.width >= work.height else Size(SMALL.height, SMALL.width)
    size = nearest_legal(asked, spec.limits) if asked.area < spec.limits.max_area else None
    if size is None or size.area >= work.area:
        return None
    return replace(work, width=size.width, height=size.height)


def _with_frames(work: Work, frames: int) -> Work:
    encoded = frames if work.encoded_frames == work.frames else work.encoded_frames
    return replace(work, frames=frames, encoded_frames=encoded)


def _half(frames: int) -> int:
    """The largest 4 n + 1 that is no longer than half."""
    return max(1, (frames - 1) // 8 * 4 + 1)
