"""Write trained demo models as Diffusers folders: `python -m training.demo.export DIR src/wanvideo/demo`.

What several models share (text encoder, tokenizer, VAE 2.1) is written once, under `shared`.
"""

import argparse
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from training.demo.architecture import TEXT_TOKENS, TRANSFORMERS, text_encoder, vae
from training.demo.checkpoint import load_tensors, rounded, save_tensors
from training.demo.train_transformer import SHIFT
from wanvideo.models.config import TextEncoderConfig, TransformerConfig, VAEConfig
from wanvideo.weights.key_map import KeyMap, text_encoder_keys, transformer_keys, vae_keys


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def write_network(
    folder: Path, stem: str, tensors: Mapping[str, Tensor], keys: KeyMap, config: Mapping[str, Any]
) -> None:
    """One part: its config.json and its tensors under the names that Diffusers gives them."""
    named = {keys.to_diffusers(name): value for name, value in rounded(tensors).items()}
    translated = {name: value for name, value in named.items() if name is not None}
    assert len(translated) == len(tensors), "the key map does not know every tensor"
    write_json(folder / "config.json", config)
    save_tensors(folder / f"{stem}.safetensors", translated, {"format": "pt"})


def transformer_json(config: TransformerConfig) -> dict[str, Any]:
    return {
        "_class_name": "WanTransformer3DModel",
        "_diffusers_version": "0.35.0",
        "added_kv_proj_dim": None,
        "attention_head_dim": config.head_dim,
        "cross_attn_norm": True,
        "eps": config.eps,
        "ffn_dim": config.ffn_dim,
        "freq_dim": config.freq_dim,
        "image_dim": None,
        "in_channels": config.in_channels,
        "num_attention_heads": config.num_heads,
        "num_layers": config.num_layers,
        "out_channels": config.out_channels,
        "patch_size": list(config.patch),
        "pos_embed_seq_len": None,
        "qk_norm": "rms_norm_across_heads",
        "rope_max_seq_len": 1024,
        "text_dim": config.text_dim,
    }


def vae_json(config: VAEConfig) -> dict[str, Any]:
    return {
        "_class_name": "AutoencoderKLWan",
        "_diffusers_version": "0.35.0",
        "attn_scales": [],
        "base_dim": config.base_dim,
        "decoder_base_dim": config.decoder_base_dim,
        "dim_mult": list(config.dim_mult),
        "dropout": 0.0,
        "in_channels": 3 * config.pixel_patch**2,
        "is_residual": config.shortcuts,
        "latents_mean": list(config.latent_mean),
        "latents_std": list(config.latent_std),
        "num_res_blocks": config.num_res_blocks,
        "out_channels": 3 * config.pixel_patch**2,
        "patch_size": config.pixel_patch if config.pixel_patch > 1 else None,
        "scale_factor_spatial": config.spatial_stride,
        "scale_factor_temporal": config.temporal_stride,
        "temperal_downsample": list(config.temporal_downsample),
        "z_dim": config.z_dim,
    }


def text_encoder_json(config: TextEncoderConfig) -> dict[str, Any]:
    return {
        "architectures": ["UMT5EncoderModel"],
        "model_type": "umt5",
        "d_model": config.dim,
        "d_kv": config.head_dim,
        "d_ff": config.ffn_dim,
        "num_layers": config.num_layers,
        "num_heads": config.num_heads,
        "vocab_size": config.vocab_size,
        "relative_attention_num_buckets": config.num_buckets,
        "relative_attention_max_distance": config.max_distance,
        "feed_forward_proj": "gated-gelu",
        "layer_norm_epsilon": config.eps,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "tie_word_embeddings": False,
    }


def write_vae(folder: Path, source: Path, kind: str) -> None:
    tensors, statistics = load_tensors(source / f"vae-{kind}.safetensors")
    config = vae(kind, tuple(json.loads(statistics["mean"])), tuple(json.loads(statistics["std"])))
    write_network(folder, "diffusion_pytorch_model", tensors, vae_keys(config), vae_json(config))


def write_shared(folder: Path, source: Path) -> None:
    tensors, _ = load_tensors(source / "text_encoder.safetensors")
    config = text_encoder(tensors["token_embedding.weight"].shape[0])
    write_network(folder / "text_encoder", "model", tensors, text_encoder_keys(config), text_encoder_json(config))
    write_vae(folder / "vae", source, "2.1")
    tokenizer = {
        "tokenizer_class": "T5TokenizerFast",
        "model_max_length": TEXT_TOKENS,
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
    }
    write_json(folder / "tokenizer" / "tokenizer_config.json", tokenizer)
    shutil.copyfile(source / "tokenizer.json", folder / "tokenizer" / "tokenizer.json")


def write_model(folder: Path, source: Path, model: str, experts: tuple[str, ...], boundary: float | None) -> None:
    config = TRANSFORMERS[model]
    for name, part in zip(experts, ("transformer", "transformer_2"), strict=False):
        tensors, _ = load_tensors(source / f"{name}.safetensors")
        write_network(
            folder / part, "diffusion_pytorch_model", tensors, transformer_keys(config), transformer_json(config)
        )
    network = ["diffusers", "WanTransformer3DModel"]
    write_json(
        folder / "model_index.json",
        {
            "_class_name": "WanImageToVideoPipeline" if model == "i2v" else "WanPipeline",
            "_diffusers_version": "0.35.0",
            "boundary_ratio": boundary,
            "expand_timesteps": model == "ti2v",
            "scheduler": ["diffusers", "UniPCMultistepScheduler"],
            "text_encoder": ["transformers", "UMT5EncoderModel"],
            "tokenizer": ["transformers", "T5TokenizerFast"],
            "transformer": network,
            "transformer_2": network if len(experts) == 2 else [None, None],
            "vae": ["diffusers", "AutoencoderKLWan"],
        },
    )
    scheduler = {
        "_class_name": "UniPCMultistepScheduler",
        "_diffusers_version": "0.35.0",
        "flow_shift": SHIFT,
        "num_train_timesteps": 1000,
        "prediction_type": "flow_prediction",
        "use_flow_sigmas": True,
    }
    write_json(folder / "scheduler" / "scheduler_config.json", scheduler)


def export(source: Path, out: Path) -> None:
    """All demo models, from a folder of trained parts."""
    write_shared(out / "shared", source)
    write_model(out / "t2v-A14B-demo", source, "t2v", ("t2v-high", "t2v-low"), 0.875)
    write_model(out / "i2v-A14B-demo", source, "i2v", ("i2v-high", "i2v-low"), 0.9)
    write_model(out / "ti2v-5B-demo", source, "ti2v", ("ti2v",), None)
    write_vae(out / "ti2v-5B-demo" / "vae", source, "2.2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    export(options.source, options.out)


if __name__ == "__main__":
    main()
