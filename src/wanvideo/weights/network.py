"""One network on disk, in any layout: what it is, told from its tensors. No torch, nothing but headers is read."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Generic, TypeAlias, TypeVar

from wanvideo.errors import ModelMismatch
from wanvideo.models.config import TextEncoderConfig, TransformerConfig, VAEConfig
from wanvideo.weights.checkpoint import read_checkpoint
from wanvideo.weights.headers import WeightFile, read_weights, some
from wanvideo.weights.layout import Config, Layout, Network, recognise
from wanvideo.weights.stored import sort_out

ConfigT = TypeVar("ConfigT", TransformerConfig, VAEConfig, TextEncoderConfig)

INDEX_SUFFIX: Final = ".safetensors.index.json"
SHARD: Final = re.compile(r"-\d{5}-of-\d{5}\.safetensors$")
_PRECISIONS: Final[Mapping[str, str]] = {
    "F64": "fp64", "F32": "fp32", "F16": "fp16", "BF16": "bf16", "F8_E4M3": "fp8", "F8_E5M2": "fp8", "I8": "int8",
}  # fmt: skip
# `general.file_type` of GGUF, where one type is mixed with others in several ways. Source: llama.h.
_GGUF_MIXES: Final[Mapping[str, str]] = {
    "11": "q3_k_s", "12": "q3_k_m", "13": "q3_k_l", "14": "q4_k_s", "15": "q4_k_m", "16": "q5_k_s", "17": "q5_k_m",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPart(Generic[ConfigT]):
    """One network on disk."""

    path: Path  # of the file, or of the folder with several
    config: ConfigT
    files: tuple[WeightFile, ...]  # with the tensors of this network alone
    layout: Layout

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors, as stored."""
        return sum(file.nbytes for file in self.files)

    @property
    def precision(self) -> str:
        """How most of its numbers are stored, in short: "fp32", "bf16", "fp8", "q4_k_m", ..."""
        numbers: Counter[str] = Counter()
        for file in self.files:
            for tensor in file.tensors.values():
                numbers[tensor.dtype] += math.prod(tensor.shape)
        dtype = numbers.most_common(1)[0][0] if numbers else "F32"
        mix = _GGUF_MIXES.get(self.files[0].metadata.get("general.file_type", ""), "") if self.files else ""
        return mix if mix.startswith(dtype.lower()) else _PRECISIONS.get(dtype, dtype.lower())


AnyPart: TypeAlias = NetworkPart[TransformerConfig] | NetworkPart[VAEConfig] | NetworkPart[TextEncoderConfig]


def open_networks(path: Path, known: Iterable[Config]) -> tuple[AnyPart, ...]:
    """The networks in a checkpoint file, or in the shards that an index lists.

    Their architecture is that one of `known` which has such tensors. Empty if these are weights of something else.
    Raises ModelMismatch if it is a network of our kinds but none of `known`; the other errors of models on disk.
    """
    files = _files(path)
    layouts = recognise(name for file in files for name in file.tensors)
    return tuple(_part(path, _own(files, layout, layouts), layout, known) for layout in layouts)


def _files(path: Path) -> tuple[WeightFile, ...]:
    if path.name.endswith(INDEX_SUFFIX):
        return read_weights(path.parent, path.name.removesuffix(INDEX_SUFFIX))
    return (read_checkpoint(path),)


def _own(files: Sequence[WeightFile], layout: Layout, all_layouts: Sequence[Layout]) -> tuple[WeightFile, ...]:
    """The files with the tensors of one network, and of the first, with those that no network claims."""
    others = tuple(other.prefix for other in all_layouts if other.prefix and other != layout)
    is_first = layout == all_layouts[0]

    def is_own(name: str) -> bool:
        return not name.startswith(others) if is_first or not layout.prefix else name.startswith(layout.prefix)

    return tuple(
        replace(file, tensors={name: info for name, info in file.tensors.items() if is_own(name)}) for file in files
    )


def _part(path: Path, files: tuple[WeightFile, ...], layout: Layout, known: Iterable[Config]) -> AnyPart:
    config = _architecture(path, files, layout, known)
    unknown = sort_out(files, layout, config).unknown
    if unknown:
        raise ModelMismatch(
            f"{path} holds {len(unknown)} tensors ({some(unknown)}) that no Wan {layout.network} has which we can run: "
            "it is another model, or needs other files of the same author"
        )
    match config:
        case TransformerConfig():
            return NetworkPart(path=path, config=config, files=files, layout=layout)
        case VAEConfig():
            return NetworkPart(path=path, config=config, files=files, layout=layout)
        case TextEncoderConfig():
            return NetworkPart(path=path, config=config, files=files, layout=layout)


def _architecture(path: Path, files: Sequence[WeightFile], layout: Layout, known: Iterable[Config]) -> Config:
    shapes = {name: info.shape for file in files for name, info in file.tensors.items()}
    measured: dict[str, tuple[int, ...] | None] = {}
    for config in known:
        if _network_of(config) is not layout.network:
            continue
        keys = layout.keys(config)
        wanted = {layout.prefix + (keys.to_diffusers(name) or name): shape for name, shape in _marks(config).items()}
        found = {name: shapes.get(name) for name in wanted}
        if found == wanted:
            return config
        measured |= {name: shape for name, shape in found.items() if shape is not None}
    seen = ", ".join(f"{name} {list(shape)}" for name, shape in list(measured.items())[:3] if shape is not None)
    raise ModelMismatch(
        f"{path} holds a {layout.network} of no architecture that we know ({seen or 'none of its usual tensors'}): "
        "it is another model, or only a part of one"
    )


def _network_of(config: Config) -> Network:
    match config:
        case TransformerConfig():
            return Network.TRANSFORMER
        case VAEConfig():
            return Network.VAE
        case TextEncoderConfig():
            return Network.TEXT_ENCODER


def _marks(config: Config) -> dict[str, tuple[int, ...]]:
    """Shapes, by official name, that together tell an architecture from every other."""
    match config:
        case TransformerConfig():
            dim, last = config.dim, config.num_layers - 1
            return {
                "patch_embedding.weight": (dim, config.in_channels, *config.patch),
                "text_embedding.0.weight": (dim, config.text_dim),
                "time_embedding.0.weight": (dim, config.freq_dim),
                f"blocks.{last}.ffn.0.weight": (config.ffn_dim, dim),
                "head.head.weight": (math.prod(config.patch) * config.out_channels, dim),
            }
        case VAEConfig():
            pixels, widest = 3 * config.pixel_patch**2, config.dim_mult[-1]
            return {
                "conv2.weight": (config.z_dim, config.z_dim, 1, 1, 1),
                "encoder.conv1.weight": (config.base_dim, pixels, 3, 3, 3),
                "decoder.conv1.weight": (config.decoder_base_dim * widest, config.z_dim, 3, 3, 3),
            }
        case TextEncoderConfig():
            return {
                "token_embedding.weight": (config.vocab_size, config.dim),
                f"blocks.{config.num_layers - 1}.attn.q.weight": (config.num_heads * config.head_dim, config.dim),
                "blocks.0.ffn.fc1.weight": (config.ffn_dim, config.dim),
                "blocks.0.pos_embedding.embedding.weight": (config.num_buckets, config.num_heads),
            }
