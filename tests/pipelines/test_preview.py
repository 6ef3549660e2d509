"""Previews: colours through a linear map that is fitted to the VAE."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from wanvideo.pipelines.preview import LatentColours, colour_pattern, fit_colours

MIX = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))


def linear_encoder(video: Tensor) -> Tensor:
    """Mean colours of 8 x 8 pixels, mixed into 16 channels, one latent frame for four."""
    cells = F.avg_pool3d(video[:, :, ::4], (1, 8, 8))
    return torch.einsum("zc,bcthw->bzthw", MIX, cells) + 0.3


def fitted() -> LatentColours:
    pattern = colour_pattern(stride=8)
    return fit_colours(pattern, linear_encoder(pattern))


def test_a_linear_encoder_is_inverted() -> None:
    video = torch.rand(1, 3, 9, 32, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1
    preview = fitted().preview(linear_encoder(video))
    assert (preview.frames, preview.width, preview.height) == (3, 6, 4)
    rgb = np.frombuffer(preview.rgb, dtype=np.uint8).reshape(3, 4, 6, 3)
    expected = (F.avg_pool3d(video[:, :, ::4], (1, 8, 8))[0].permute(1, 2, 3, 0) + 1) * 127.5
    assert np.abs(rgb - expected.numpy()).max() < 4


@pytest.mark.parametrize("value", [0.0, 3.0, float("nan"), float("inf")])
def test_latents_that_say_nothing_give_a_grey_preview(value: float) -> None:
    pattern = colour_pattern(stride=8)
    found = fit_colours(pattern, torch.full_like(linear_encoder(pattern), value))
    preview = found.preview(torch.zeros(1, 16, 1, 2, 2))
    assert all(abs(level - 127) < 10 for level in preview.rgb)


def test_colours_out_of_range_are_clamped() -> None:
    preview = fitted().preview(torch.full((1, 16, 1, 2, 2), 1e4))
    assert set(preview.rgb) <= {0, 255}
