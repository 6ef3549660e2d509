"""Architectures are told from tensors alone, at full size: files of zeros that take no room on the disk."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import nn

from wanvideo.models import config as arch
from wanvideo.models.config import TextEncoderConfig, TransformerConfig, VAEConfig
from wanvideo.models.text_encoder import UMT5Encoder
from wanvideo.models.transformer import WanTransformer
from wanvideo.models.vae import WanVAE
from wanvideo.weights.layout import Config, Layout, Names, Network
from wanvideo.weights.network import open_networks

KNOWN: Mapping[str, Config] = {
    "A14B T2V": arch.T2V_A14B,
    "A14B I2V": arch.I2V_A14B,
    "5B": arch.TI2V_5B,
    "1.3B": arch.T2V_1_3B,
    "VAE 2.1": arch.VAE_2_1,
    "VAE 2.2": arch.VAE_2_2,
    "UMT5": arch.UMT5_XXL,
}
NETWORKS = {
    TransformerConfig: Network.TRANSFORMER,
    VAEConfig: Network.VAE,
    TextEncoderConfig: Network.TEXT_ENCODER,
}


def build(config: Config) -> nn.Module:
    match config:
        case TransformerConfig():
            return WanTransformer(config)
        case VAEConfig():
            return WanVAE(config)
        case TextEncoderConfig():
            return UMT5Encoder(config)


def write_sparse(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """A bfloat16 safetensors file, all holes but the header."""
    entries, end = {}, 0
    for name, shape in shapes.items():
        nbytes = 2 * torch.Size(shape).numel()
        entries[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + nbytes]}
        end += nbytes
    header = json.dumps(entries).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + end)


@pytest.mark.parametrize("name", KNOWN)
def test_every_architecture_of_the_catalogue_is_told_from_its_tensors(name: str, tmp_path: Path) -> None:
    config = KNOWN[name]
    with torch.device("meta"):
        official = {key: tuple(tensor.shape) for key, tensor in build(config).state_dict().items()}
    network = NETWORKS[type(config)]
    for names in (Names.OFFICIAL, Names.DIFFUSERS):
        keys = Layout(network=network, names=names).keys(config)
        path = tmp_path / f"{names}.safetensors"
        write_sparse(path, {keys.to_diffusers(key) or key: shape for key, shape in official.items()})
        (part,) = open_networks(path, KNOWN.values())
        assert part.config == config
        assert part.layout == Layout(network=network, names=names)
        assert part.precision == "bf16"
