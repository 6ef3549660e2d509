"""What lossy settings cost: measured on the demo models, for plans to show. No torch.

The numbers are those of docs/performance.md and docs/quality.md, which say how they were made; a test compares them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from wanvideo.request import Tier
from wanvideo.weights.catalog import ModelSpec

USUAL_STEP_CACHE: Final = 0.05  # what docs/quality.md recommends
FEW_STEPS: Final = 10  # so few that what a step cache does in 20 says nothing
_T2V, _TI2V = "t2v-A14B-demo", "ti2v-5B-demo"
_FAST, _TILES = "fast", "autoencoder in tiles"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """A lossy setting on a demo model, against the same clips made exactly."""

    setting: str
    model: str
    clips: int
    psnr: float  # dB to the exact clips, over all frames: the median
    right: float  # per cent of the clips in which the judge reads all that was asked for
    exact_right: float  # of the exact ones
    computed: float = 1.0  # share of the steps for which the network is run

    def __str__(self) -> str:
        return (
            f"{self.psnr:g} dB to exact, {self.right:g} % of {self.clips} clips right (exact {self.exact_right:g} %), "
            f"measured on {self.model}"
        )


def _cached(
    model: str, threshold: float, psnr: float, right: float, exact: float, computed: float
) -> tuple[float, Quality]:
    quality = Quality(
        setting=f"step cache {threshold:g}",
        model=model,
        clips=16,
        psnr=psnr,
        right=right,
        exact_right=exact,
        computed=computed,
    )
    return threshold, quality


FAST_ON: Final = {
    _T2V: Quality(setting=_FAST, model=_T2V, clips=200, psnr=40.0, right=98.5, exact_right=98.5),
    _TI2V: Quality(setting=_FAST, model=_TI2V, clips=200, psnr=30.3, right=97.0, exact_right=98.0),
}
TILES_ON: Final = {_T2V: Quality(setting=_TILES, model=_T2V, clips=16, psnr=41.4, right=81.2, exact_right=87.5)}
# By threshold, in rising order.
STEP_CACHE_ON: Final = {
    _T2V: (
        _cached(_T2V, 0.05, 50.1, 87.5, 87.5, 0.60),
        _cached(_T2V, 0.1, 46.5, 93.8, 87.5, 0.52),
        _cached(_T2V, 0.15, 43.4, 87.5, 87.5, 0.48),
        _cached(_T2V, 0.2, 41.4, 93.8, 87.5, 0.46),
    ),
    _TI2V: (
        _cached(_TI2V, 0.05, 54.8, 100.0, 100.0, 0.75),
        _cached(_TI2V, 0.1, 48.4, 100.0, 100.0, 0.61),
        _cached(_TI2V, 0.15, 42.8, 100.0, 100.0, 0.53),
        _cached(_TI2V, 0.2, 41.9, 100.0, 100.0, 0.50),
    ),
}


def step_cache_quality(spec: ModelSpec, threshold: float | None, steps: int) -> Quality | None:
    """Of the largest threshold that was measured and is no larger; None: nothing is known, as with few steps."""
    known = [quality for least, quality in STEP_CACHE_ON[_demo(spec)] if threshold and least <= threshold]
    return known[-1] if known and steps >= FEW_STEPS else None


def computed_share(spec: ModelSpec, threshold: float | None, steps: int) -> float:
    """Of the steps, how many are run: as many as with the demo model, and all where nothing is known."""
    quality = step_cache_quality(spec, threshold, steps)
    return 1.0 if quality is None else quality.computed


def lossy(
    spec: ModelSpec, tier: Tier, *, step_cache: float | None = None, steps: int = 0, tiles: bool = False
) -> Iterator[Quality]:
    """Of each setting in use that changes the picture, as far as it was measured."""
    if tier is Tier.FAST:
        yield FAST_ON[_demo(spec)]
    if (cached := step_cache_quality(spec, step_cache, steps)) is not None:
        yield cached
    if tiles and (tiled := TILES_ON.get(_demo(spec))) is not None:
        yield tiled


def _demo(spec: ModelSpec) -> str:
    """The demo model that `spec` is most like."""
    return _TI2V if spec.image_in_latents else _T2V
