"""Rotary position embedding over time, height and width."""

import torch
from torch import Tensor

THETA = 10000.0


def axis_dims(head_dim: int) -> tuple[int, int, int]:
    """Channels of a head that turn with (T, H, W): a third each, and what is left over goes to time."""
    spatial = 2 * (head_dim // 6)
    return head_dim - 2 * spatial, spatial, spatial


def rope_table(grid: tuple[int, int, int], head_dim: int, device: torch.device | None = None) -> Tensor:
    """Cosines and sines for every token of a grid (T, H, W) in tokens -> [2, L, head_dim / 2] float32.

    Angles are computed in float64. Each axis has its own frequencies, theta ** (-2 i / axis_dim), and counts positions
    from 0. Source: arXiv:2104.09864; the three-axis split is the official `wan/modules/model.py`.
    """
    angles = []
    for axis, (length, dim) in enumerate(zip(grid, axis_dims(head_dim), strict=True)):
        exponent = torch.arange(0, dim, 2, dtype=torch.float64, device=device) / dim
        angle = torch.arange(length, dtype=torch.float64, device=device)[:, None] * THETA**-exponent
        shape = [1, 1, 1, dim // 2]
        shape[axis] = length
        angles.append(angle.reshape(shape).expand(*grid, dim // 2))
    angle = torch.cat(angles, dim=-1).flatten(0, 2)
    return torch.stack([angle.cos(), angle.sin()]).float()
