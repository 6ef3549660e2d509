"""Train the transformers of one demo model, both experts together: `python -m training.demo.train_transformer t2v`.

Needs the trained text encoder and VAE in the same folder. Latents are made once and kept on the GPU. Runs in pieces:
call it again to go on.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from training.demo.architecture import TEXT_TOKENS, TRANSFORMERS, text_encoder, vae
from training.demo.captions import BACKGROUNDS, VOCABULARY, all_scenes
from training.demo.checkpoint import Run, load_tensors, rounded, save_tensors, train
from training.demo.train_text import encode, sentence
from training.demo.train_vae import grey_between
from training.demo.world import sample_clips
from wanvideo.models.text_encoder import UMT5Encoder
from wanvideo.models.transformer import WanTransformer
from wanvideo.models.vae import WanVAE

SHIFT: Final = 3.0
CAPTIONS_PER_SCENE: Final = 24
EMPTY_CAPTIONS: Final = 0.1  # share, for classifier-free guidance
END_FRAMES: Final = 0.3  # share of image-to-video clips with an end frame
GIVEN_IMAGES: Final = 0.5  # share of ti2v clips with a first frame
# Gray is nearly as bright as green, red and purple, so their edges are faint in the latents: more of it to learn from.
GRAY_CLIPS: Final = 0.2
PRECISION_FLOOR: Final = 0.02  # of a channel's variance


@dataclass(frozen=True)
class Expert:
    """One transformer and the noise levels it learns, as shares of the (unshifted) schedule."""

    name: str
    low: float
    high: float
    batch: int


def unshifted(sigma: float) -> float:
    return sigma / (SHIFT - (SHIFT - 1) * sigma)


def experts(model: str) -> tuple[Expert, ...]:
    """A little overlap at the boundary, since a step near it may fall on either side."""
    if model == "ti2v":
        return (Expert("ti2v", 0.0, 1.0, 512),)
    boundary = unshifted({"t2v": 0.875, "i2v": 0.9}[model])
    return (
        Expert(f"{model}-high", boundary - 0.03, 1.0, 224),
        Expert(f"{model}-low", 0.0, boundary + 0.03, 224),
    )


@dataclass(frozen=True)
class Pool:
    """Clips as normalised latents, with what their captions are."""

    latents: Tensor  # [K, z, T, h, w] bfloat16
    scenes: Tensor  # [K], index of the scene
    conditions: Tensor | None  # [2, K, z, T, h, w]: first frame alone; first and last
    weights: Tensor  # [z, 1, 1, 1] float32, with mean 1: how exactly each channel has to be right


def load_vae(folder: Path, kind: str, device: torch.device) -> WanVAE:
    tensors, metadata = load_tensors(folder / f"vae-{kind}.safetensors")
    config = vae(kind, tuple(json.loads(metadata["mean"])), tuple(json.loads(metadata["std"])))
    model = WanVAE(config)
    model.load_state_dict(rounded(tensors))
    return model.to(device).requires_grad_(False)


def load_text(folder: Path, device: torch.device) -> tuple[Tokenizer, UMT5Encoder]:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tensors, _ = load_tensors(folder / "text_encoder.safetensors")
    model = UMT5Encoder(text_encoder(tensors["token_embedding.weight"].shape[0]))
    model.load_state_dict(rounded(tensors))
    return tokenizer, model.to(device).requires_grad_(False)


def scene_index(labels: Tensor) -> Tensor:
    """Labels [K, 5] -> place in `all_scenes` [K]."""
    index = torch.zeros_like(labels[:, 0])
    for column, count in zip(labels.unbind(1), (2, 7, 3, 7, 4), strict=True):
        index = index * count + column
    return index


@torch.no_grad()
def make_pool(model: WanVAE, count: int, seed: int, *, with_conditions: bool = False, slant: float = 0.0) -> Pool:
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    center, scale = model._statistics(device)
    cuda = device.type == "cuda"
    moments = torch.compile(model.moments, dynamic=False) if cuda else model.moments

    def posterior(clips: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised latents, and the mean variance [z, 1, 1, 1] around them that the decoder was trained to bear."""
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=cuda):
            mean, log_variance = moments(clips)
        spread = log_variance.float().exp() / scale.square()
        return ((mean.float() - center) / scale).bfloat16(), spread.mean((0, 2, 3, 4)).view(-1, 1, 1, 1)

    coded: list[Tensor] = []
    spreads: list[Tensor] = []
    scenes: list[Tensor] = []
    conditions: list[Tensor] = []
    chunk = min(64, count)
    always = torch.ones(chunk, dtype=torch.bool, device=device)
    for _ in range(0, count, chunk):
        gray = torch.rand(chunk, generator=generator, device=device) < GRAY_CLIPS
        wanted = torch.full((chunk, len(VOCABULARY)), -1, device=device)
        wanted[gray, -1] = list(BACKGROUNDS).index("gray")
        clips, labels = sample_clips(chunk, generator=generator, labels=wanted, slant=slant)
        mean, spread = posterior(clips)
        coded.append(mean)
        spreads.append(spread)
        scenes.append(scene_index(labels))
        if with_conditions:
            conditions.append(
                torch.stack([posterior(grey_between(clips, always, last))[0] for last in (~always, always)])
            )
    exactness = 1 / (torch.stack(spreads).mean(0) + PRECISION_FLOOR)
    return Pool(
        latents=torch.cat(coded),
        scenes=torch.cat(scenes),
        conditions=torch.cat(conditions, 1) if with_conditions else None,
        weights=exactness / exactness.mean(),
    )


