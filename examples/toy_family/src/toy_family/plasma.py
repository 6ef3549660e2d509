"""The picture itself: a sum of plane waves, whose directions, colours and speeds come from the words of the prompt.

As in diffusion, a video begins as noise and is refined step by step: each step adds the next, finer waves.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waves:
    """What is drawn: `n` plane waves, the coarse ones first."""

    direction: Array  # [n, 2], in waves per picture
    speed: Array  # [n], in waves per second
    phase: Array  # [n], in radians
    colour: Array  # [n, 3], amplitude of red, green and blue

    def __len__(self) -> int:
        return len(self.speed)


def waves_of(prompt: str, seed: int, count: int) -> Waves:
    """One wave for each step. Every word turns the waves; the seed decides the rest."""
    turn = sum(_number(word) for word in prompt.casefold().split())
    random = np.random.default_rng([seed, _number(prompt)])
    angle = turn * 2 * np.pi + random.normal(0, 0.6, count)
    frequency = 1 + np.arange(count)
    return Waves(
        direction=(np.stack([np.cos(angle), np.sin(angle)], axis=1) * frequency[:, None]).astype(np.float32),
        speed=random.uniform(-0.5, 0.5, count).astype(np.float32),
        phase=random.uniform(0, 2 * np.pi, count).astype(np.float32),
        colour=(random.normal(0, 1, (count, 3)) / frequency[:, None]).astype(np.float32),
    )


def refine(waves: Waves, frames: int, fps: int, width: int, height: int) -> Iterator[Array]:
    """Yield the field [F, H, W, 3] after each wave that was added to it. The array is one and the same."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / max(width, height)
    seconds = np.arange(frames, dtype=np.float32) / fps
    field = np.zeros((frames, height, width, 3), np.float32)
    for direction, speed, phase, colour in zip(waves.direction, waves.speed, waves.phase, waves.colour, strict=True):
        still = 2 * np.pi * (direction[0] * x + direction[1] * y) + phase
        for frame, second in zip(field, seconds, strict=True):
            frame += np.sin(still + 2 * np.pi * speed * second)[..., None] * colour
        yield field


def to_rgb(field: Array, contrast: float) -> npt.NDArray[np.uint8]:
    """[n, H, W, 3] of any values -> uint8; `contrast` 1 keeps most of them off the ends."""
    rgb: npt.NDArray[np.uint8] = np.round(127.5 + 127.5 * np.tanh(0.5 * contrast * field)).astype(np.uint8)
    return rgb


def _number(text: str) -> int:
    """The same for the same text in every process, unlike `hash`."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
