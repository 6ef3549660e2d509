"""What the demo models are asked for: scenes spread evenly over all that can be said, each with a seed of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.judge.draw import draw, place
from benchmarks.judge.scene import BACKGROUNDS, COLOURS, MOTIONS, SHAPES, SIZES, Scene

MODELS: Final = ("t2v-A14B-demo", "ti2v-5B-demo", "i2v-A14B-demo")
SCENES: Final = len(SIZES) * len(COLOURS) * len(SHAPES) * len(MOTIONS) * len(BACKGROUNDS)


class Given(StrEnum):
    """What a model is given beside the caption."""

    TEXT = "text"
    IMAGE = "first frame"
    IMAGES = "first and last frame"
    CLIP = "clip"  # only to its autoencoder


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One clip that is asked for."""

    model: str
    given: Given
    number: int
    scene: Scene
    seed: int

    @property
    def name(self) -> str:
        return f"{self.model} {self.given} {self.number} seed {self.seed}: {self.scene.caption}"

    def drawn(self) -> NDArray[np.uint8]:
        """A clip [F, H, W, 3] of the scene, the shape wholly inside, from which images and clips to encode come."""
        return draw(self.scene, place(self.scene, np.random.default_rng(self.seed), inside=1.0))


def trials(model: str, prompts: int, *, seed: int = 0, given: Given | None = None) -> Iterator[Trial]:
    """`prompts` trials for each thing that the model can be given, or only for `given`.

    Of the trials with images for a model that takes two, each third has both.
    """
    for kind in _kinds(model) if given is None else (given,):
        for number, scene in enumerate(spread(prompts, first=seed * prompts)):
            both = kind is Given.IMAGE and model.startswith("i2v") and (number + number // 3) % 3 == 2  # any shape
            yield Trial(
                model=model,
                given=Given.IMAGES if both else kind,
                number=number,
                scene=scene,
                seed=10_000 * (seed + 1) + number,
            )


def spread(count: int, *, first: int = 0) -> list[Scene]:
    """`count` different scenes, in which every word comes up equally often as nearly as possible.

    A walk through all scenes: the i-th has one size and background for each i mod 8, a shape for each i mod 3, a colour
    and a motion for each i mod 49. As 8, 3 and 49 have no common factor, none comes twice before all have come.
    Raises ValueError if there are not so many.
    """
    if not 1 <= count <= SCENES:
        raise ValueError(f"{count} different scenes cannot be chosen: there are {SCENES}")
    return [_scene(i) for i in range(first, first + count)]


def _scene(i: int) -> Scene:
    return Scene(
        size=SIZES[i % 2],
        background=tuple(BACKGROUNDS)[i // 2 % 4],
        shape=SHAPES[i % 3],
        colour=tuple(COLOURS)[i % 7],
        motion=MOTIONS[(i + i // 7) % 7],
    )


def _kinds(model: str) -> tuple[Given, ...]:
    """What the model is given in turn. The autoencoder of t2v and i2v is the same."""
    if model.startswith("t2v"):
        return (Given.TEXT, Given.CLIP)
    return (Given.IMAGE,) if model.startswith("i2v") else (Given.TEXT, Given.IMAGE, Given.CLIP)
