"""Structural similarity of two videos: how alike their local brightness, contrast and structure are. Only numpy."""

from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

WINDOW: Final = 11  # pixels a side
SIGMA: Final = 1.5  # pixels
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
LUMA: Final = (0.299, 0.587, 0.114)


def ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """The mean over all frames [F, H, W, 3], of luma, where the window is wholly inside; 1 where they are equal.

    Source: Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004.
    """
    if a.shape != b.shape or a.ndim != 4 or min(a.shape[1:3]) < WINDOW:
        raise ValueError(f"two clips of one shape, at least {WINDOW} pixels a side, are needed: {a.shape}, {b.shape}")
    return float(np.mean([_of_frames(_luma(x), _luma(y)) for x, y in zip(a, b, strict=True)]))


def _luma(frame: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(frame @ np.array(LUMA))


def _of_frames(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Of two frames [H, W]."""
    mean_x, mean_y, xx, yy, xy = (_blurred(image) for image in (x, y, x * x, y * y, x * y))
    spread_x, spread_y, together = xx - mean_x**2, yy - mean_y**2, xy - mean_x * mean_y
    brightness = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    structure = (2 * together + C2) / (spread_x + spread_y + C2)
    return float((brightness * structure).mean())


def _blurred(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of [H, W] under a Gaussian window, [H - 10, W - 10]."""
    kernel = np.exp(-0.5 * np.square((np.arange(WINDOW) - WINDOW // 2) / SIGMA))
    kernel /= kernel.sum()
    rows = sliding_window_view(image, WINDOW, axis=0) @ kernel
    return np.asarray(sliding_window_view(rows, WINDOW, axis=1) @ kernel)
