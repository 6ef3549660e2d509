"""The config.json files of a Diffusers repository -> architectures. No torch.

A key that is missing means the default of the class that the file names, as in diffusers and transformers. A value that
describes something these networks do not do is refused: a wrong picture is worse than an error.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from wanvideo.errors import ModelMismatch
from wanvideo.models.config import VAE_2_1, TextEncoderConfig, TransformerConfig, VAEConfig
from wanvideo.weights.headers import read_json

_LARGEST: Final = 1 << 20  # of any width or count; more is a damaged file
_MOST_LAYERS: Final = 1024

# What a key must say, if it is there: our networks know no other way.
_TRANSFORMER_FIXED: Final[Mapping[str, object]] = {
    "_class_name": "WanTransformer3DModel",
    "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads",
    "image_dim": None,  # with a number: the CLIP image branch of Wan 2.1 I2V
    "added_kv_proj_dim": None,
    "pos_embed_seq_len": None,
}
_VAE_FIXED: Final[Mapping[str, object]] = {
    "_class_name": "AutoencoderKLWan",
    "attn_scales": [],
    "quantization_config": None,
}
_TEXT_ENCODER_FIXED: Final[Mapping[str, object]] = {
    "model_type": "umt5",
    "feed_forward_proj": "gated-gelu",
}


# Beside float8 weights that we wrote ourselves. Others refuse a method that they do not know, as they should.
FP8_ROWS: Final[Mapping[str, object]] = {"quant_method": "wanvideo", "format": "float8_e4m3fn", "scales": "row"}
INT8_ROWS: Final[Mapping[str, object]] = {**FP8_ROWS, "format": "int8"}


def read_transformer_config(path: Path) -> TransformerConfig:
    """Raises ModelMismatch if the file describes another network; so do the other two."""
    f = _Fields(path, read_json(path))
    f.require(_TRANSFORMER_FIXED)
    f.check("quantization_config", f.values.get("quantization_config") in (None, FP8_ROWS, INT8_ROWS), "null")
    patch = f.integers("patch_size", (1, 2, 2))
    head_dim = f.integer("attention_head_dim", 128)
    f.check("patch_size", patch == (1, 2, 2), "[1, 2, 2]")
    f.check("attention_head_dim", head_dim % 2 == 0 and head_dim >= 6, "an even number from 6")
    in_channels = f.integer("in_channels", 16)
    out_channels = f.integer("out_channels", 16)
    # With an image: noise, four mask channels and the latents of the known frames.
    legal = (out_channels, 2 * out_channels + 4)
    f.check("in_channels", in_channels in legal, f"{legal[0]} or {legal[1]}, since out_channels is {out_channels}")
    freq_dim = f.integer("freq_dim", 256)
    f.check("freq_dim", freq_dim % 2 == 0, "an even number")
    return TransformerConfig(
        in_channels=in_channels,
        out_channels=out_channels,
        num_heads=f.integer("num_attention_heads", 40),
        num_layers=f.integer("num_layers", 40, _MOST_LAYERS),
        ffn_dim=f.integer("ffn_dim", 13824),
        head_dim=head_dim,
        text_dim=f.integer("text_dim", 4096),
        freq_dim=freq_dim,
        patch=(1, 2, 2),
        eps=f.number("eps", 1e-6),
    )


def read_vae_config(path: Path) -> VAEConfig:
    f = _Fields(path, read_json(path))
    f.require(_VAE_FIXED)
    base_dim = f.integer("base_dim", 96)
    z_dim = f.integer("z_dim", 16)
    temporal = f.flags("temperal_downsample", (False, True, True))  # spelled so in diffusers
    dim_mult = f.integers("dim_mult", (1, 2, 4, 4))
    f.check("dim_mult", len(dim_mult) == len(temporal) + 1, f"{len(temporal) + 1} numbers")
    mean = f.numbers("latents_mean", VAE_2_1.latent_mean)
    std = f.numbers("latents_std", VAE_2_1.latent_std)
    f.check("latents_mean", len(mean) == z_dim, f"{z_dim} numbers, since z_dim is {z_dim}")
    f.check("latents_std", len(std) == z_dim and min(std) > 0, f"{z_dim} positive numbers, since z_dim is {z_dim}")
    config = VAEConfig(
        z_dim=z_dim,
        base_dim=base_dim,
        decoder_base_dim=f.integer("decoder_base_dim", base_dim),
        latent_mean=mean,
        latent_std=std,
        dim_mult=dim_mult,
        num_res_blocks=f.integer("num_res_blocks", 2, _MOST_LAYERS),
        temporal_downsample=temporal,
        pixel_patch=f.integer("patch_size", 1),
        shortcuts=f.flag("is_residual", False),
    )
    pixels = 3 * config.pixel_patch**2
    for key, default, derived in (
        ("in_channels", 3, pixels),
        ("out_channels", 3, pixels),
        ("scale_factor_spatial", 8, config.spatial_stride),
        ("scale_factor_temporal", 4, config.temporal_stride),
    ):
        f.check(key, f.integer(key, default) == derived, f"{derived}, as the other values have it")
    return config


def read_text_encoder_config(path: Path) -> TextEncoderConfig:
    f = _Fields(path, read_json(path))
    f.require(_TEXT_ENCODER_FIXED)
    f.check("quantization_config", f.values.get("quantization_config") in (None, FP8_ROWS, INT8_ROWS), "null")
    num_buckets = f.integer("relative_attention_num_buckets", 32)
    max_distance = f.integer("relative_attention_max_distance", 128)
    f.check("relative_attention_num_buckets", num_buckets % 4 == 0, "a multiple of 4")
    f.check("relative_attention_max_distance", max_distance > num_buckets // 4, f"more than {num_buckets // 4}")
    return TextEncoderConfig(
        dim=f.integer("d_model", 512),
        num_layers=f.integer("num_layers", 8, _MOST_LAYERS),
        num_heads=f.integer("num_heads", 6),
        head_dim=f.integer("d_kv", 64),
        ffn_dim=f.integer("d_ff", 1024),
        vocab_size=f.integer("vocab_size", 250112),
        num_buckets=num_buckets,
        max_distance=max_distance,
        eps=f.number("layer_norm_epsilon", 1e-6),
    )


def config_json(config: TransformerConfig | VAEConfig | TextEncoderConfig) -> dict[str, Any]:
    """The config.json of an architecture: what the functions above, diffusers and transformers read back."""
    match config:
        case TransformerConfig():
            return {
                **_TRANSFORMER_FIXED,
                "patch_size": config.patch,
                "num_attention_heads": config.num_heads,
                "attention_head_dim": config.head_dim,
                "in_channels": config.in_channels,
                "out_channels": config.out_channels,
                "text_dim": config.text_dim,
                "freq_dim": config.freq_dim,
                "ffn_dim": config.ffn_dim,
                "num_layers": config.num_layers,
                "eps": config.eps,
                "rope_max_seq_len": 1024,
            }
        case VAEConfig():
            pixels = 3 * config.pixel_patch**2
            of_second_kind = {"is_residual": True, "patch_size": config.pixel_patch} if config.shortcuts else {}
            return {
                "_class_name": _VAE_FIXED["_class_name"],
                "attn_scales": [],
                "base_dim": config.base_dim,
                "decoder_base_dim": config.decoder_base_dim,
                "z_dim": config.z_dim,
                "dim_mult": config.dim_mult,
                "num_res_blocks": config.num_res_blocks,
                "temperal_downsample": config.temporal_downsample,
                "latents_mean": config.latent_mean,
                "latents_std": config.latent_std,
                "in_channels": pixels,
                "out_channels": pixels,
                "scale_factor_spatial": config.spatial_stride,
                "scale_factor_temporal": config.temporal_stride,
                **of_second_kind,
            }
        case TextEncoderConfig():
            return {
                **_TEXT_ENCODER_FIXED,
                "architectures": ["UMT5EncoderModel"],
                "d_model": config.dim,
                "d_kv": config.head_dim,
                "d_ff": config.ffn_dim,
                "num_layers": config.num_layers,
                "num_heads": config.num_heads,
                "vocab_size": config.vocab_size,
                "relative_attention_num_buckets": config.num_buckets,
                "relative_attention_max_distance": config.max_distance,
                "layer_norm_epsilon": config.eps,
                "dropout_rate": 0.0,
                "is_encoder_decoder": False,
                "use_cache": False,
            }


@dataclass(frozen=True, slots=True)
class _Fields:
    """Typed access to one JSON object; errors name the file, the key and the value."""

    path: Path
    values: Mapping[str, Any]

    def check(self, key: str, fits: bool, wanted: str) -> None:
        if not fits:
            found = repr(self.values[key]) if key in self.values else "missing"
            raise ModelMismatch(
                f"{self.path}: {key} is {found[:200]}, and {wanted} is needed: this is not a Wan model that we can run",
                facts={"file": str(self.path), "key": key},
            )

    def require(self, fixed: Mapping[str, object]) -> None:
        for key, wanted in fixed.items():
            self.check(key, self.values.get(key, wanted) == wanted, "null" if wanted is None else repr(wanted))

    def _get(self, key: str, default: Any) -> Any:
        value = self.values.get(key)
        return default if value is None else value

    def integer(self, key: str, default: int, most: int = _LARGEST) -> int:
        value = self._get(key, default)
        self.check(key, type(value) is int and 0 < value <= most, f"a whole number from 1 to {most}")
        return int(value)

    def number(self, key: str, default: float) -> float:
        value = self._get(key, default)
        self.check(key, _is_number(value) and 0 < value < 1, "a number between 0 and 1")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        value = self._get(key, default)
        self.check(key, isinstance(value, bool), "true or false")
        return bool(value)

    def integers(self, key: str, default: tuple[int, ...]) -> tuple[int, ...]:
        value = self._get(key, list(default))
        legal = isinstance(value, list) and value and all(type(v) is int and 0 < v <= 1024 for v in value)
        self.check(key, bool(legal), "a list of whole numbers")
        return tuple(value)

    def flags(self, key: str, default: tuple[bool, ...]) -> tuple[bool, ...]:
        value = self._get(key, list(default))
        legal = isinstance(value, list) and len(value) <= 16 and all(isinstance(v, bool) for v in value)
        self.check(key, legal, "a list of true and false")
        return tuple(value)

    def numbers(self, key: str, default: tuple[float, ...]) -> tuple[float, ...]:
        value = self._get(key, list(default))
        self.check(key, isinstance(value, list) and all(map(_is_number, value)), "a list of numbers")
        return tuple(map(float, value))


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
