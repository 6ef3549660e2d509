"""The causal video autoencoders of Wan 2.1 and 2.2.

Both see a clip as one frame followed by groups of four: the first latent frame stands for one frame, every next one for
four. All temporal layers look back only, so that a clip can be coded chunk by chunk; what a layer must remember between
chunks lies in a `CausalCache`, which the caller owns. One chunk with the whole clip gives the same numbers.

Parameters are named as in the released official checkpoints. Source: arXiv:2503.20314, section on Wan-VAE; the official
`wan/modules/vae2_1.py` and `vae2_2.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wanvideo.models.config import VAEConfig


@dataclass(slots=True)
class CausalCache:
    """What the temporal layers of one coder remember of a clip: the last frames that each of them has seen."""

    frames: dict[nn.Module, Tensor] = field(default_factory=dict)
    started: bool = False  # the first chunk, which begins with the lone first frame, is through

    @property
    def nbytes(self) -> int:
        return sum(t.nbytes for t in self.frames.values())


# Without a cache, the chunk is the whole clip.
MaybeCache: TypeAlias = CausalCache | None


def _is_start(cache: MaybeCache) -> bool:
    return cache is None or not cache.started


def _per_frame(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a 2-D layer to every frame of x [B, C, T, H, W]."""
    frames = x.shape[2]
    y: Tensor = layer(x.transpose(1, 2).flatten(0, 1))
    return y.unflatten(0, (-1, frames)).transpose(1, 2)  # type: ignore[no-any-return]


class CausalConv3d(nn.Conv3d):
    """3-D convolution that pads time in front only, with the end of the chunk before or with zeros."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int | tuple[int, int, int], padding: int = 0
    ) -> None:
        spatial = 0 if isinstance(kernel, tuple) else padding
        super().__init__(in_channels, out_channels, kernel, padding=(0, spatial, spatial))
        self.history = 2 * padding

    def forward(self, x: Tensor, cache: MaybeCache = None) -> Tensor:
        """x [B, C, T, H, W]."""
        if self.history == 0:
            return super().forward(x)
        before = cache.frames.get(self) if cache is not None else None
        x = F.pad(x, (0, 0, 0, 0, self.history, 0)) if before is None else torch.cat([before, x], dim=2)
        if cache is not None:
            cache.frames[self] = x[:, :, -self.history :].clone()
        return self._over_frames(x) if x.device.type == "cpu" and x.shape[2] <= 8 else super().forward(x)

    def _over_frames(self, x: Tensor) -> Tensor:
        """The same convolution with the frames of a window side by side in the channels of a 2-D one.

        A CPU's 3-D kernels are slow on short clips: 163 against 28 ms for 16 channels, 6 frames of 128x128, one core.
        """
        window, height, _ = self.kernel_size
        count = x.shape[2] - window + 1
        frames = x.transpose(1, 2)
        windows = torch.cat([frames[:, k : k + count] for k in range(window)], dim=2).flatten(0, 1)
        y: Tensor = F.conv2d(windows, self.weight.transpose(1, 2).flatten(1, 2), self.bias, padding=height // 2)
        return y.unflatten(0, (-1, count)).transpose(1, 2)  # type: ignore[no-any-return]


class ChannelNorm(nn.Module):
    """Root mean square norm over the channels, in float32."""

    def __init__(self, channels: int, spatial_dims: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, *[1] * spatial_dims))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        scale = wide.square().sum(1, keepdim=True).clamp_min(1e-24).rsqrt() * x.shape[1] ** 0.5
        return (wide * scale * self.gamma.float()).to(x.dtype)  # type: ignore[no-any-return]


class ResidualBlock(nn.Module):
    """Norm, SiLU, convolution, twice, beside a shortcut. Index 5 was dropout when the model was trained."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.residual = nn.ModuleList(
            [
                ChannelNorm(in_channels, 3),
                nn.SiLU(),
                CausalConv3d(in_channels, out_channels, 3, padding=1),
                ChannelNorm(out_channels, 3),
                nn.SiLU(),
                nn.Identity(),
                CausalConv3d(out_channels, out_channels, 3, padding=1),
            ]
        )
        self.shortcut = CausalConv3d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Tensor, cache: MaybeCache = None) -> Tensor:
        norm1, silu, conv1, norm2, _, _, conv2 = self.residual
        h = conv1(silu(norm1(x)), cache)
        h = conv2(silu(norm2(h)), cache)
        return h + self.shortcut(x)  # type: ignore[no-any-return]


