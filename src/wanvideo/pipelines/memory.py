"""How much device memory a model needs: estimates from sizes alone. No torch."""

import math
from dataclasses import dataclass
from typing import Any

from wanvideo.pipelines.size import Size
from wanvideo.weights.folder import ModelFolder
from wanvideo.weights.network import NetworkPart
from wanvideo.weights.stored import QUANTISED

# Of a float32 decode with the official autoencoders: 8.8 GiB at 832x480 (2.1), 21 GiB at 1280x704 (2.2), both measured
# on an H100 with diffusers 0.42. Memory does not grow with the number of frames.
_DECODE_BYTES_PER_PIXEL = 25_000
# Per video token while denoising: float32 tensors of the width of the model, and 16-bit ones of its feed-forward.
_WIDE_TENSORS, _FFN_TENSORS = 8, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Bytes of device memory that one request needs, part by part."""

    text_encoder: int
    transformers: tuple[int, ...]
    vae: int
    denoising: int  # beside the transformer
    decoding: int  # beside the autoencoder

    @property
    def together(self) -> int:
        """With all networks on the device at once."""
        weights = self.text_encoder + sum(self.transformers) + self.vae
        return weights + max(self.denoising, self.decoding)

    @property
    def in_turn(self) -> int:
        """With only the network that is at work on the device."""
        return max(self.text_encoder, max(self.transformers) + self.denoising, self.vae + self.decoding)


def footprint(
    folder: ModelFolder, size: Size, frames: int, *, weight_bytes: int = 2, vae_weight_bytes: int = 4
) -> Footprint:
    """An estimate for one video. `weight_bytes` of one number: 2 for bfloat16, 4 for float32."""
    config, vae = folder.transformers[0].config, folder.vae.config
    cells = size.area // vae.spatial_stride**2
    tokens = vae.latent_frames(frames) * cells // math.prod(config.patch)
    return Footprint(
        text_encoder=weights_in_memory(folder.text_encoder, weight_bytes),
        transformers=tuple(weights_in_memory(part, weight_bytes) for part in folder.transformers),
        vae=weights_in_memory(folder.vae, vae_weight_bytes),
        denoising=tokens * (_WIDE_TENSORS * 4 * config.dim + _FFN_TENSORS * 2 * config.ffn_dim),
        decoding=size.area * _DECODE_BYTES_PER_PIXEL * vae_weight_bytes // 4,
    )


def weights_in_memory(part: NetworkPart[Any], weight_bytes: int) -> int:
    """Bytes of a loaded network: what is stored quantised stays so, and one weight at a time is decoded beside it."""
    tensors = [tensor for file in part.files for tensor in file.tensors.values()]
    kept = sum(tensor.nbytes for tensor in tensors if tensor.dtype in QUANTISED)
    others = sum(math.prod(tensor.shape) for tensor in tensors if tensor.dtype not in QUANTISED)
    decoded = max((math.prod(tensor.shape) for tensor in tensors if tensor.dtype in QUANTISED), default=0)
    return kept + (others + decoded) * weight_bytes


def count_weights(part: NetworkPart[Any]) -> int:
    """How many numbers a network on disk holds."""
    return sum(math.prod(tensor.shape) for file in part.files for tensor in file.tensors.values())
