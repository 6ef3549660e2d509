"""Requests that a model of any family can be given."""

from dataclasses import replace

import numpy as np
from PIL import Image

from wanvideo.request import GenerationRequest, ResolvedRequest
from wanvideo.weights.entry import ModelEntry

SEED = 7


def usual(entry: ModelEntry) -> GenerationRequest:
    """What needs to be said at least, and a seed: a prompt, and a picture if there must be one."""
    picture = gradient(entry.defaults.width, entry.defaults.height) if entry.requires_image else None
    return GenerationRequest(prompt="a small red circle moves left", image=picture, seed=SEED)


def small(entry: ModelEntry) -> GenerationRequest:
    """The least work: the smallest legal square, 5 frames, at most 2 steps."""
    side = least_side(entry)
    request = replace(usual(entry), width=side, height=side, frames=min(5, entry.limits.max_frames))
    if entry.defaults.sigmas is not None:
        return request
    return replace(request, steps=min(2, entry.limits.max_steps))


def least_side(entry: ModelEntry) -> int:
    """The shortest legal side in pixels."""
    multiple = entry.limits.size_multiple
    return -(-entry.limits.min_side // multiple) * multiple


def again(request: ResolvedRequest) -> GenerationRequest:
    """What asks for exactly `request`."""
    given = request.sigmas is not None
    return GenerationRequest(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        image=request.image,
        end_image=request.end_image,
        width=request.width,
        height=request.height,
        frames=request.frames,
        steps=None if given else request.steps,
        shift=None if given else request.shift,
        sigmas=request.sigmas,
        guidance=request.guidance_high,
        guidance_low=request.guidance_low,
        solver=request.solver,
        seed=request.seed,
    )


def gradient(width: int, height: int) -> Image.Image:
    """A picture of soft colours."""
    x = np.linspace(0, 255, width, dtype=np.uint8)[None, :].repeat(height, axis=0)
    y = np.linspace(0, 255, height, dtype=np.uint8)[:, None].repeat(width, axis=1)
    return Image.fromarray(np.stack([x, y, np.full_like(x, 128)], axis=-1))
