"""The autoencoder's kernels: twins against the formulas of the model, kernels against their twins."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.kernels.vae_cases import cases
from wanvideo.kernels import vae
from wanvideo.models.vae import ChannelNorm, averaged_shortcut, duplicated_shortcut


def as_clip(frames: Tensor) -> Tensor:
    """[T, H, W, C] -> [1, C, T, H, W]."""
    return frames.permute(3, 0, 1, 2).unsqueeze(0)


@pytest.mark.parametrize("frames", [1, 2, 5])
@torch.no_grad()
def test_norm_and_silu_are_those_of_the_model_and_the_last_two_frames_are_kept(frames: int) -> None:
    x, bias, norm = torch.randn(frames, 3, 4, 6), torch.randn(6), ChannelNorm(6, 3)
    norm.gamma.copy_(torch.randn(6, 1, 1, 1))
    window, kept = torch.zeros(frames + 2, 3, 4, 6), torch.zeros(min(frames, 2), 3, 4, 6)
    vae.norm_silu(x, norm.gamma, bias=bias, out=window[2:], kept=kept)
    torch.testing.assert_close(as_clip(window[2:]), F.silu(norm(as_clip(x + bias))))
    assert kept.equal(window[-kept.shape[0] :])
    assert not window[:2].any()


def test_a_pixel_of_zeros_stays_zero() -> None:
    assert not vae.norm_silu(torch.zeros(1, 1, 1, 8), torch.ones(8)).any()


def test_a_sum_is_rounded_once() -> None:
    h, x, bias = (torch.randn(2, 3, 4, 8).bfloat16() for _ in range(3))
    exact = h.float() + x.float() + bias[0, 0, 0].float()
    assert vae.add_(h, x, bias[0, 0, 0].clone()).equal(exact.bfloat16())


@pytest.mark.parametrize(
    ("frames", "time", "space", "channels"), [(1, 2, 2, 8), (4, 2, 2, 8), (3, 1, 2, 4), (4, 1, 1, 4)]
)
def test_the_averaged_shortcut_is_that_of_the_model(frames: int, time: int, space: int, channels: int) -> None:
    x = torch.randn(frames, 4, 6, 4)
    expected = averaged_shortcut(as_clip(x), channels, time, space)
    h = torch.zeros(*expected.shape[2:], channels)
    torch.testing.assert_close(as_clip(vae.add_averaged_(h, x, time=time, space=space)), expected)


@pytest.mark.parametrize(("time", "start"), [(1, False), (2, False), (2, True)])
@pytest.mark.parametrize("in_channels", [4, 8])
@torch.no_grad()
def test_four_phases_are_the_convolution_of_the_doubled_picture(time: int, start: bool, in_channels: int) -> None:
    x, shortcut = torch.randn(1, 3, 5, 6).double(), torch.randn(2, 3, 5, in_channels).double()
    weight, bias = torch.randn(4, 6, 3, 3).double(), torch.randn(4).double()
    doubled = F.interpolate(x.permute(0, 3, 1, 2), scale_factor=2, mode="nearest-exact")
    plain = F.conv2d(doubled, weight, bias, padding=1)
    phases = vae.conv2d(x, vae.phase_weight(weight), padding=1)
    out = torch.empty(1, 6, 10, 4).double()
    torch.testing.assert_close(vae.join_phases(phases, bias, out=out).permute(0, 3, 1, 2), plain)

    added = duplicated_shortcut(as_clip(shortcut), 4, time, 2, start)
    skipped = time - 1 if start else 0
    for frame in range(added.shape[2]):
        vae.join_phases(phases, bias, out=out, shortcut=shortcut, time=time, first=frame + skipped)
        torch.testing.assert_close(out.permute(0, 3, 1, 2), plain + added[:, :, frame])


def test_convolutions_see_the_history_and_nothing_beyond_the_picture() -> None:
    x, weight, bias = torch.randn(4, 5, 6, 3), torch.randn(2, 3, 3, 3, 3), torch.randn(2)
    expected = F.conv3d(as_clip(x), weight, bias, padding=(0, 1, 1))
    ours = vae.conv3d(x, weight, bias)
    assert ours.is_contiguous()
    torch.testing.assert_close(as_clip(ours), expected)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton, whose interpreter runs kernels on the CPU")
def test_every_kernel_does_what_its_twin_does() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.kernels.vae_cases"],
        env={**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_every_kernel_does_what_its_twin_does_at_full_size(dtype: torch.dtype) -> None:
    pytest.importorskip("triton")
    shapes = (
        (1, 44, 80, 1024),
        (2, 88, 160, 1024),
        (3, 176, 80, 512),
        (2, 352, 160, 256),
        (4, 180, 320, 96),
        (2, 90, 160, 640),
    )
    assert list(cases("cuda", dtype, shapes)) == []
