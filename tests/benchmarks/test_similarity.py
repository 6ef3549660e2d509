"""Structural similarity, against numbers that are known."""

import numpy as np
import pytest

from benchmarks.similarity import C1, ssim


def clip(*, seed: int = 0, shape: tuple[int, ...] = (2, 24, 20, 3)) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_it_is_that_of_scikit_image() -> None:
    """structural_similarity of scikit-image 0.26.0 (gaussian_weights, sigma 1.5, use_sample_covariance=False,
    data_range 255) of the luma of each frame, the mean of its map without a border of 5 pixels."""
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (2, 24, 20, 3), dtype=np.uint8)
    b = np.clip(a.astype(int) + rng.integers(-40, 41, a.shape), 0, 255).astype(np.uint8)
    assert ssim(a, b) == pytest.approx(0.954119132200718, abs=1e-12)


def test_equal_clips_have_one_and_others_less() -> None:
    assert ssim(clip(), clip()) == pytest.approx(1)
    assert ssim(clip(), clip(seed=1)) < 0.1


def test_of_even_pictures_only_the_brightness_counts() -> None:
    dark, bright = (np.full((1, 16, 16, 3), value, np.uint8) for value in (100, 150))
    assert ssim(dark, bright) == pytest.approx((2 * 100 * 150 + C1) / (100**2 + 150**2 + C1))


@pytest.mark.parametrize("shape", [(2, 24, 21, 3), (1, 24, 20, 3)])
def test_clips_of_two_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="two clips of one shape"):
        ssim(clip(), clip(shape=shape))


def test_clips_smaller_than_the_window_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 11 pixels"):
        ssim(clip(shape=(1, 10, 20, 3)), clip(shape=(1, 10, 20, 3)))
