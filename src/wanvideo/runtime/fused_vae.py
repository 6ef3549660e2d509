"""The video autoencoder as a GPU wants it: the network of `models.vae` with the same weights, in fewer passes.

- Activations are frames [T, H, W, C]. What a causal convolution reads is written where it reads it: the norm and SiLU
  before it write into a window that begins with the two frames from before, and no other frame is copied.
- Each stage takes the frames that the stage before made, one by one, and makes more and larger ones; so the widest
  tensors hold one frame, however many frames one latent frame stands for.
- A convolution behind a doubling of H and W runs on the small picture: see `kernels.vae.phase_weight`.

What is computed is described in `models.vae`, whose results these are but for rounding.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wanvideo.kernels.vae import (
    add_,
    add_averaged_,
    conv2d,
    conv3d,
    convolve,
    join_phases,
    norm_silu,
    phase_weight,
)
from wanvideo.models.vae import (
    CausalConv3d,
    ChannelNorm,
    Decoder,
    Downsample,
    DownStage,
    Encoder,
    FrameAttention,
    ResidualBlock,
    Upsample,
    UpStage,
    WanVAE,
    fold_pixels,
    unfold_pixels,
)


def prepare(module: nn.Module) -> None:
    """Lay out the weights of all convolutions channels-last, in place; what is so already costs nothing.

    Otherwise every convolution would do it every time. The numbers stay the same.
    """
    layouts = {nn.Conv3d: torch.channels_last_3d, nn.Conv2d: torch.channels_last}
    for layer in module.modules():
        for kind, layout in layouts.items():
            if isinstance(layer, kind) and not layer.weight.is_contiguous(memory_format=layout):
                layer.weight.data = layer.weight.data.contiguous(memory_format=layout)


def decoder(vae: WanVAE, device: torch.device) -> Callable[[Tensor], Iterator[Tensor]]:
    """`vae.decode_stream`, in the way that is faster on `device`."""
    return FusedDecoder(vae).stream if device.type == "cuda" else vae.decode_stream


def encode(vae: WanVAE, video: Tensor) -> Tensor:
    """`vae.encode`, in the way that is faster where that is. A video elsewhere gets there chunk by chunk."""
    device = vae.conv1.weight.device
    return FusedEncoder(vae).encode(video) if device.type == "cuda" else vae.encode(video.to(device))


# Of the frames [T, H, W, C] behind the middle (level 0) and behind each doubling of H and W (1, 2, ...), a part.
Crop: TypeAlias = Callable[[int, Tensor], Tensor]


@dataclass(slots=True)
class _Past:
    """The last frames [n, H, W, C] that each temporal layer of one coder has seen of one clip."""

    frames: dict[nn.Module, Tensor] = field(default_factory=dict)

    def window(self, conv: CausalConv3d, x: Tensor) -> Tensor:
        """x [T, H, W, C] behind the two frames before it: what `conv` needs, [2 + T, H, W, C]."""
        window, kept = self._room(conv, x)
        window[conv.history :].copy_(x)
        kept.copy_(x[-kept.shape[0] :])
        return window

    def norm_silu(self, norm: ChannelNorm, x: Tensor, bias: Tensor | None, conv: CausalConv3d) -> Tensor:
        """The same for silu(norm(x + bias))."""
        window, kept = self._room(conv, x)
        norm_silu(x, norm.gamma, bias=bias, out=window[conv.history :], kept=kept)
        return window

    def _room(self, conv: CausalConv3d, x: Tensor) -> tuple[Tensor, Tensor]:
        """A window that begins with the past, and the part of the past that is to become the last frames of x."""
        history, new = conv.history, min(conv.history, x.shape[0])
        count, height, width, channels = x.shape
        past = self.frames.get(conv)
        if past is None:
            past = self.frames[conv] = x.new_zeros(history, height, width, channels)
        window = x.new_empty(history + count, height, width, channels)
        window[:history].copy_(past)
        past[: history - new].copy_(window[new:history])
        return window, past[history - new :]


def _block(block: ResidualBlock, x: Tensor, past: _Past) -> Tensor:
    """A residual block; the first convolution's bias is added by the second norm, the second's by the sum."""
    norm1, _, conv1, norm2, _, _, conv2 = block.residual
    assert isinstance(norm1, ChannelNorm)
    assert isinstance(norm2, ChannelNorm)
    assert isinstance(conv1, CausalConv3d)
    assert isinstance(conv2, CausalConv3d)
    h = convolve(past.norm_silu(norm1, x, None, conv1), conv1.weight)
    window = past.norm_silu(norm2, h, conv1.bias, conv2)
    del h
    if isinstance(block.shortcut, CausalConv3d):
        x = F.linear(x, block.shortcut.weight.flatten(1), block.shortcut.bias)
    return convolve(window, conv2.weight, bias=conv2.bias, added=x)


def _attention(layer: FrameAttention, x: Tensor) -> Tensor:
    frames, height, width, channels = x.shape
    normed = norm_silu(x, layer.norm.gamma, silu=False).reshape(frames, 1, height * width, channels)
    q, k, v = F.linear(normed, layer.to_qkv.weight.flatten(1), layer.to_qkv.bias).chunk(3, dim=-1)
    out = F.scaled_dot_product_attention(q, k, v).reshape(x.shape)
    return add_(F.linear(out, layer.proj.weight.flatten(1)), x, layer.proj.bias)


def _middle(coder: Encoder | Decoder, x: Tensor, past: _Past) -> Tensor:
    for layer in coder.middle:
        if isinstance(layer, FrameAttention):
            x = _attention(layer, x)
        else:
            assert isinstance(layer, ResidualBlock)
            x = _block(layer, x, past)
    return x


def _head(coder: Encoder | Decoder, x: Tensor, past: _Past) -> Tensor:
    norm, _, conv = coder.head
    assert isinstance(norm, ChannelNorm)
    assert isinstance(conv, CausalConv3d)
    return convolve(past.norm_silu(norm, x, None, conv), conv.weight, bias=conv.bias)


def _picture_conv(layer: Upsample | Downsample) -> nn.Conv2d:
    """The 2-D convolution of what doubles or halves H and W."""
    conv = layer.resample[1]
    assert isinstance(conv, nn.Conv2d)
    return conv


# --- decoding --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _UpStage:
    """Residual blocks, and what doubles the picture behind them, if it is doubled."""

    blocks: list[ResidualBlock]
    up: Upsample | None
    weight: Tensor | None  # of the convolution behind the doubling, for its four phases
    shortcut: bool

    @property
    def time(self) -> int:
        return 2 if self.up is not None and self.up.time_conv is not None else 1


def _up_stages(decoder: Decoder) -> Iterator[_UpStage]:
    blocks: list[ResidualBlock] = []
    layers = chain.from_iterable(
        stage.upsamples if isinstance(stage, UpStage) else (stage,) for stage in decoder.upsamples
    )
    shortcut = isinstance(decoder.upsamples[0], UpStage)
    for layer in layers:
        if isinstance(layer, Upsample):
            yield _UpStage(blocks, layer, phase_weight(_picture_conv(layer).weight), shortcut)
            blocks = []
        else:
            assert isinstance(layer, ResidualBlock)
            blocks.append(layer)
    yield _UpStage(blocks, None, None, shortcut)


class FusedDecoder:
    """Decodes clips with the weights of one autoencoder, which it shares."""

    def __init__(self, vae: WanVAE, *, crop: Crop = lambda _, x: x) -> None:
        """crop: what to go on with of the frames at each level."""
        prepare(vae.decoder)
        self.vae, self.crop = vae, crop
        self.stages = list(_up_stages(vae.decoder))

    def stream(self, latents: Tensor) -> Iterator[Tensor]:
        """Normalised latents [B, z, T, h, w] -> chunks [B, 3, 1 or 4, H, W] in [-1, 1] float32, in order of time."""
        for chunks in zip(*(self._clip(clip) for clip in latents), strict=True):
            yield torch.stack(chunks) if len(chunks) > 1 else chunks[0].unsqueeze(0)

    @torch.no_grad()
    def _clip(self, latents: Tensor) -> Iterator[Tensor]:
        """One clip of latents [z, T, h, w] -> chunks [3, 1 or 4, H, W]."""
        center, scale = self.vae.statistics(latents.device)
        conv, config = self.vae.conv2, self.vae.config
        z = (latents.float() * scale + center).permute(1, 2, 3, 0).to(conv.weight.dtype)
        z = F.linear(z, conv.weight.flatten(1), conv.bias)
        wanted, ready = 1, list[Tensor]()
        for frames in self._frames(z):
            pixels = unfold_pixels(frames.permute(3, 0, 1, 2).unsqueeze(0), config.pixel_patch)
            ready.append(pixels.squeeze(0).float().clamp_(-1, 1))
            if len(ready) == wanted:
                yield torch.cat(ready, dim=1)
                wanted, ready = config.temporal_stride, []

    def _frames(self, z: Tensor) -> Iterator[Tensor]:
        """z [T, h, w, C] -> the decoder's output, frame by frame."""
        decoder, past = self.vae.decoder, _Past()
        x: Iterable[Tensor] = (self.crop(0, self._small(latent, past)) for latent in z.split(1))
        for level, stage in enumerate(self.stages, start=1):
            x = self._stage(stage, level, x, past)
        for frames in x:
            made = _head(decoder, frames, past)
            del frames
            yield made

    def _small(self, latent: Tensor, past: _Past) -> Tensor:
        """A latent frame [1, h, w, C] through the first convolution and the middle."""
        conv = self.vae.decoder.conv1
        return _middle(self.vae.decoder, conv3d(past.window(conv, latent), conv.weight, conv.bias), past)

    def _stage(self, stage: _UpStage, level: int, source: Iterable[Tensor], past: _Past) -> Iterator[Tensor]:
        """Frames [1, H, W, C] through one stage, to `level`.

        Nothing that has been handed on is kept here, or the memory would not be free.
        """
        start = True
        for h in source:
            origin = [h] if stage.shortcut and stage.up is not None else []
            for block in stage.blocks:
                h = _block(block, h, past)
            if stage.up is None:
                made = [h]
                del h
                yield made.pop()
                continue
            small = _doubled_in_time(stage.up, h, start, past)
            del h
            place = stage.time - len(small)  # the first frame of all is the last of its two
            while small:
                made = [self.crop(level, _doubled(stage, small.pop(0), origin[0] if origin else None, place))]
                place += 1
                if not small:
                    origin.clear()
                yield made.pop()
            start = False