@torch.no_grad()
def caption_table(folder: Path, device: torch.device) -> tuple[Tensor, Tensor]:
    """Embeddings [scenes, captions, S, D] of many captions of every scene, and [S, D] of the empty one."""
    tokenizer, encoder = load_text(folder, device)
    rng = random.Random(2)
    sentences = [sentence(scene, rng) for scene in all_scenes() for _ in range(CAPTIONS_PER_SCENE)]
    ids, mask = encode(tokenizer, [*sentences, ""])
    parts = zip(ids.split(1024), mask.split(1024), strict=True)
    table = torch.cat([encoder(i.to(device), m.to(device)).bfloat16() for i, m in parts])
    return table[:-1].reshape(-1, CAPTIONS_PER_SCENE, TEXT_TOKENS, table.shape[-1]), table[-1]


def initialise(model: WanTransformer) -> WanTransformer:
    """Start from the velocity zero, with every Linear scaled to keep the variance."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
        if name == "head.head":
            nn.init.zeros_(module.weight)
    return model


def starting(model: str, finished: Path | None) -> WanTransformer:
    """A new transformer, or one with the weights of a finished run."""
    transformer = initialise(WanTransformer(TRANSFORMERS[model]))
    if finished is not None:
        transformer.load_state_dict(load_tensors(finished)[0])
    return transformer


def flow_loss(
    model: WanTransformer,
    clean: Tensor,
    text: Tensor,
    u: Tensor,
    given: Tensor | None,
    condition: Tensor | None,
    weights: Tensor,
) -> Tensor:
    """Mean squared error of the velocity at noise levels shift(u), u [B] in [0, 1], each channel by its weight.

    Weights do not change which velocity is right, but what a small network spends itself on: a channel that the
    decoder reads finely counts fifty times as much as one that it ignores.
    given [B]: the first latent frame is known and needs no denoising (ti2v); condition [B, 20, T, h, w] (i2v).
    """
    clean = clean.float()
    sigma = SHIFT * u / (1 + (SHIFT - 1) * u)
    noise = torch.randn_like(clean)
    level = sigma.view(-1, 1, 1, 1, 1).expand(-1, 1, clean.shape[2], 1, 1)
    timestep = sigma * 1000
    if given is not None:
        first = torch.where(given, 0.0, sigma)
        level = torch.cat([first.view(-1, 1, 1, 1, 1), level[:, :, 1:]], 2)
        timestep = torch.stack([first * 1000, timestep], 1)
    x = torch.lerp(clean, noise, level.expand_as(clean))
    velocity = model(x if condition is None else torch.cat([x, condition.float()], 1), timestep, text)
    error = (velocity - (noise - clean)).square() * weights
    if given is None:
        mean: Tensor = error.mean()
        return mean
    counted = (level > 0).float().expand_as(error)
    denoised: Tensor = (error * counted).sum() / counted.sum()
    return denoised


def first_and_last_mask(batch: int, end: Tensor, shape: torch.Size) -> Tensor:
    """The mask channels [B, 4, T, h, w] of image-to-video: 1 where a frame is given; `end` [B] has the last, too."""
    mask = torch.zeros(batch, 4, *shape[2:], device=end.device)
    mask[:, :, 0] = 1
    mask[:, 3, -1] = end.float().view(-1, 1, 1)
    return mask


def make_step(
    folder: Path, model: str, runs: Mapping[Expert, Run[WanTransformer]], pool: Pool, device: torch.device
) -> Callable[[], dict[str, Tensor]]:
    """One training step of every expert, as a CUDA graph where there is a GPU."""
    table, empty = caption_table(folder, device)
    cuda = device.type == "cuda"
    loss_of = torch.compile(flow_loss, dynamic=False) if cuda else flow_loss
    losses = {expert.name: torch.zeros((), device=device) for expert in runs}

    def step() -> dict[str, Tensor]:
        for expert, run in runs.items():
            index = torch.randint(len(pool.latents), (expert.batch,), device=device)
            which = torch.randint(CAPTIONS_PER_SCENE, (expert.batch,), device=device)
            dropped = torch.rand(expert.batch, device=device) < EMPTY_CAPTIONS
            text = torch.where(dropped.view(-1, 1, 1), empty, table[pool.scenes[index], which])
            clean = pool.latents[index]
            given = torch.rand(expert.batch, device=device) < GIVEN_IMAGES if model == "ti2v" else None
            condition = None
            if pool.conditions is not None:
                end = torch.rand(expert.batch, device=device) < END_FRAMES
                latents = pool.conditions[end.long(), index]
                condition = torch.cat([first_and_last_mask(expert.batch, end, clean.shape), latents.float()], 1)
            # Stratified over the batch: less noise in the loss than independent draws.
            spread = (
                torch.arange(expert.batch, device=device) + torch.rand(expert.batch, device=device)
            ) / expert.batch
            u = expert.low + (expert.high - expert.low) * spread
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=cuda):
                loss = loss_of(run.model, clean, text, u.clamp(1e-4, 1), given, condition, pool.weights)
            run.update(loss)
            losses[expert.name].lerp_(loss.detach(), 0.02)
        return losses

    return captured(step) if cuda else step


def captured(step: Callable[[], dict[str, Tensor]]) -> Callable[[], dict[str, Tensor]]:
    """`step` as one CUDA graph: the networks are so small that launching kernels would be most of the time."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        numbers = step()

    def replay() -> dict[str, Tensor]:
        graph.replay()
        return numbers

    return replay


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=sorted(TRANSFORMERS))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=16.0, help="of the whole run")
    parser.add_argument("--piece-minutes", type=float, default=8.5)
    parser.add_argument("--clips", type=int, default=49152, help="clips in the pool; each piece makes others")
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--further",
        action="store_true",
        help="start from finished weights in the folder, with a third of the learning rate",
    )
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    device = torch.device(options.device)
    torch.manual_seed(0)
    begun = time.monotonic()
    runs = {
        expert: Run(
            starting(options.model, options.out / f"{expert.name}.safetensors" if options.further else None).to(device),
            minutes=options.minutes,
            peak_lr=7e-4 if options.further else 2e-3,
            average=0.999,
            path=options.out / f"{expert.name}.run.safetensors",
        )
        for expert in experts(options.model)
    }
    done = next(iter(runs.values())).steps
    torch.manual_seed(1 + done)
    kind = "2.2" if options.model == "ti2v" else "2.1"
    autoencoder = load_vae(options.out, kind, device)
    pool = make_pool(autoencoder, options.clips, 1 + done, with_conditions=options.model == "i2v")
    print(json.dumps({"model": options.model, "pool seconds": round(time.monotonic() - begun, 1)}), flush=True)
    step = make_step(options.out, options.model, runs, pool, device)
    print(json.dumps({"model": options.model, "ready seconds": round(time.monotonic() - begun, 1)}), flush=True)
    train(runs.values(), step, piece_minutes=options.piece_minutes)
    for expert, run in runs.items():
        save_tensors(options.out / f"{expert.name}.safetensors", rounded(run.averaged_state()))


if __name__ == "__main__":
    main()
