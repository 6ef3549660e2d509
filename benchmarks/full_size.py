"""Run every model at its full size on a GPU, from token ids to frames, with random weights made in memory.

    python -m benchmarks.full_size --json results.jsonl

The pipeline is the product's own; only the files are missing: weights are drawn on the GPU, token ids at random. Prints
seconds and peak memory (of PyTorch's allocator) of every phase. Frames are checked to be finite, not to be beautiful.
"""
# ruff: noqa: E402 - torch is told first what the product's processes tell it

from wanvideo.runtime.process import before_torch

before_torch()

import argparse
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import nn

from benchmarks.speed.clock import HostPeak, watching_host
from wanvideo.models.config import UMT5_XXL, TransformerConfig
from wanvideo.models.text_encoder import UMT5Encoder
from wanvideo.models.transformer import WanTransformer, keeps_fp32
from wanvideo.models.vae import WanVAE
from wanvideo.pipelines.events import Frames, Planned, Resolved
from wanvideo.pipelines.parts import Parts
from wanvideo.pipelines.pipeline import Pipeline
from wanvideo.request import GenerationRequest, Phase, Progress, Tier
from wanvideo.weights.catalog import ModelSpec, resolve
from wanvideo.weights.folder import ModelFolder
from wanvideo.weights.headers import TensorInfo, WeightFile
from wanvideo.weights.layout import Layout, Names, Network
from wanvideo.weights.network import NetworkPart
from wanvideo.weights.quantized import QuantizedLinear
from wanvideo.weights.tokenizer import PromptTokens

GIB = 2**30

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def sized(module: Callable[[], nn.Module], config: Any, network: Network, *, float8: bool = False) -> NetworkPart[Any]:
    """A part of a model that is not on disk: its architecture and the sizes of its tensors.

    float8: the matrices of its blocks are stored so, in place of bfloat16.
    """
    with torch.device("meta"):
        parameters = module().state_dict()
    tensors = {
        name: TensorInfo(name=name, dtype="F8_E4M3", shape=tuple(p.shape), start=0, nbytes=p.numel())
        if float8 and _is_matrix_of_block(name)
        else TensorInfo(name=name, dtype="BF16", shape=tuple(p.shape), start=0, nbytes=2 * p.numel())
        for name, p in parameters.items()
    }
    file = WeightFile(path=Path("in-memory"), tensors=tensors, metadata={})
    return NetworkPart(
        path=Path("in-memory"), config=config, files=(file,), layout=Layout(network=network, names=Names.OFFICIAL)
    )


def _is_matrix_of_block(name: str) -> bool:
    """Of a transformer: what files of float8 hold in it, 10 matrices in each block."""
    return name.startswith("blocks.") and name.endswith(".weight") and "norm" not in name


def folder_for(spec: ModelSpec, *, float8: bool = False) -> ModelFolder:
    """A model as large as it is, without files; the transformers in bfloat16 or with matrices in float8."""
    assert spec.vae is not None
    assert spec.text_encoder is not None
    vae, text_encoder, transformer = spec.vae, spec.text_encoder, spec.transformer
    return ModelFolder(
        path=Path("in-memory"),
        transformers=(sized(lambda: WanTransformer(transformer), transformer, Network.TRANSFORMER, float8=float8),)
        * spec.experts,
        vae=sized(lambda: WanVAE(vae), vae, Network.VAE),
        text_encoder=sized(lambda: UMT5Encoder(text_encoder), text_encoder, Network.TEXT_ENCODER),
        tokenizer=Path("in-memory"),
        boundary=spec.boundary,
        expand_timesteps=spec.image_in_latents,
    )


