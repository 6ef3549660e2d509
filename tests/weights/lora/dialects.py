"""One random LoRA for a tiny transformer, written in every dialect that is read."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import torch
from safetensors.torch import save_file
from torch import Tensor

from wanvideo.models.config import TransformerConfig
from wanvideo.weights.key_map import transformer_keys

TINY: Final = TransformerConfig(
    in_channels=16, out_channels=16, num_heads=2, num_layers=2, ffn_dim=32, head_dim=12, text_dim=16, freq_dim=8
)
RANK: Final = 4
ALPHA: Final = 2.0
MODULES: Final = tuple(
    f"blocks.{i}.{name}"
    for i in range(TINY.num_layers)
    for name in ("self_attn.q", "self_attn.o", "cross_attn.k", "cross_attn.v", "ffn.0", "ffn.2")
)

Matrices: TypeAlias = Mapping[str, tuple[Tensor, Tensor]]  # official module -> (down [r, in], up [out, r])
Metadata: TypeAlias = dict[str, str]


def matrices(seed: int = 0, modules: tuple[str, ...] = MODULES, dim: int = TINY.dim) -> Matrices:
    """Values of about 0.1, so that a LoRA changes the output visibly and does not drown it."""
    generator = torch.Generator().manual_seed(seed)

    def pair(module: str) -> tuple[Tensor, Tensor]:
        wide = TINY.ffn_dim * dim // TINY.dim
        out = wide if module.endswith("ffn.0") else dim
        into = wide if module.endswith("ffn.2") else dim
        return tuple(torch.randn(size, generator=generator) * 0.1 for size in ((RANK, into), (out, RANK)))  # type: ignore[return-value]

    return {module: pair(module) for module in modules}


def expected(lora: Matrices, scale: float = ALPHA / RANK) -> dict[str, Tensor]:
    """The difference of every weight."""
    return {module: scale * up @ down for module, (down, up) in lora.items()}


def diffusers_name(module: str) -> str:
    name = transformer_keys(TINY).to_diffusers(f"{module}.weight")
    assert name is not None
    return name.removesuffix(".weight")


def _named(lora: Matrices, name: Callable[[str], str], down: str, up: str, alpha: Tensor | None) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for module, (a, b) in lora.items():
        tensors |= {f"{name(module)}.{down}": a, f"{name(module)}.{up}": b}
        if alpha is not None:
            tensors[f"{name(module)}.alpha"] = alpha.clone()
    return tensors


@dataclass(frozen=True)
class Writer:
    """How one dialect writes a LoRA."""

    dialect: str
    name: Callable[[str], str]
    down: str
    up: str
    alpha: Tensor | None
    metadata: Metadata

    def write(self, path: Path, lora: Matrices) -> Path:
        save_file(_named(lora, self.name, self.down, self.up, self.alpha), path, metadata=self.metadata)
        return path


def _peft(prefix: str) -> Metadata:
    return {"lora_adapter_metadata": json.dumps({f"{prefix}r": RANK, f"{prefix}lora_alpha": ALPHA})}


WRITERS: Final = {
    "diffusers": Writer(
        "diffusers",
        lambda m: f"transformer.{diffusers_name(m)}",
        "lora_A.weight",
        "lora_B.weight",
        None,
        _peft("transformer."),
    ),
    "PEFT": Writer(
        "PEFT",
        lambda m: f"base_model.model.{diffusers_name(m)}",
        "lora_A.weight",
        "lora_B.weight",
        None,
        _peft(""),
    ),
    "ComfyUI": Writer(
        "ComfyUI",
        lambda m: f"diffusion_model.{m}",
        "lora_down.weight",
        "lora_up.weight",
        torch.tensor(ALPHA),
        {},
    ),
    "ai-toolkit": Writer(
        "ComfyUI",
        lambda m: f"diffusion_model.{m}",
        "lora_A.weight",
        "lora_B.weight",
        torch.tensor([ALPHA]).bfloat16(),
        {},
    ),
    "Lightning": Writer(  # alpha is a whole number
        "ComfyUI",
        lambda m: f"diffusion_model.{m}",
        "lora_down.weight",
        "lora_up.weight",
        torch.tensor(int(ALPHA)),
        {},
    ),
    "kohya": Writer(
        "kohya",
        lambda m: f"lora_unet_{m.replace('.', '_')}",
        "lora_down.weight",
        "lora_up.weight",
        torch.tensor(ALPHA).half(),
        {},
    ),
    "kohya, names of diffusers": Writer(
        "kohya",
        lambda m: f"lora_transformer_{diffusers_name(m).replace('.', '_')}",
        "lora_down.weight",
        "lora_up.weight",
        torch.tensor(ALPHA).double(),
        {},
    ),
    "bare": Writer("bare", lambda m: m, "lora_down.weight", "lora_up.weight", torch.tensor(ALPHA), {}),
    "DiffSynth": Writer(
        "bare",
        lambda m: m,
        "lora_A.default.weight",
        "lora_B.default.weight",
        torch.tensor(int(ALPHA), dtype=torch.int32),
        {},
    ),
}


def write(path: Path, tensors: Mapping[str, Tensor], metadata: Metadata | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata=metadata)
    return path


def write_comfyui(path: Path, seed: int = 0, dim: int = TINY.dim) -> Path:
    """The commonest dialect."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return WRITERS["ComfyUI"].write(path, matrices(seed, dim=dim))
