"""The names of every tensor of the full-size models, both ways, on the meta device."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch import nn
from transformers import UMT5Config, UMT5EncoderModel

from wanvideo.models import config as arch
from wanvideo.models.config import TransformerConfig, VAEConfig
from wanvideo.models.text_encoder import UMT5Encoder
from wanvideo.models.transformer import WanTransformer
from wanvideo.models.vae import WanVAE
from wanvideo.weights.key_map import KeyMap, text_encoder_keys, transformer_keys, vae_keys

VAE_2_2_OPTIONS: dict[str, Any] = {
    "base_dim": 160,
    "decoder_base_dim": 256,
    "z_dim": 48,
    "is_residual": True,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
    "scale_factor_spatial": 16,
}


def shapes(build: Callable[[], nn.Module]) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in build().state_dict().items()}


def assert_same_both_ways(keys: KeyMap, ours: dict[str, torch.Size], theirs: dict[str, torch.Size]) -> None:
    assert {keys.to_diffusers(name): shape for name, shape in ours.items()} == theirs
    assert {keys.to_official(name): shape for name, shape in theirs.items()} == ours


@pytest.mark.parametrize(
    ("config", "tensors"),
    [(arch.T2V_A14B, 1095), (arch.I2V_A14B, 1095), (arch.TI2V_5B, 825), (arch.T2V_1_3B, 825)],
    ids=["t2v-A14B", "i2v-A14B", "ti2v-5B", "t2v-1.3B"],
)
def test_every_tensor_of_a_transformer_has_its_name_in_diffusers(config: TransformerConfig, tensors: int) -> None:
    theirs = shapes(
        lambda: WanTransformer3DModel(
            num_attention_heads=config.num_heads,
            in_channels=config.in_channels,
            out_channels=config.out_channels,
            ffn_dim=config.ffn_dim,
            num_layers=config.num_layers,
        )
    )
    assert len(theirs) == tensors
    assert_same_both_ways(transformer_keys(config), shapes(lambda: WanTransformer(config)), theirs)


@pytest.mark.parametrize(
    ("config", "options", "tensors"),
    [(arch.VAE_2_1, {}, 194), (arch.VAE_2_2, VAE_2_2_OPTIONS, 196)],
    ids=["2.1", "2.2"],
)
def test_every_tensor_of_a_vae_has_its_name_in_diffusers(
    config: VAEConfig, options: dict[str, Any], tensors: int
) -> None:
    theirs = shapes(lambda: AutoencoderKLWan(**options))
    assert len(theirs) == tensors
    assert_same_both_ways(vae_keys(config), shapes(lambda: WanVAE(config)), theirs)


def test_every_tensor_of_the_text_encoder_has_its_name_in_transformers() -> None:
    config = UMT5Config(vocab_size=256384, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64)
    theirs = shapes(lambda: UMT5EncoderModel(config))
    assert theirs.pop("encoder.embed_tokens.weight") == theirs["shared.weight"]
    assert len(theirs) == 242
    ours = shapes(lambda: UMT5Encoder(arch.UMT5_XXL))
    assert_same_both_ways(text_encoder_keys(arch.UMT5_XXL), ours, theirs)


@pytest.mark.parametrize(
    "name", ["", "blocks", "blocks.40.norm3.weight", "blocks.0.norm1.weight", "img_emb.proj.0.bias"]
)
def test_a_name_of_no_module_has_no_translation(name: str) -> None:
    keys = transformer_keys(arch.T2V_A14B)
    assert keys.to_diffusers(name) is None
    assert keys.to_official(name) is None
