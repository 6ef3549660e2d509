"""What the transformer is shown of pictures, against the official rules and diffusers."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers.video_processor import VideoProcessor
from PIL import Image
from torch import Tensor

from tests.pipelines.conftest import picture
from wanvideo.pipelines.conditioning import covered, fitted, grey_between, known_frames, known_mask, pixels
from wanvideo.pipelines.size import Size


def every_fourth(video: Tensor) -> Tensor:
    """Stands for an encoder: frame 0 and every fourth one, at an eighth of the size, in 16 channels."""
    return F.avg_pool3d(video[:, :, ::4], (1, 8, 8)).mean(1, keepdim=True).expand(-1, 16, -1, -1, -1)


def test_pixels_go_from_minus_one_to_one() -> None:
    image = Image.fromarray(np.array([[[0, 51, 255]]], dtype=np.uint8))
    assert pixels(image).tolist() == [[[[-1.0]], [[pytest.approx(-0.6)]], [[1.0]]]]


def test_the_mask_marks_the_first_latent_frame_in_all_four_channels() -> None:
    mask = known_mask(frames=13, last=False)
    assert mask.shape == (4, 4)
    assert mask.tolist() == [[1, 0, 0, 0]] * 4


def test_a_last_frame_is_marked_in_the_last_channel_alone() -> None:
    assert known_mask(frames=9, last=True).tolist() == [[1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 1]]


def test_known_frames_lie_in_a_grey_video_behind_the_mask() -> None:
    first, last = (pixels(picture(16, 24, seed)) for seed in (0, 1))
    video = grey_between(9, first, last)
    channels = known_frames(every_fourth(video), 9, last=True).channels
    assert channels is not None
    assert channels.shape == (1, 20, 3, 3, 2)
    assert torch.equal(video[:, :, 0], first)
    assert torch.equal(video[:, :, -1], last)
    assert not video[:, :, 1:-1].any()  # 0.0 is grey; black would be -1
    assert torch.equal(channels[:, 4:], every_fourth(video))
    assert torch.equal(channels[0, :4, :, 0, 0], known_mask(9, True))
    assert torch.equal(channels[0, :4], channels[0, :4, :, :1, :1].expand(-1, -1, 3, 2))


def test_a_single_frame_may_be_known() -> None:
    channels = known_frames(every_fourth(grey_between(1, pixels(picture(16, 16)))), 1, last=False).channels
    assert channels is not None
    assert channels[:, :4].eq(1).all()
    assert channels.shape == (1, 20, 1, 2, 2)


def test_a_picture_of_the_right_shape_is_resized_as_in_the_official_code_and_not_as_in_diffusers() -> None:
    image = picture(125, 100, seed=3)
    size = Size(112, 96)  # of the same shape, rounded down to multiples of 16
    official = F.interpolate(pixels(image), size=(96, 112), mode="bicubic")
    assert torch.equal(fitted(image, size, 16), official)
    diffusers = VideoProcessor(vae_scale_factor=8).preprocess(image, height=96, width=112)
    assert 0.001 < (diffusers - official).abs().mean() < 0.2


def test_a_picture_of_another_shape_keeps_its_shape_and_loses_its_edges() -> None:
    stripes = np.zeros((64, 192, 3), dtype=np.uint8)
    stripes[:, 64:128] = 255  # black, white, black: only the white middle is left
    image, size = Image.fromarray(stripes), Size(64, 64)
    for prepared in (covered(image, size), fitted(image, size, 16)):
        assert prepared.shape == (1, 3, 64, 64)
        assert prepared[..., 8:-8].min() > 0.95


def test_a_picture_of_the_right_size_is_left_alone() -> None:
    image = picture(64, 32)
    assert torch.equal(covered(image, Size(64, 32)), pixels(image))
    torch.testing.assert_close(fitted(image, Size(64, 32), 16), pixels(image), atol=1e-6, rtol=0)
