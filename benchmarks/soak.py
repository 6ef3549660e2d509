"""Many requests in a row through the real pipelines, to see whether any of them leaves memory behind.

    python -m benchmarks.soak                          # 50 requests to the demo models, on a GPU if there is one
    python -m benchmarks.soak --full --requests 20     # to the models at full size, with random weights, on a GPU

Models, sizes, lengths, tiers and LoRAs change from request to request; a pipeline serves one to three requests and is
closed. Prints the bytes after each request: of PyTorch's allocator on a GPU, of the process in RAM on a CPU. What is
left at the end, with all pipelines closed, is compared with the base: what was left once every model had run, and on a
CPU halfway through. Exits with 1 if it is more than 1 % above.

Halfway, since the process grows by a little while new sizes come, then hardly: in a run of 150 requests from 288.1 to
293.8 MB by the 45th, and to 294.1 MB by the last.
"""
# ruff: noqa: E402 - torch is told first what the product's processes tell it

from wanvideo.runtime.process import before_torch

before_torch()

import argparse
import ctypes
import json
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import torch
from PIL import Image

from benchmarks.full_size import RandomTokens, pipeline_for
from benchmarks.speed.adapters import use_tier
from benchmarks.speed.clock import free_memory, resident_bytes
from benchmarks.speed.demo import MODELS, demo_pipeline
from benchmarks.speed.lora import write_lora
from benchmarks.speed.record import SkipPart
from wanvideo.pipelines.events import Frames
from wanvideo.pipelines.pipeline import Pipeline
from wanvideo.request import GenerationRequest, LoraUse, Task, Tier
from wanvideo.weights.catalog import ModelSpec, resolve

FULL_SIZE: Final = ("t2v-A14B", "i2v-A14B", "ti2v-5B")
SIZES: Final = {True: ((832, 480), (640, 384), (480, 832)), False: ((128, 128), (64, 128), (96, 64))}
FRAMES: Final = {True: (1, 17, 41), False: (1, 5, 17)}
ALLOWED: Final = 0.01  # above the base


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What one pipeline is opened for."""

    model: str
    tier: Tier
    requests: tuple[GenerationRequest, ...]


def visits(count: int, full: bool, lora: dict[str, Path], seed: int = 0) -> Iterator[Visit]:
    """`count` requests in all; every model comes once before any comes again, the first time with its largest sizes."""
    chance, done = random.Random(seed), 0
    seen: set[str] = set()
    models = FULL_SIZE if full else MODELS
    while done < count:
        for model in chance.sample(models, len(models)):
            some = tuple(
                _request(chance, resolve(model), full, lora[model], largest=model not in seen)
                for _ in range(chance.randint(1, 3))
            )[: count - done]
            seen.add(model)
            if some:
                yield Visit(model=model, tier=chance.choice(list(Tier)), requests=some)
            done += len(some)


def _request(chance: random.Random, spec: ModelSpec, full: bool, lora: Path, *, largest: bool) -> GenerationRequest:
    width, height = SIZES[full][0] if largest else chance.choice(SIZES[full])
    frames = FRAMES[full][-1] if largest else chance.choice(FRAMES[full])
    with_image = Task.TEXT_TO_VIDEO not in spec.tasks or (len(spec.tasks) > 1 and chance.random() < 0.5)
    return GenerationRequest(
        prompt="a small red circle moves left on a navy background",
        width=width,
        height=height,
        frames=max(frames, 5) if with_image else frames,
        steps=chance.randint(2, 4),
        guidance=chance.choice((1.0, 3.0)),
        image=Image.new("RGB", (width, height), "navy") if with_image else None,
        seed=chance.randrange(2**31),
        loras=(LoraUse(source=lora, strength=0.5),) if chance.random() < 0.5 else (),
    )


def open_pipeline(model: str, full: bool, device: str) -> Pipeline:
    if full:
        return pipeline_for(resolve(model), "bfloat16")
    pipeline = demo_pipeline(model, device, "bfloat16" if device.startswith("cuda") else "float32")
    if find_spec("ftfy") is None:  # which cleans prompts up
        rows = pipeline._parts.folder.text_encoder.config.vocab_size
        pipeline.__dict__["_tokenizer"] = RandomTokens(rows)
    return pipeline


def held_bytes(device: str) -> int:
    """Of the allocator, or of the process after it has given back what it does not use."""
    free_memory()
    if device.startswith("cuda"):
        return torch.cuda.memory_allocated()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
    return resident_bytes()


def soak(count: int, full: bool, device: str) -> Iterator[dict[str, Any]]:
    """One line for each request, and one for each closing."""
    models = FULL_SIZE if full else MODELS
    seen: set[str] = set()
    base: int | None = None
    number = 0
    with tempfile.TemporaryDirectory() as folder:
        loras = {m: write_lora(Path(folder) / f"{m}.safetensors", resolve(m).transformer) for m in models}
        for visit in visits(count, full, loras):
            with open_pipeline(visit.model, full, device) as pipeline:
                tier = _given_tier(pipeline, visit.tier)
                for request in visit.requests:
                    number += 1
                    with closing(pipeline.generate(request)) as events:
                        frames = sum(len(event.frames) for event in events if isinstance(event, Frames))
                    yield {
                        "request": number,
                        "model": visit.model,
                        "tier": tier,
                        "size": f"{request.width}x{request.height}",
                        "frames": frames,
                        "lora": bool(request.loras),
                        "bytes": held_bytes(device),
                    }
            del pipeline
            seen.add(visit.model)
            left = held_bytes(device)
            settled = device.startswith("cuda") or 2 * number >= count
            if base is None and settled and len(seen) == len(models):
                base = left
            yield {"closed": visit.model, "bytes": left, "base": base}


def _given_tier(pipeline: Pipeline, tier: Tier) -> str:
    try:
        use_tier(pipeline, tier)
    except SkipPart as skip:
        return f"exact ({tier} not run: {skip})"
    return str(tier)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=50)
    parser.add_argument("--full", action="store_true", help="models of full size with random weights; needs a GPU")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path, metavar="FILE", help="append each line to this file")
    options = parser.parse_args()
    if options.full and not options.device.startswith("cuda"):
        parser.error("--full needs a GPU")
    closed: list[dict[str, Any]] = []
    for line in soak(options.requests, options.full, options.device):
        text = json.dumps(line)
        print(text, flush=True)
        if options.json is not None:
            with options.json.open("a", encoding="utf-8") as file:
                file.write(text + "\n")
        if "closed" in line:
            closed.append(line)
    return verdict(closed)


def verdict(closed: list[dict[str, Any]]) -> int:
    base, last = closed[-1]["base"], closed[-1]["bytes"]
    if base is None:
        print("too few requests: not every model has run")
        return 1
    grown = (last - base) / max(base, 1)
    back = grown <= ALLOWED
    print(
        f"{'back at' if back else 'NOT back at'} the base: {base / 1e6:.1f} MB, then {last / 1e6:.1f} MB ({grown:+.2%})"
    )
    return 0 if back else 1


if __name__ == "__main__":
    sys.exit(main())
