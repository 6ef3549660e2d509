"""The steps between the convolutions of the video autoencoder, each in one pass over memory.

Activations are frames `[T, H, W, C]`, contiguous: one clip, a frame is one slab of memory, and to cuDNN they are
channels-last. Convolutions leave their bias to whatever reads their result next, which has it in registers anyway;
PyTorch would add it in a pass of its own.

On a GPU with Triton the kernels of `vae_triton` run; the functions called `*_torch` are their twins, right everywhere.
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from wanvideo.kernels.backend import has_kernel

_KERNEL_TYPES: Final = frozenset({torch.float32, torch.bfloat16, torch.float16})
_ALIGNED: Final = 8  # channels: what tensor cores need of 16-bit numbers


def _use_triton(x: Tensor) -> bool:
    return has_kernel(x) and x.dtype in _KERNEL_TYPES


# --- root mean square norm and SiLU ----------------------------------------------------------------------------------


def norm_silu(
    x: Tensor,
    gamma: Tensor,
    *,
    bias: Tensor | None = None,
    out: Tensor | None = None,
    kept: Tensor | None = None,
    silu: bool = True,
) -> Tensor:
    """silu(norm(x + bias) * gamma) over the channels of x [T, H, W, C], computed in float32 and rounded once.

    out: where the result goes. kept: the last frames of it, as many as that has, go there too.
    """
    out = torch.empty_like(x) if out is None else out
    if _use_triton(x):
        from wanvideo.kernels.vae_triton import norm_silu_triton

        norm_silu_triton(x, gamma, bias, out, kept, silu)
        return out
    out.copy_(norm_silu_torch(x, gamma, bias, silu))
    if kept is not None:
        kept.copy_(out[-kept.shape[0] :])
    return out


def norm_silu_torch(x: Tensor, gamma: Tensor, bias: Tensor | None, silu: bool) -> Tensor:
    wide = x.float() if bias is None else x.float() + bias.float()
    scale = wide.square().sum(-1, keepdim=True).clamp_min(1e-24).rsqrt() * x.shape[-1] ** 0.5
    y = wide * scale * gamma.flatten().float()
    return (F.silu(y) if silu else y).to(x.dtype)


# --- sums ------------------------------------------------------------------------------------------------------------


def add_(h: Tensor, x: Tensor, bias: Tensor | None = None) -> Tensor:
    """h += x + bias, both [T, H, W, C]; rounded once."""
    if _use_triton(h):
        from wanvideo.kernels.vae_triton import add_triton_

        add_triton_(h, x, bias)
        return h
    return h.copy_(add_torch(h, x, bias))


def add_torch(h: Tensor, x: Tensor, bias: Tensor | None) -> Tensor:
    wide = _wide(h) + _wide(x)
    return wide if bias is None else wide + _wide(bias)


def add_averaged_(h: Tensor, x: Tensor, *, time: int, space: int) -> Tensor:
    """h += the averaged shortcut of x: h [t, H / space, W / space, C], x [T, H, W, c].

    Blocks of time x space x space are folded into the channels, of which neighbours are averaged. Zeros stand in front
    of a first frame that has no partner.
    """
    if _use_triton(h):
        from wanvideo.kernels.vae_triton import add_averaged_triton_

        add_averaged_triton_(h, x, time, space)
        return h
    return h.copy_(_wide(h) + averaged_torch(x, h.shape[-1], time, space))


def averaged_torch(x: Tensor, channels: int, time: int, space: int) -> Tensor:
    x = F.pad(_wide(x), (0, 0, 0, 0, 0, 0, -x.shape[0] % time, 0))
    x = x.unflatten(2, (-1, space)).unflatten(1, (-1, space)).unflatten(0, (-1, time))  # T t H h W w C
    return x.permute(0, 2, 4, 6, 1, 3, 5).flatten(3).unflatten(3, (channels, -1)).mean(-1)  # type: ignore[no-any-return]


# --- doubling H and W ------------------------------------------------------------------------------------------------


def phase_weight(weight: Tensor) -> Tensor:
    """The kernels [4 O, I, 2, 2] that do on a picture what `weight` [O, I, 3, 3] does on the picture of doubled size.

    Of the nine pixels under the kernel, each stands for one of only 2x2 different ones: a corner of the kernel, or the
    sum of a corner and its neighbours. Which ones depends on the phase, the parity of the row and of the column; phase
    `2 a + b` gives the output channels from `(2 a + b) O`. This takes 4/9 of the work, and the sums are rounded once,
    as the weights themselves were.
    """
    fold = torch.tensor([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], device=weight.device)  # parity, 2, 3
    wide = _wide(weight)
    fold = fold.to(wide.dtype)
    phases = torch.einsum("auk,bvl,oikl->abouvi", fold, fold, wide)
    return phases.flatten(0, 2).to(weight.dtype).permute(0, 3, 1, 2)


def join_phases(
    phases: Tensor,
    bias: Tensor,
    *,
    out: Tensor,
    shortcut: Tensor | None = None,
    time: int = 1,
    first: int = 0,
) -> Tensor:
    """Interleave the four phases [T, H + 1, W + 1, 4 C] into out [T, 2 H, 2 W, C], and add the bias.

    A phase of odd rows begins one row later, one of odd columns one column later.
    shortcut [t, H, W, c]: its duplicated form is added: channels repeated, then unfolded into blocks of time x 2 x 2.
    Frame 0 of `out` is frame `first` of that.
    """
    if _use_triton(phases):
        from wanvideo.kernels.vae_triton import join_phases_triton

        join_phases_triton(phases, bias, out, shortcut, time, first)
        return out
    joined = join_phases_torch(phases) + _wide(bias)
    if shortcut is not None:
        joined += duplicated_torch(shortcut, out.shape[-1], time)[first : first + out.shape[0]]
    return out.copy_(joined)


def join_phases_torch(phases: Tensor) -> Tensor:
    rows = []
    for a, pair in enumerate(_wide(phases).chunk(2, dim=-1)):
        left, right = pair.chunk(2, dim=-1)
        height, width = phases.shape[1] - 1, phases.shape[2] - 1
        rows.append(torch.stack([left[:, a : a + height, :width], right[:, a : a + height, 1:]], dim=3).flatten(2, 3))
    return torch.stack(rows, dim=2).flatten(1, 2)


def duplicated_torch(x: Tensor, channels: int, time: int) -> Tensor:
    x = _wide(x).repeat_interleave(channels * time * 4 // x.shape[-1], dim=-1).unflatten(-1, (channels, time, 2, 2))
    return x.permute(0, 4, 1, 5, 2, 6, 3).flatten(4, 5).flatten(2, 3).flatten(0, 1)


# --- convolutions ----------------------------------------------------------------------------------------------------


def convolve(window: Tensor, weight: Tensor, *, bias: Tensor | None = None, added: Tensor | None = None) -> Tensor:
    """The convolution of window [2 + T, H, W, C] -> [T, H, W, O], plus `added` of that shape, plus bias."""
    if added is None:
        return conv3d(window, weight, bias)
    return add_(conv3d(window, weight), added, bias)


def conv3d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, stride: tuple[int, int, int] = (1, 1, 1)
) -> Tensor:
    """x [T, H, W, C], history included -> [t, H, W, O]; H and W are padded with zeros, T is not."""
    x, weight, bias, channels = _align(x, weight, bias)
    padding = (0, weight.shape[3] // 2, weight.shape[4] // 2)
    # In this order: PyTorch knows the layout by the strides, that of the batch axis included.
    y = F.conv3d(x.unsqueeze(0).permute(0, 4, 1, 2, 3), weight, bias, stride=stride, padding=padding)
    return _frames(y.permute(0, 2, 3, 4, 1).squeeze(0), channels)


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, stride: int = 1, padding: int = 0) -> Tensor:
    """Every frame of x [T, H, W, C] -> [T, h, w, O]."""
    x, weight, bias, channels = _align(x, weight, bias)
    y = F.conv2d(x.permute(0, 3, 1, 2), weight, bias, stride=stride, padding=padding)
    return _frames(y.permute(0, 2, 3, 1), channels)


def _align(x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None, int]:
    """With zeros for the channels that the tensor cores of a GPU want, of the pixels' 3 or 12; how many are meant.

    Only what has too few channels is padded: `F.pad` copies even if there is nothing to add.
    """
    outs, ins = weight.shape[:2]
    more_in, more_out = -ins % _ALIGNED, -outs % _ALIGNED
    if x.device.type == "cpu" or x.dtype.itemsize != 2 or not (more_in or more_out):
        return x, weight, bias, outs
    channels_last = torch.channels_last_3d if weight.dim() == 5 else torch.channels_last
    weight = F.pad(weight, (0, 0) * (weight.dim() - 2) + (0, more_in, 0, more_out))
    bias = F.pad(bias, (0, more_out)) if bias is not None and more_out else bias
    x = F.pad(x, (0, more_in)) if more_in else x
    return x, weight.contiguous(memory_format=channels_last), bias, outs


def _frames(y: Tensor, channels: int) -> Tensor:
    """Contiguous already, if a convolution has kept the layout of its input."""
    return y[..., :channels].contiguous()


def _wide(x: Tensor) -> Tensor:
    """At least float32."""
    return x if x.dtype == torch.float64 else x.float()
