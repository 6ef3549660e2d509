"""A cheap look at latents: every latent cell becomes one pixel, by a linear map that is fitted to the VAE at hand."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from wanvideo.request import Preview

# Cells along each side of the pattern that the map is fitted to; two latent frames of it are 512 samples.
_CELLS = 16
_FRAMES = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LatentColours:
    """RGB = weight [3, z] @ latent [z] + bias [3], in [-1, 1]."""

    weight: Tensor
    bias: Tensor

    def preview(self, latents: Tensor) -> Preview:
        """A picture of normalised latents [1, z, T, h, w], T of h x w pixels."""
        colours = torch.einsum("rc,cthw->thwr", self.weight, latents[0].float()) + self.bias
        rgb = colours.clamp(-1, 1).add(1).mul(127.5).to(torch.uint8).cpu().contiguous()
        frames, height, width, _ = rgb.shape
        return Preview(width=width, height=height, frames=frames, rgb=rgb.numpy().tobytes())


def colour_pattern(stride: int) -> Tensor:
    """A still video [1, 3, F, H, W] in [-1, 1] of soft random colours; stride: pixels per latent cell."""
    cells = torch.rand(1, 3, _CELLS, _CELLS, generator=torch.Generator().manual_seed(0)) * 2 - 1
    side = _CELLS * stride
    pattern = F.interpolate(cells, size=(side, side), mode="bilinear")
    return pattern.unsqueeze(2).expand(-1, -1, _FRAMES, -1, -1)


def fit_colours(pattern: Tensor, latents: Tensor) -> LatentColours:
    """Least squares over a still video [1, 3, F, H, W] in [-1, 1] and its normalised latents [1, z, T, h, w]."""
    latents = latents.float().nan_to_num(0, 0, 0)
    mean_colours = F.avg_pool2d(pattern[:, :, 0], pattern.shape[-1] // latents.shape[-1]).to(latents)
    colours = mean_colours.unsqueeze(2).expand(-1, -1, latents.shape[2], -1, -1)
    x = latents[0].flatten(1).T
    y = colours[0].flatten(1).T
    # A little ridge, in units of the latents' variance, so that channels without colour get no weight.
    x_mean, y_mean = x.mean(0), y.mean(0)
    x, y = x - x_mean, y - y_mean
    ridge = 1e-3 * x.square().sum() / x.shape[1] * torch.eye(x.shape[1], device=x.device)
    # Latents that are all alike give no colours, but no error either: a preview may not cost a video.
    weight = (torch.linalg.pinv(x.T @ x + ridge, hermitian=True) @ (x.T @ y)).T
    return LatentColours(weight=weight, bias=y_mean - weight @ x_mean)