@torch.no_grad()
def random_weights(
    make: Callable[[], ModuleT],
    device: torch.device,
    dtype: torch.dtype,
    mixed: bool,
    *,
    kept_on: torch.device | None = None,
) -> ModuleT:
    """Weights of unit gain; with `mixed`, the parameters that the precision policy names stay float32.

    They are drawn on `device`, where it is fast, and stay there unless `kept_on` names another place.
    """
    with torch.device("meta"):
        module = make()
    for name, parameter in list(module.named_parameters()):
        owner, _, leaf = name.rpartition(".")
        kept = torch.float32 if mixed and keeps_fp32(name) else dtype
        value = torch.empty(parameter.shape, dtype=kept, device=device)
        if value.dim() == 1 or leaf == "gamma":
            value.fill_(0.0 if leaf == "bias" else 1.0)
        else:
            fan_in = value[0].numel() if leaf == "weight" else value.shape[-1]
            value.normal_(std=fan_in**-0.5)
        setattr(module.get_submodule(owner), leaf, nn.Parameter(value.to(kept_on or device), requires_grad=False))
    return module.eval()


def store_in_float8(transformer: WanTransformer) -> None:
    """Let the matrices of the blocks be as the loader keeps those of a float8 file."""
    for name, linear in list(transformer.named_modules()):
        if isinstance(linear, nn.Linear) and _is_matrix_of_block(f"{name}.weight"):
            weight = linear.weight
            scale = torch.ones(1, 1, device=weight.device)
            stored = weight.detach().to(torch.float8_e4m3fn)
            new = QuantizedLinear(stored, scale, linear.bias, kind="F8_E4M3", dtype=weight.dtype)
            transformer.set_submodule(name, new)


class RandomParts(Parts):
    """Networks of the right sizes, drawn instead of read."""

    def _read_text_encoder(self, where: torch.device) -> UMT5Encoder:
        return self._draw(lambda: UMT5Encoder(self.folder.text_encoder.config), self.dtype, where)

    def _read_vae(self, where: torch.device, dtype: torch.dtype) -> WanVAE:
        return self._draw(lambda: WanVAE(self.folder.vae.config), dtype, where)

    def _read_transformer(
        self, network: NetworkPart[TransformerConfig], where: torch.device, *, as_stored: bool = False
    ) -> WanTransformer:
        del as_stored  # there is no file to stay in
        transformer = self._draw(lambda: WanTransformer(network.config), self.dtype, where, mixed=True)
        if any(tensor.dtype == "F8_E4M3" for file in network.files for tensor in file.tensors.values()):
            store_in_float8(transformer)
        return transformer

    def _draw(
        self, make: Callable[[], ModuleT], dtype: torch.dtype, where: torch.device, *, mixed: bool = False
    ) -> ModuleT:
        return random_weights(make, self.device, dtype, mixed, kept_on=where)


@dataclass(frozen=True)
class RandomTokens:
    """Stands where the tokenizer would: 24 random ids and the end."""

    vocab_size: int = UMT5_XXL.vocab_size

    def encode(self, prompts: list[str]) -> PromptTokens:
        ids, mask = torch.zeros(len(prompts), 512, dtype=torch.int64), torch.zeros(len(prompts), 512, dtype=torch.bool)
        ids[:, :24], ids[:, 24], mask[:, :25] = torch.randint(3, self.vocab_size, (24,)), 1, True
        return PromptTokens(ids, mask, (0,) * len(prompts))


def pipeline_for(
    spec: ModelSpec,
    vae_dtype: str,
    memory_limit: int | None = None,
    *,
    device: str = "cuda",
    tier: Tier = Tier.EXACT,
    float8: bool = False,
) -> Pipeline:
    """memory_limit: bytes of GPU memory that it may take. float8: how the transformers are stored."""
    folder = folder_for(spec, float8=float8)
    dtype = "bfloat16" if device.startswith("cuda") else "float32"
    pipeline = Pipeline(
        spec, folder, device=device, dtype=dtype, vae_dtype=vae_dtype, memory_limit=memory_limit, tier=tier
    )
    parts = pipeline._parts
    pipeline._parts = RandomParts(
        folder, device=parts.device, dtype=parts.dtype, vae_dtype=parts.vae_dtype, tier=parts.tier
    )
    pipeline.__dict__["_tokenizer"] = RandomTokens(spec.text_encoder.vocab_size if spec.text_encoder else 0)
    return pipeline


