"""Pictures -> what the transformer is shown of them.

I2V-A14B: known frames are encoded inside a grey video, and their latents, with a mask, become extra input channels.
TI2V-5B: the first frame's latent takes the place of the first latent frame and is told to be clean, by a timestep of 0.
Source: the official `wan/image2video.py` and `wan/textimage2video.py`; the last frame as in diffusers' `last_image`.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL.Image import Image
from torch import Tensor

from wanvideo.media.image import cover, to_array
from wanvideo.pipelines.size import Size, is_rounded

TEMPORAL_STRIDE = 4  # frames per latent frame, after the first


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Condition:
    """What is known of the video beforehand; empty for text-to-video."""

    channels: Tensor | None = None  # [1, 4 + z, T, h, w]: mask and latents beside the noise
    first_latent: Tensor | None = None  # [1, z, 1, h, w], in place of the first latent frame


def fitted(image: Image, size: Size, multiple: int) -> Tensor:
    """`image` as pixels [1, 3, H, W] in [-1, 1] for I2V-A14B.

    If `size` has its shape (but for rounding to `multiple`), it is resized as in the official code: bicubic, without
    antialiasing, after scaling to [-1, 1]. Any other shape is covered, and cropped about the centre.
    """
    if not is_rounded(size, Size(*image.size), multiple):
        return covered(image, size)
    return F.interpolate(pixels(image), size=(size.height, size.width), mode="bicubic")


def covered(image: Image, size: Size) -> Tensor:
    """`image` as pixels [1, 3, H, W] in [-1, 1], resized by Lanczos to cover `size`, then cropped: as for TI2V-5B."""
    return pixels(cover(image, size.width, size.height))


def pixels(image: Image) -> Tensor:
    """[1, 3, H, W] in [-1, 1]."""
    return torch.from_numpy(to_array(image)).permute(2, 0, 1).unsqueeze(0).float().div(255).sub(0.5).div(0.5)


def grey_between(frames: int, first: Tensor, last: Tensor | None = None) -> Tensor:
    """The video [1, 3, F, H, W] that is encoded for I2V-A14B, of pixels [1, 3, H, W]; other frames are 0, mid grey."""
    video = first.new_zeros(1, 3, frames, *first.shape[-2:])
    video[:, :, 0] = first
    if last is not None:
        video[:, :, -1] = last
    return video


def known_frames(latents: Tensor, frames: int, *, last: bool) -> Condition:
    """For I2V-A14B. latents: those of the video that has the first frame, and the last one if `last`, in grey."""
    mask = known_mask(frames, last).to(latents)
    mask = mask.reshape(1, TEMPORAL_STRIDE, -1, 1, 1).expand(-1, -1, -1, *latents.shape[-2:])
    return Condition(channels=torch.cat([mask, latents], dim=1))


def known_mask(frames: int, last: bool) -> Tensor:
    """Which frames are given, 1 or 0, as [4, T]: entry (i, t) is frame i of the four that latent frame t stands for.

    The first latent frame stands for one frame only, which counts four times.
    """
    given = torch.zeros(frames)
    given[0] = 1
    if last:
        given[-1] = 1
    lone = given[:1].expand(TEMPORAL_STRIDE)
    return torch.cat([lone, given[1:]]).reshape(-1, TEMPORAL_STRIDE).T
