"""Which network a file holds and how it names the tensors, told from the names alone. No torch.

The same weights are published under the official names, under those of Diffusers, transformers and llama.cpp, with and
without the prefixes that ComfyUI puts before the networks of a checkpoint.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from wanvideo.models.config import TextEncoderConfig, TransformerConfig, VAEConfig
from wanvideo.weights.key_map import (
    TEXT_ENCODER_ALIASES,
    KeyMap,
    llama_text_encoder_keys,
    text_encoder_keys,
    transformer_keys,
    vae_keys,
)

Config: TypeAlias = TransformerConfig | VAEConfig | TextEncoderConfig


class Network(StrEnum):
    TRANSFORMER = "transformer"
    VAE = "vae"
    TEXT_ENCODER = "text encoder"


class Names(StrEnum):
    """Whose names the tensors have."""

    OFFICIAL = "official"
    DIFFUSERS = "diffusers"  # for the text encoder: those of transformers
    LLAMA = "llama.cpp"  # of the text encoder in GGUF files


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a file names the tensors of one network."""

    network: Network
    names: Names = Names.DIFFUSERS
    prefix: str = ""  # before every name: "", "diffusion_model.", "model.diffusion_model.", ...

    def keys(self, config: Config) -> KeyMap:
        """The names without the prefix, for one architecture, and the official ones."""
        match config:
            case TextEncoderConfig() if self.names is Names.LLAMA:
                return llama_text_encoder_keys(config)
            case TransformerConfig():
                keys = transformer_keys(config)
            case VAEConfig():
                keys = vae_keys(config)
            case TextEncoderConfig():
                keys = text_encoder_keys(config)
        return keys.official() if self.names is Names.OFFICIAL else keys

    @property
    def aliases(self) -> Mapping[str, str]:
        """Second names of tensors, and the first, both without the prefix."""
        is_transformers = self.network is Network.TEXT_ENCODER and self.names is Names.DIFFUSERS
        return TEXT_ENCODER_ALIASES if is_transformers else {}


# One tensor that each network has under exactly one name.
_SIGNS: Final[Mapping[str, tuple[Network, Names]]] = {
    "head.modulation": (Network.TRANSFORMER, Names.OFFICIAL),
    "condition_embedder.time_proj.weight": (Network.TRANSFORMER, Names.DIFFUSERS),
    "decoder.head.0.gamma": (Network.VAE, Names.OFFICIAL),
    "decoder.norm_out.gamma": (Network.VAE, Names.DIFFUSERS),
    "blocks.0.pos_embedding.embedding.weight": (Network.TEXT_ENCODER, Names.OFFICIAL),
    "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight": (Network.TEXT_ENCODER, Names.DIFFUSERS),
    "enc.blk.0.attn_rel_b.weight": (Network.TEXT_ENCODER, Names.LLAMA),
}


def recognise(tensors: Iterable[str]) -> tuple[Layout, ...]:
    """The networks in a file with tensors of these names: none, one, or several in an all-in-one checkpoint."""
    return tuple(sorted(_found(tensors), key=lambda layout: list(Network).index(layout.network)))


def _found(tensors: Iterable[str]) -> Iterator[Layout]:
    for tensor in tensors:
        for sign, (network, names) in _SIGNS.items():
            prefix = tensor.removesuffix(sign)
            if tensor.endswith(sign) and (not prefix or prefix.endswith(".")):
                yield Layout(network=network, names=names, prefix=prefix)
