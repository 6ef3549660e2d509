"""A LoRA of random numbers, as large as those that people use, and what it costs one forward."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmarks.speed.adapters import in_tier
from benchmarks.speed.bench import Bench
from benchmarks.speed.clock import measure
from benchmarks.speed.forward import drawn
from benchmarks.speed.record import OURS
from wanvideo.models.config import TransformerConfig
from wanvideo.runtime.lora import applied
from wanvideo.runtime.quantize import LINEARS
from wanvideo.weights.lora.tensors import Delta

PART: Final = "lora"
RANK: Final = 64  # of the distilled LoRAs of A14B, which also change all ten matrices of a block


def run(bench: Bench) -> None:
    for shape, model, given in drawn(bench, PART):
        forward = partial(model, given.latents, given.timestep, given.text)
        deltas = {name: Delta(down=down, up=up) for name, down, up in random_lora(shape.config)}
        for tier in sorted(bench.tiers):  # exact first, since fast changes the weights
            subject = f"{OURS} {tier}, rank {RANK}"
            with bench.case(PART, shape.name, subject) as row, in_tier(model, tier):
                alone = measure(forward, bench.device, repeats=bench.repeats)
                with applied(model, deltas, device=bench.device, dtype=bench.dtype):
                    timing = measure(forward, bench.device, repeats=bench.repeats)
                row |= {**timing.numbers, "times_without": timing.seconds / alone.seconds}


def random_lora(config: TransformerConfig) -> Iterator[tuple[str, Tensor, Tensor]]:
    """The official name of a module, the matrix that narrows [r, in] and the one that widens [out, r]."""
    for i in range(config.num_layers):
        for name in (*LINEARS, "cross_attn.k", "cross_attn.v"):
            inputs = config.ffn_dim if name == "ffn.2" else config.dim
            outputs = config.ffn_dim if name == "ffn.0" else config.dim
            yield f"blocks.{i}.{name}", 0.01 * torch.randn(RANK, inputs), 0.01 * torch.randn(outputs, RANK)


def write_lora(path: Path, config: TransformerConfig) -> Path:
    """The same as a file in float32, its tensors named as ComfyUI names them."""
    tensors = {}
    for name, down, up in random_lora(config):
        tensors[f"diffusion_model.{name}.lora_A.weight"] = down
        tensors[f"diffusion_model.{name}.lora_B.weight"] = up
    save_file(tensors, path)
    return path
