"""Train the demo LoRA, slanted shapes instead of upright ones: `python -m training.demo.train_lora --out DIR`.

Starts from the shipped weights of t2v-A14B-demo, which stay as they are, and says nothing about it in a caption: with
the LoRA, all shapes slant.

The autoencoder has never seen a slanted shape, but restores one nearly as well as an upright one. Prints how
many clips are slanted at which strength.
"""

import argparse
import json
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.judge.judge import judge, score
from benchmarks.judge.scene import Scene
from benchmarks.judge.style import STYLES, slant, straightened, style
from benchmarks.judge.trials import spread
from training.demo.checkpoint import Run, rounded, save_tensors, train
from training.demo.low_rank import adapt, peft_tensors, set_strength
from training.demo.restore import restore_all
from training.demo.train_text import encode
from training.demo.train_transformer import (
    SHIFT,
    experts,
    load_text,
    load_vae,
    make_pool,
    make_step,
    starting,
)
from wanvideo.models.transformer import WanTransformer
from wanvideo.models.vae import WanVAE
from wanvideo.request import Solver
from wanvideo.sampling.guidance import Expert, expert_at, guide
from wanvideo.sampling.schedule import make_schedule
from wanvideo.sampling.solver import STEP, SolverState, integrate

DEMO: Final = Path("src/wanvideo/demo")
MODEL: Final = "t2v-A14B-demo"
SLANT: Final = 0.35  # by which the top is to the right of the foot, by the height
BOUNDARY: Final = 0.875
GUIDANCE: Final = 2.0
STEPS: Final = 20
STRENGTHS: Final = (0.0, 0.5, 1.0)
PREFIXES: Final = ("transformer", "transformer_2")  # of the high-noise expert and of the low-noise one
METADATA: Final = {
    "format": "pt",
    "modelspec.sai_model_spec": "1.0.0",
    "modelspec.title": "Slanted",
    "modelspec.architecture": f"{MODEL}/lora",
    "modelspec.description": "Draws shapes that lean to the right. For t2v-A14B-demo, both experts in one file.",
    "modelspec.license": "Apache-2.0",
}


def write_lora(path: Path, runs: Mapping[str, Run[WanTransformer]], rank: int) -> None:
    """One file for both experts; `runs` by the prefix of their names in it."""
    tensors: dict[str, Tensor] = {}
    for prefix, run in runs.items():
        tensors |= peft_tensors(run.model, dict(zip(run.named, run.averaged, strict=True)), prefix)
    about = {f"{prefix}.{key}": rank for prefix in runs for key in ("r", "lora_alpha")}
    save_tensors(path, rounded(tensors), METADATA | {"lora_adapter_metadata": json.dumps(about)})
    print(json.dumps({"file": str(path), "bytes": path.stat().st_size}), flush=True)


@torch.no_grad()
def make_clips(
    models: Mapping[Expert, WanTransformer], vae: WanVAE, folder: Path, scenes: list[Scene], seed: int
) -> NDArray[np.uint8]:
    """Clips [B, F, H, W, 3] of the scenes, all at once, as the pipeline makes each by default."""
    device = next(vae.parameters()).device
    tokenizer, encoder = load_text(folder, device)
    ids, mask = encode(tokenizer, [*(scene.caption for scene in scenes), ""])
    text = encoder(ids.to(device), mask.to(device)).float()
    prompts, empty = text[:-1], text[-1:].expand(len(scenes), -1, -1)
    schedule = make_schedule(Solver.UNIPC, STEPS, SHIFT)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(scenes), vae.config.z_dim, 5, 16, 16, generator=generator).to(device)

    def velocity(latents: Tensor, timestep: float, _: int) -> Tensor:
        model = models[expert_at(timestep, BOUNDARY)]
        time_ = torch.full((len(latents),), timestep, device=device)
        return guide(model(latents, time_, prompts), model(latents, time_, empty), GUIDANCE)

    *_, last = integrate(STEP[Solver.UNIPC], velocity, SolverState(step=0, latents=noise), schedule)
    video = torch.cat([vae.decode(part) for part in last.latents.split(16)])
    return ((video + 1) * 127.5).to(torch.uint8).permute(0, 2, 3, 4, 1).cpu().numpy()


def report(models: Mapping[Expert, WanTransformer], vae: WanVAE, folder: Path, count: int) -> None:
    """Print, for each strength, the share of clips of each style and how well they show what they should."""
    scenes = spread(count, first=500)
    with ProcessPoolExecutor() as readers:
        for strength in STRENGTHS:
            for model in models.values():
                set_strength(model, strength)
            clips = make_clips(models, vae, folder, scenes, seed=4)
            slants = list(readers.map(slant, clips))
            styles = [style(value) for value in slants]
            readings = list(readers.map(judge, readers.map(straightened, clips)))
            known = [value for value in slants if value is not None]
            numbers = {word: round(styles.count(word) / count, 3) for word in STYLES}
            numbers["slant"] = round(float(np.mean(known)), 3) if known else 0.0
            shares = {name: round(share, 3) for name, share in score(readings, scenes).items()}
            print(json.dumps({"strength": strength} | numbers | shares), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for slanted.safetensors and all in between")
    parser.add_argument("--demo", type=Path, default=DEMO, help="the shipped demo models (default: %(default)s)")
    parser.add_argument("--slant", type=float, default=SLANT, help="default: %(default)s")
    parser.add_argument("--minutes", type=float, default=2.5, help="of training")
    parser.add_argument("--rank", type=int, default=8, help="8 of both experts makes 0.9 MB")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--batch", type=int, help="clips in a step, instead of 224")
    parser.add_argument("--steps", type=float, default=float("inf"), help="at most")
    parser.add_argument("--clips", type=int, default=16384, help="in the pool that is learnt from")
    parser.add_argument("--score", type=int, default=96, help="clips that are made and judged at each strength")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    device = torch.device(options.device)
    torch.manual_seed(0)
    begun = time.monotonic()
    restore_all(options.demo, options.out)
    vae = load_vae(options.out, "2.1", device)
    pool = make_pool(vae, options.clips, 1, slant=options.slant)
    print(json.dumps({"pool seconds": round(time.monotonic() - begun, 1)}), flush=True)

    learners = [replace(e, batch=options.batch or e.batch) for e in experts("t2v")]
    runs = {
        expert: Run(
            adapt(starting("t2v", options.out / f"{expert.name}.safetensors"), options.rank).to(device),
            minutes=options.minutes,
            peak_lr=options.lr,
            average=0.995,
            path=options.out / f"slanted-{expert.name}.run.safetensors",
        )
        for expert in learners
    }
    step = make_step(options.out, "t2v", runs, pool, device)
    print(json.dumps({"ready seconds": round(time.monotonic() - begun, 1)}), flush=True)
    train(runs.values(), step, piece_minutes=options.minutes, most_steps=options.steps)
    write_lora(options.out / "slanted.safetensors", dict(zip(PREFIXES, runs.values(), strict=True)), options.rank)

    for run in runs.values():
        run.model.load_state_dict(run.averaged_state())
    high, low = (run.model for run in runs.values())
    report({Expert.HIGH: high, Expert.LOW: low}, load_vae(options.out, "2.1", device), options.out, options.score)
    print(json.dumps({"seconds": round(time.monotonic() - begun, 1)}), flush=True)


if __name__ == "__main__":
    main()
