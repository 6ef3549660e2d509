"""Shipped demo models -> what training goes on from: `python -m training.demo.restore src/wanvideo/demo DIR`.

The reverse of `export`, so that the shipped weights can be trained further without their optimizer states.
"""

import argparse
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from training.demo.checkpoint import load_tensors, save_tensors
from wanvideo.weights.config_json import read_text_encoder_config, read_transformer_config, read_vae_config
from wanvideo.weights.key_map import KeyMap, text_encoder_keys, transformer_keys, vae_keys

TRANSFORMERS: Mapping[str, str] = {
    "t2v-high": "t2v-A14B-demo/transformer",
    "t2v-low": "t2v-A14B-demo/transformer_2",
    "i2v-high": "i2v-A14B-demo/transformer",
    "i2v-low": "i2v-A14B-demo/transformer_2",
    "ti2v": "ti2v-5B-demo/transformer",
}
VAES: Mapping[str, str] = {"2.1": "shared/vae", "2.2": "ti2v-5B-demo/vae"}


def restore(source: Path, keys: KeyMap, target: Path, metadata: Mapping[str, str] | None = None) -> None:
    """One network, under the names of the official code."""
    tensors, _ = load_tensors(source)
    named = {keys.to_official(name): value for name, value in tensors.items()}
    save_tensors(target, {name: value for name, value in named.items() if name is not None}, metadata)


def restore_all(demo: Path, out: Path) -> None:
    """All networks of the demo models and their tokenizer."""
    stem = "diffusion_pytorch_model.safetensors"
    for name, place in TRANSFORMERS.items():
        folder = demo / place
        keys = transformer_keys(read_transformer_config(folder / "config.json"))
        restore(folder / stem, keys, out / f"{name}.safetensors")
    for kind, place in VAES.items():
        folder = demo / place
        config = read_vae_config(folder / "config.json")
        statistics = {"mean": json.dumps(config.latent_mean), "std": json.dumps(config.latent_std)}
        restore(folder / stem, vae_keys(config), out / f"vae-{kind}.safetensors", statistics)
    text = demo / "shared" / "text_encoder"
    keys = text_encoder_keys(read_text_encoder_config(text / "config.json"))
    restore(text / "model.safetensors", keys, out / "text_encoder.safetensors")
    shutil.copyfile(demo / "shared" / "tokenizer" / "tokenizer.json", out / "tokenizer.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    restore_all(options.demo, options.out)


if __name__ == "__main__":
    main()