def _doubled(stage: _UpStage, frame: Tensor, shortcut: Tensor | None, place: int) -> Tensor:
    """frame [1, H, W, C] -> [1, 2 H, 2 W, C]; `place` of those that are made of one in time."""
    assert stage.up is not None
    assert stage.weight is not None
    bias = _picture_conv(stage.up).bias
    assert bias is not None
    _, height, width, _ = frame.shape
    joined = frame.new_empty(1, 2 * height, 2 * width, bias.shape[0])
    phases = conv2d(frame, stage.weight, padding=1)
    join_phases(phases, bias, out=joined, shortcut=shortcut, time=stage.time, first=place)
    return joined


def _doubled_in_time(up: Upsample, h: Tensor, start: bool, past: _Past) -> list[Tensor]:
    """A frame h [1, H, W, C] -> the frames, as many, whose H and W are to be doubled; see `Upsample`."""
    if up.time_conv is None or start:
        return [h]
    conv = up.time_conv
    assert conv.bias is not None
    window = past.window(conv, h)
    return [conv3d(window, w, b) for w, b in zip(conv.weight.chunk(2), conv.bias.chunk(2), strict=True)]


# --- encoding --------------------------------------------------------------------------------------------------------


class FusedEncoder:
    """Encodes clips with the weights of one autoencoder, which it shares."""

    def __init__(self, vae: WanVAE) -> None:
        prepare(vae.encoder)
        self.vae = vae

    @torch.no_grad()
    def encode(self, video: Tensor) -> Tensor:
        """video [B, 3, F, H, W] in [-1, 1], F = 4 n + 1 -> normalised latents [B, z, T, h, w] float32."""
        center, scale = self.vae.statistics(self.vae.conv1.weight.device)
        return torch.stack([(self._clip(clip).float() - center) / scale for clip in video])

    def _clip(self, video: Tensor) -> Tensor:
        """One clip [3, F, H, W] -> the mean of its latents [z, T, h, w]."""
        config, conv, past = self.vae.config, self.vae.conv1, _Past()
        latents = []
        for chunk in (video[:, :1], *video[:, 1:].split(config.temporal_stride, dim=1)):
            if chunk.shape[1] == 0:
                continue
            pixels = fold_pixels(chunk.to(conv.weight.device, conv.weight.dtype).unsqueeze(0), config.pixel_patch)
            x = self._chunk(pixels.squeeze(0).permute(1, 2, 3, 0).contiguous(), past)
            latents.append(F.linear(x, conv.weight.flatten(1), conv.bias)[..., : config.z_dim])
        return torch.cat(latents).permute(3, 0, 1, 2)

    def _chunk(self, x: Tensor, past: _Past) -> Tensor:
        """Folded pixels [1 or 4, H, W, C] -> moments [1, h, w, 2 z]."""
        encoder = self.vae.encoder
        x = conv3d(past.window(encoder.conv1, x), encoder.conv1.weight, encoder.conv1.bias)
        for layer in encoder.downsamples:
            if isinstance(layer, DownStage):
                h = x
                for inner in layer.downsamples:
                    h = _down(inner, h, past)
                x = add_averaged_(h, x, time=layer.time, space=layer.space)
                del h
            else:
                x = _down(layer, x, past)
        return _head(encoder, _middle(encoder, x, past), past)


def _down(layer: nn.Module, x: Tensor, past: _Past) -> Tensor:
    if isinstance(layer, ResidualBlock):
        return _block(layer, x, past)
    assert isinstance(layer, Downsample)
    conv = _picture_conv(layer)
    x = conv2d(F.pad(x, (0, 0, 0, 1, 0, 1)), conv.weight, conv.bias, stride=2)
    if layer.time_conv is None:
        return x
    before = past.frames.get(layer)
    past.frames[layer] = x[-1:].clone()
    if before is None:  # the first frame passes as it is
        assert x.shape[0] == 1
        return x
    return conv3d(torch.cat([before, x]), layer.time_conv.weight, layer.time_conv.bias, stride=(2, 1, 1))
