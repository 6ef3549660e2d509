"""Whole pipelines at full size, from token ids to frames, without a cap on GPU memory and under some."""

import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from PIL import Image

from benchmarks.full_size import measure, pipeline_for
from benchmarks.speed.bench import Bench
from benchmarks.speed.clock import GIB, free_memory, resident_bytes
from benchmarks.speed.lora import write_lora
from benchmarks.speed.record import OURS, SkipPart
from benchmarks.speed.text import TINY
from wanvideo.errors import NotEnoughMemory
from wanvideo.request import GenerationRequest, LoraUse, Tier
from wanvideo.weights.catalog import ModelSpec, resolve

PART: Final = "memory"
STEPS: Final = 3  # of an A14B, with the high-noise expert first
RTX_4080: Final = 14.9  # GiB that the plan for the profile rtx-4080 may use


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A pipeline and what is asked of it."""

    model: str
    size: tuple[int, int]
    frames: int
    image: bool = False
    guided: bool = False
    vae_dtype: str = "bfloat16"
    tier: Tier = Tier.EXACT
    float8: bool = False  # how the transformers are stored
    lora: bool = False
    cap: float | None = None  # GiB, in place of those that were asked for

    @property
    def name(self) -> str:
        with_image = ", an image" if self.image else ""
        stored = ", stored in float8" if self.float8 else ""
        lora = ", a LoRA" if self.lora else ""
        guidance = "with" if self.guided else "without"
        return f"{self.model}{with_image}{stored}{lora}, {STEPS} steps {guidance} guidance, {self.vae_dtype} VAE"


PLAIN: Final = {
    "5b-704p": Whole(model="ti2v-5B", size=(1280, 704), frames=121),
    "a14b-480p": Whole(model="t2v-A14B", size=(832, 480), frames=81),
    "a14b-720p": Whole(model="t2v-A14B", size=(1280, 720), frames=81),
}
# Rows beside the plain ones, by the name of the option and of the shape.
VARIANTS: Final[Mapping[str, Mapping[str, tuple[Whole, ...]]]] = {
    "plain": {name: (whole,) for name, whole in PLAIN.items()},
    "guided": {name: (replace(whole, guided=True),) for name, whole in PLAIN.items()},
    "float32-vae": {name: (replace(whole, vae_dtype="float32"),) for name, whole in PLAIN.items()},
    "fast": {name: (replace(whole, tier=Tier.FAST),) for name, whole in PLAIN.items()},
    "lora": {
        name: tuple(replace(whole, lora=True, tier=tier) for tier in (Tier.EXACT, Tier.FAST))
        for name, whole in PLAIN.items()
    },
    "image": {
        name: (replace(whole, model="i2v-A14B" if whole.model == "t2v-A14B" else whole.model, image=True),)
        for name, whole in PLAIN.items()
    },
    "rtx-4080": {
        "a14b-720p": tuple(
            replace(PLAIN["a14b-720p"], float8=True, tier=tier, cap=RTX_4080) for tier in (Tier.EXACT, Tier.FAST)
        )
    },
}


def run(bench: Bench) -> None:
    for shape in bench.shapes:
        for variant in bench.wholes:
            for whole in VARIANTS[variant].get(shape.name, ()):
                if whole.tier not in bench.tiers:
                    continue
                caps = (*bench.caps, *(() if bench.quick else (None,))) if whole.cap is None else (whole.cap,)
                for cap in caps[:1] if bench.tiny else caps:
                    subject = f"{OURS} {whole.tier}, " + ("all memory" if cap is None else f"{cap:g} GiB")
                    with (
                        tempfile.TemporaryDirectory() as folder,
                        bench.case(PART, f"{shape.name}, {whole.name}", subject) as row,
                    ):
                        row |= _one(bench, whole, cap, Path(folder))


def _one(bench: Bench, whole: Whole, cap: float | None, folder: Path) -> dict[str, float]:
    if bench.on_gpu:
        free_memory()
        torch.cuda.reset_peak_memory_stats()
    elif not bench.tiny:
        raise SkipPart("whole pipelines of full size need a GPU")
    width, height = (64, 64) if bench.tiny else whole.size
    spec = shrunk(resolve(whole.model)) if bench.tiny else resolve(whole.model)
    loras = (LoraUse(source=write_lora(folder / "random.safetensors", spec.transformer)),) if whole.lora else ()
    request = GenerationRequest(
        prompt="random",
        width=width,
        height=height,
        frames=5 if bench.tiny else whole.frames,
        steps=STEPS,
        guidance=None if whole.guided else 1.0,
        seed=1,
        image=Image.effect_noise((width, height), 60).convert("RGB") if whole.image else None,
        loras=loras,
    )
    limit = None if cap is None or not bench.on_gpu else int(cap * GIB)
    began = time.perf_counter()
    try:
        with pipeline_for(
            spec,
            whole.vae_dtype if bench.on_gpu else "float32",
            limit,
            device=str(bench.device),
            tier=whole.tier,
            float8=whole.float8,
        ) as pipeline:
            found: dict[str, Any] = measure(pipeline, request)
    except NotEnoughMemory as error:
        raise SkipPart(f"does not fit: {error}") from error
    return {"seconds": time.perf_counter() - began, **_numbers(found), "host_rss_gib": resident_bytes() / GIB}


def shrunk(spec: ModelSpec) -> ModelSpec:
    """A model so small that it only shows that the code runs."""
    assert spec.vae is not None
    transformer = replace(spec.transformer, num_heads=2, head_dim=32, num_layers=2, ffn_dim=96, text_dim=32)
    vae = replace(spec.vae, base_dim=8, decoder_base_dim=8, num_res_blocks=1)
    return replace(spec, transformer=transformer, vae=vae, text_encoder=replace(TINY, dim=32))


def _numbers(found: Mapping[str, Any]) -> dict[str, float]:
    """Of what `measure` found; on a CPU nothing is planned."""
    seconds, peaks, host = found["seconds"], found["peak GiB"], found["host GiB"]
    numbers = {
        "step_seconds": statistics.median(found["seconds per step"]),
        "encode_seconds": seconds["encode"],
        "denoise_seconds": seconds["denoise"],
        "decode_seconds": seconds["decode"],
        "denoise_host_gib": host["denoise"],
    }
    if "planned GiB" not in found:
        return numbers
    planned, planned_seconds = found["planned GiB"], found["planned seconds"]
    numbers |= {"peak_gib": max(peaks.values()), "planned_peak_gib": max(planned.values())}
    for phase in ("denoise", "decode"):
        numbers |= {f"{phase}_peak_gib": peaks[phase], f"planned_{phase}_gib": planned[phase]}
    for phase in ("encode", "denoise", "decode"):
        numbers[f"planned_{phase}_seconds"] = planned_seconds[phase]
    return numbers
