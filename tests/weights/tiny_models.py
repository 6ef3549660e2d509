"""Tiny models on disk, written by diffusers, transformers and tokenizers in the layout of the released repositories.

diffusers and transformers are imported where they are used: that takes seconds, which most tests need not wait for.
"""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CORPUS = ["a small red circle moves left on a navy background", "a large blue square stays still on a gray background"]
STATISTICS_22 = {"latents_mean": [0.1] * 48, "latents_std": [1.5] * 48}


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), "utf-8")


def edit_json(path: Path, **changes: object) -> None:
    write_json(path, json.loads(path.read_text("utf-8")) | changes)


def write_tokenizer(folder: Path, **config: object) -> None:
    """A SentencePiece-like Unigram tokenizer, as UMT5 has."""
    folder.mkdir(parents=True)
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=60, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {"pad_token": "<pad>", "eos_token": "</s>"} | config)


def write_transformer(folder: Path, in_channels: int, out_channels: int, **options: Any) -> None:
    from diffusers import WanTransformer3DModel

    torch.manual_seed(len(folder.name))
    WanTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=in_channels,
        out_channels=out_channels,
        ffn_dim=32,
        num_layers=2,
        text_dim=16,
        freq_dim=8,
    ).save_pretrained(folder, **options)


def write_vae(folder: Path, kind: str) -> None:
    from diffusers import AutoencoderKLWan

    torch.manual_seed(0)
    sizes_22 = {"z_dim": 48, "is_residual": True, "in_channels": 12, "out_channels": 12, "patch_size": 2}
    options: dict[str, Any] = sizes_22 | {"scale_factor_spatial": 16} | STATISTICS_22 if kind == "2.2" else {}
    AutoencoderKLWan(base_dim=8, **options).save_pretrained(folder)


def write_text_encoder(folder: Path) -> None:
    from transformers import UMT5Config, UMT5EncoderModel

    torch.manual_seed(1)
    config = UMT5Config(vocab_size=64, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    UMT5EncoderModel(config).save_pretrained(folder)


def write_model(path: Path, kind: str) -> None:
    """`kind` is t2v, i2v or ti2v."""
    in_channels, out_channels = {"t2v": (16, 16), "i2v": (36, 16), "ti2v": (48, 48)}[kind]
    write_transformer(path / "transformer", in_channels, out_channels)
    if kind != "ti2v":
        write_transformer(path / "transformer_2", in_channels, out_channels, max_shard_size="8KB")
    write_vae(path / "vae", "2.2" if kind == "ti2v" else "2.1")
    write_text_encoder(path / "text_encoder")
    write_tokenizer(path / "tokenizer")
    index = {
        "_class_name": "WanImageToVideoPipeline" if kind == "i2v" else "WanPipeline",
        "_diffusers_version": "0.35.0.dev0",
        "boundary_ratio": {"t2v": 0.8, "i2v": 0.9, "ti2v": None}[kind],
        "expand_timesteps": kind == "ti2v",
        "image_encoder": [None, None],
        "scheduler": ["diffusers", "UniPCMultistepScheduler"],
        "text_encoder": ["transformers", "UMT5EncoderModel"],
        "tokenizer": ["transformers", "T5TokenizerFast"],
        "transformer": ["diffusers", "WanTransformer3DModel"],
        "transformer_2": [None, None] if kind == "ti2v" else ["diffusers", "WanTransformer3DModel"],
        "vae": ["diffusers", "AutoencoderKLWan"],
    }
    write_json(path / "model_index.json", index)