class FrameAttention(nn.Module):
    """Single-head self-attention within each frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels, 2)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def _attend(self, x: Tensor) -> Tensor:
        """x [B, C, H, W]."""
        q, k, v = self.to_qkv(self.norm(x)).flatten(2).transpose(1, 2).unsqueeze(1).chunk(3, dim=-1)
        out = F.scaled_dot_product_attention(q, k, v).squeeze(1).transpose(1, 2)
        return self.proj(out.unflatten(-1, x.shape[-2:]))  # type: ignore[no-any-return]

    def forward(self, x: Tensor, cache: MaybeCache = None) -> Tensor:  # noqa: ARG002 - it remembers nothing
        """x [B, C, T, H, W]; frame by frame, since the whole clip at once would only take memory."""
        return x + torch.stack([self._attend(frame) for frame in x.unbind(2)], dim=2)


class Downsample(nn.Module):
    """Halve H and W and, if temporal, the frames after the first."""

    def __init__(self, channels: int, temporal: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, channels, 3, stride=2))
        self.time_conv = nn.Conv3d(channels, channels, (3, 1, 1), stride=(2, 1, 1)) if temporal else None

    def forward(self, x: Tensor, cache: MaybeCache = None) -> Tensor:
        x = _per_frame(self.resample, x)
        if self.time_conv is None:
            return x
        if _is_start(cache):  # the first frame passes as it is, and is what the next group looks back to
            halved = torch.cat([x[:, :, :1], self.time_conv(x)], dim=2) if x.shape[2] > 1 else x
        else:
            assert cache is not None
            halved = self.time_conv(torch.cat([cache.frames[self], x], dim=2))
        if cache is not None:
            cache.frames[self] = x[:, :, -1:].clone()
        return halved


class Upsample(nn.Module):
    """Double H and W and, if temporal, the frames after the first."""

    def __init__(self, channels: int, out_channels: int, temporal: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(
            nn.Upsample(scale_factor=2.0, mode="nearest-exact"), nn.Conv2d(channels, out_channels, 3, padding=1)
        )
        self.time_conv = CausalConv3d(channels, 2 * channels, (3, 1, 1), padding=1) if temporal else None

    def forward(self, x: Tensor, cache: MaybeCache = None) -> Tensor:
        if self.time_conv is not None:
            # The first frame stays single, and the convolution behind it never sees it: zeros stand before frame two.
            lone = 1 if _is_start(cache) else 0
            first, rest = x[:, :, :lone], x[:, :, lone:]
            if rest.shape[2] > 0:
                pairs = self.time_conv(rest, cache).unflatten(1, (2, -1))
                x = torch.cat([first, pairs.permute(0, 2, 3, 1, 4, 5).flatten(2, 3)], dim=2)
        return _per_frame(self.resample, x)


def averaged_shortcut(x: Tensor, out_channels: int, time: int, space: int) -> Tensor:
    """Fold blocks of time x space x space of x [B, C, T, H, W] into channels and average groups to `out_channels`.

    Zeros stand in front of a first frame that has no partner.
    """
    x = F.pad(x, (0, 0, 0, 0, -x.shape[2] % time, 0))
    x = x.unflatten(4, (-1, space)).unflatten(3, (-1, space)).unflatten(2, (-1, time))  # B C T t H h W w
    x = x.permute(0, 1, 3, 5, 7, 2, 4, 6).flatten(1, 4)
    return x.unflatten(1, (out_channels, -1)).mean(2)  # type: ignore[no-any-return]


def duplicated_shortcut(x: Tensor, out_channels: int, time: int, space: int, start: bool) -> Tensor:
    """The reverse: repeat channels of x [B, C, T, H, W] and unfold them into blocks of time x space x space."""
    x = x.repeat_interleave(out_channels * time * space**2 // x.shape[1], dim=1)
    x = x.unflatten(1, (out_channels, time, space, space))  # B C t h w T H W
    x = x.permute(0, 1, 5, 2, 6, 3, 7, 4).flatten(6, 7).flatten(4, 5).flatten(2, 3)
    return x[:, :, time - 1 :] if start else x


class DownStage(nn.Module):
    """Encoder stage of VAE 2.2: residual blocks and a downsampling, beside an averaged shortcut."""

    def __init__(self, in_channels: int, out_channels: int, num_res: int, down: bool, temporal: bool) -> None:
        super().__init__()
        widths = [in_channels] + [out_channels] * num_res
        self.downsamples = nn.ModuleList(ResidualBlock(a, b) for a, b in pairwise(widths))
        if down:
            self.downsamples.append(Downsample(out_channels, temporal))
        self.out_channels, self.time, self.space = out_channels, 2 if temporal else 1, 2 if down else 1

    def forward(self, x: Tensor, cache: MaybeCache = None) -> Tensor:
        shortcut = averaged_shortcut(x, self.out_channels, self.time, self.space)
        for layer in self.downsamples:
            x = layer(x, cache)
        return x + shortcut


class UpStage(nn.Module):
    """Decoder stage of VAE 2.2: residual blocks and an upsampling, beside a duplicated shortcut."""

    def __init__(self, in_channels: int, out_channels: int, num_res: int, up: bool, temporal: bool) -> None:
        super().__init__()
        widths = [in_channels] + [out_channels] * num_res
        self.upsamples = nn.ModuleList(ResidualBlock(a, b) for a, b in pairwise(widths))
        if up:
            self.upsamples.append(Upsample(out_channels, out_channels, temporal))
        self.up, self.out_channels, self.time = up, out_channels, 2 if temporal else 1

    def forward(self, x: Tensor, cache: MaybeCache = None) -> Tensor:
        h = x
        for layer in self.upsamples:
            h = layer(h, cache)
        if not self.up:
            return h
        return h + duplicated_shortcut(x, self.out_channels, self.time, 2, _is_start(cache))


def _middle(channels: int) -> nn.ModuleList:
    return nn.ModuleList(
        [ResidualBlock(channels, channels), FrameAttention(channels), ResidualBlock(channels, channels)]
    )


def _head(in_channels: int, out_channels: int) -> nn.ModuleList:
    return nn.ModuleList(
        [ChannelNorm(in_channels, 3), nn.SiLU(), CausalConv3d(in_channels, out_channels, 3, padding=1)]
    )


class Encoder(nn.Module):
    """Pixels to mean and log-variance of the latents."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = [config.base_dim * m for m in (1, *config.dim_mult)]
        temporal = (*config.temporal_downsample, False)
        last = len(temporal) - 1
        self.conv1 = CausalConv3d(3 * config.pixel_patch**2, widths[0], 3, padding=1)
        self.downsamples = nn.ModuleList()
        for i, (a, b) in enumerate(pairwise(widths)):
            if config.shortcuts:
                self.downsamples.append(DownStage(a, b, config.num_res_blocks, i < last, temporal[i]))
                continue
            self.downsamples.extend(ResidualBlock(a if j == 0 else b, b) for j in range(config.num_res_blocks))
            if i < last:
                self.downsamples.append(Downsample(b, temporal[i]))
        self.middle = _middle(widths[-1])
        self.head = _head(widths[-1], 2 * config.z_dim)

    def forward(self, x: Tensor, cache: MaybeCache = None) -> Tensor:
        return _run(self, self.downsamples, x, cache, middle_first=False)


