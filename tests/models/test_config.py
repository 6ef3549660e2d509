import pytest
import torch

from wanvideo.models.config import (
    I2V_A14B,
    T2V_1_3B,
    T2V_14B,
    T2V_A14B,
    TI2V_5B,
    UMT5_XXL,
    VAE_2_1,
    VAE_2_2,
    TransformerConfig,
    VAEConfig,
)
from wanvideo.models.text_encoder import UMT5Encoder
from wanvideo.models.transformer import WanTransformer
from wanvideo.models.vae import WanVAE


@pytest.mark.parametrize(
    ("config", "parameters", "tensors"),
    [
        (T2V_A14B, 14_288_491_584, 1095),
        (I2V_A14B, 14_288_901_184, 1095),
        (TI2V_5B, 4_999_787_712, 825),
        (T2V_1_3B, 1_418_996_800, 825),
        (T2V_14B, 14_288_491_584, 1095),
    ],
)
def test_a_transformer_has_the_size_of_the_released_one(
    config: TransformerConfig, parameters: int, tensors: int
) -> None:
    with torch.device("meta"):
        model = WanTransformer(config)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert len(model.state_dict()) == tensors


@pytest.mark.parametrize(
    ("config", "encoder", "decoder", "parameters", "tensors"),
    [
        (VAE_2_1, 53_595_872, 73_295_331, 126_892_531, 194),
        (VAE_2_2, 149_627_776, 555_049_228, 704_688_668, 196),
    ],
)
def test_a_vae_has_the_size_of_the_released_one(
    config: VAEConfig, encoder: int, decoder: int, parameters: int, tensors: int
) -> None:
    with torch.device("meta"):
        model = WanVAE(config)
    assert sum(p.numel() for p in model.encoder.parameters()) == encoder
    assert sum(p.numel() for p in model.decoder.parameters()) == decoder
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert len(model.state_dict()) == tensors


def test_the_text_encoder_has_the_size_of_the_released_one() -> None:
    with torch.device("meta"):
        model = UMT5Encoder(UMT5_XXL)
    assert sum(p.numel() for p in model.parameters()) == 5_680_910_336


def test_strides_and_latent_frames_follow_from_the_architecture() -> None:
    assert (VAE_2_1.spatial_stride, VAE_2_2.spatial_stride) == (8, 16)
    assert [VAE_2_1.latent_frames(f) for f in (1, 5, 81, 121)] == [1, 2, 21, 31]