@dataclass
class PhaseRecord:
    seconds: float = 0.0
    peak: int = 0  # bytes
    host: int = 0  # most of RAM that the process held, bytes


def measure(pipeline: Pipeline, request: GenerationRequest) -> dict[str, Any]:
    """One request; what every phase took."""
    result: dict[str, Any] = {"model": pipeline.spec.id, "vae dtype": str(pipeline._parts.vae_dtype)}
    with watching_host() as host:
        result |= _phases(pipeline, request, host)
    return result


def _phases(pipeline: Pipeline, request: GenerationRequest, host: HostPeak) -> dict[str, Any]:
    records: dict[Phase, PhaseRecord] = {}
    steps: list[float] = []
    result: dict[str, Any] = {}
    frames, on_gpu = 0, pipeline.device.type == "cuda"
    for event in pipeline.generate(request):
        if isinstance(event, Resolved):
            r = event.request
            result |= {
                "size": f"{r.width}x{r.height}",
                "frames": r.frames,
                "steps": r.steps,
                "image": r.image is not None,
            }
        elif isinstance(event, Planned):
            plan = event.plan  # the last one counts: an earlier one did not hold
            result["planned GiB"] = {str(p.phase): round(p.peak_bytes / GIB, 2) for p in plan.phases}
            result["planned seconds"] = {str(p.phase): round(p.seconds, 2) for p in plan.phases}
            tiles = "no tiles" if plan.vae.tiles is None else f"tiles of {plan.vae.tiles}"
            result["plan"] = f"{plan.transformer.resident} blocks stay, {tiles}"
        elif isinstance(event, Frames):
            frames += len(event.frames)
        elif isinstance(event, Progress):
            record = records.setdefault(event.phase, PhaseRecord())
            record.seconds = event.seconds
            record.host = max(record.host, host.take())
            if on_gpu:
                torch.cuda.synchronize()
                record.peak = max(record.peak, torch.cuda.max_memory_allocated())
                torch.cuda.reset_peak_memory_stats()
            if event.phase is Phase.DENOISE:
                steps.append(time.monotonic())
    result["all networks resident"] = pipeline._parts.keep_all
    result["frames made"] = frames
    result["seconds"] = {str(phase): round(record.seconds, 2) for phase, record in records.items()}
    result["peak GiB"] = {str(phase): round(record.peak / GIB, 2) for phase, record in records.items()}
    result["host GiB"] = {str(phase): round(record.host / GIB, 2) for phase, record in records.items()}
    result["seconds per step"] = [round(b - a, 3) for a, b in itertools.pairwise(steps)]
    return result


RUNS = (
    ("t2v-A14B", GenerationRequest(prompt="random", width=832, height=480, frames=81, steps=4, seed=1), False),
    ("i2v-A14B", GenerationRequest(prompt="random", width=832, height=480, frames=81, steps=4, seed=1), True),
    ("ti2v-5B", GenerationRequest(prompt="random", width=1280, height=704, frames=121, steps=4, seed=1), False),
    ("ti2v-5B", GenerationRequest(prompt="random", width=1280, height=704, frames=121, steps=4, seed=1), True),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="append one JSON object per run to this file")
    parser.add_argument("--only", help="only this model")
    parser.add_argument("--vae-dtype", default="float32")
    options = parser.parse_args()
    torch.manual_seed(0)
    where = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__}
    for name, request, with_image in RUNS:
        if options.only and options.only != name:
            continue
        if with_image:
            request = replace(
                request, image=Image.effect_noise((request.width or 0, request.height or 0), 60).convert("RGB")
            )
        with pipeline_for(resolve(name), options.vae_dtype) as pipeline:
            line = json.dumps(where | measure(pipeline, request))
        torch.cuda.empty_cache()
        print(line, flush=True)
        if options.json:
            with options.json.open("a") as file:
                file.write(line + "\n")


if __name__ == "__main__":
    main()