class Decoder(nn.Module):
    """Latents to pixels."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        mult = config.dim_mult
        widths = [config.decoder_base_dim * m for m in (mult[-1], *reversed(mult))]
        temporal = (*reversed(config.temporal_downsample), False)
        last = len(temporal) - 1
        num_res = config.num_res_blocks + 1
        self.conv1 = CausalConv3d(config.z_dim, widths[0], 3, padding=1)
        self.middle = _middle(widths[0])
        self.upsamples = nn.ModuleList()
        for i, (a, b) in enumerate(pairwise(widths)):
            if config.shortcuts:
                self.upsamples.append(UpStage(a, b, num_res, i < last, temporal[i]))
                continue
            a = a // 2 if i > 0 else a  # upsampling halves the width in VAE 2.1
            self.upsamples.extend(ResidualBlock(a if j == 0 else b, b) for j in range(num_res))
            if i < last:
                self.upsamples.append(Upsample(b, b // 2, temporal[i]))
        self.head = _head(widths[-1], 3 * config.pixel_patch**2)

    def forward(self, x: Tensor, cache: MaybeCache = None) -> Tensor:
        return _run(self, self.upsamples, x, cache, middle_first=True)


def _run(coder: "Encoder | Decoder", stages: nn.ModuleList, x: Tensor, cache: MaybeCache, middle_first: bool) -> Tensor:
    """One chunk through a coder; marks the cache as started."""
    x = coder.conv1(x, cache)
    for layer in [*coder.middle, *stages] if middle_first else [*stages, *coder.middle]:
        x = layer(x, cache)
    norm, silu, conv = coder.head
    x = conv(silu(norm(x)), cache)
    if cache is not None:
        cache.started = True
    return x


def fold_pixels(x: Tensor, side: int) -> Tensor:
    """[B, C, F, H, W] -> [B, C side^2, F, H / side, W / side]; channel order (C, offset in W, offset in H)."""
    x = x.unflatten(4, (-1, side)).unflatten(3, (-1, side))  # B C F H h W w
    return x.permute(0, 1, 6, 4, 2, 3, 5).flatten(1, 3)


def unfold_pixels(x: Tensor, side: int) -> Tensor:
    """The reverse of `fold_pixels`."""
    x = x.unflatten(1, (-1, side, side))  # B C w h F H W
    return x.permute(0, 1, 4, 5, 3, 6, 2).flatten(5, 6).flatten(3, 4)


class WanVAE(nn.Module):
    """Video <-> normalised latents. Runs in the dtype of its weights; statistics and results are float32."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.conv1 = CausalConv3d(2 * config.z_dim, 2 * config.z_dim, 1)
        self.conv2 = CausalConv3d(config.z_dim, config.z_dim, 1)
        self.decoder = Decoder(config)

    def statistics(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the latents, [z, 1, 1, 1]."""
        mean, std = (torch.tensor(v, device=device) for v in (self.config.latent_mean, self.config.latent_std))
        return mean.reshape(-1, 1, 1, 1), std.reshape(-1, 1, 1, 1)

    def moments(self, video: Tensor, cache: MaybeCache = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance [B, z, T, h, w], not normalised, of one chunk of video [B, 3, F, H, W]."""
        x = fold_pixels(video.to(self.conv1.weight.dtype), self.config.pixel_patch)
        mean, log_variance = self.conv1(self.encoder(x, cache)).chunk(2, dim=1)
        return mean, log_variance

    def pixels(self, z: Tensor, cache: MaybeCache = None) -> Tensor:
        """Video [B, 3, F, H, W], not clamped, of one chunk of latents [B, z, T, h, w] that are not normalised."""
        x = self.decoder(self.conv2(z.to(self.conv2.weight.dtype)), cache)
        return unfold_pixels(x, self.config.pixel_patch)

    def encode(self, video: Tensor) -> Tensor:
        """video [B, 3, F, H, W] in [-1, 1], F = 4 n + 1 -> normalised latents [B, z, T, h, w] float32.

        Takes the mean of the posterior, and one group of frames at a time.
        """
        stride = self.config.temporal_stride
        cache = CausalCache()
        chunks = video[:, :, :1], *video[:, :, 1:].split(stride, dim=2)
        mean = torch.cat([self.moments(chunk, cache)[0] for chunk in chunks if chunk.shape[2] > 0], dim=2)
        center, scale = self.statistics(video.device)
        return (mean.float() - center) / scale

    def decode_stream(self, latents: Tensor) -> Iterator[Tensor]:
        """Normalised latents [B, z, T, h, w] -> chunks [B, 3, 1 or 4, H, W] in [-1, 1] float32, in order of time.

        Memory does not grow with T beyond the latents themselves.
        """
        center, scale = self.statistics(latents.device)
        cache = CausalCache()
        for latent in latents.split(1, dim=2):
            yield self.pixels(latent.float() * scale + center, cache).float().clamp(-1, 1)

    def decode(self, latents: Tensor) -> Tensor:
        """Normalised latents [B, z, T, h, w] -> video [B, 3, F, H, W] in [-1, 1] float32."""
        return torch.cat(list(self.decode_stream(latents)), dim=2)
