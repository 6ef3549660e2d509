"""Train one VAE of the demo models: `python -m training.demo.train_vae 2.1 --out DIR`.

Whole clips go through the same causal convolutions that stream at run time. A part of the clips is what an image model
encodes: the first frame, sometimes the last, and grey between. Runs in pieces: call it again to go on.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from training.demo.architecture import vae
from training.demo.checkpoint import Run, load_tensors, rounded, save_tensors, train
from training.demo.world import sample_clips
from wanvideo.models.vae import WanVAE


def grey_between(clips: Tensor, which: Tensor, last: Tensor) -> Tensor:
    """clips [B, 3, F, H, W] where those of `which` keep only their first frame, and with `last` also the last."""
    keep = torch.ones(len(clips), 1, clips.shape[2], 1, 1, device=clips.device)
    keep[:, :, 1:-1] = (~which).view(-1, 1, 1, 1, 1).float()
    keep[:, :, -1:] = (~which | last).view(-1, 1, 1, 1, 1).float()
    return clips * keep


def reconstruction_loss(model: WanVAE, clips: Tensor) -> tuple[Tensor, Tensor]:
    """The loss and the mean squared error, for clips [B, 3, F, H, W] in [-1, 1]."""
    mean, log_variance = model.moments(clips)
    mean, log_variance = mean.float(), log_variance.float().clamp(-20, 10)
    z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
    error = model.pixels(z).float() - clips
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    squared = error.square().mean()
    return error.abs().mean() + 4 * squared + 1e-4 * kl, squared


def psnr(model: WanVAE, clips: Tensor) -> float:
    """Mean over clips of the peak signal-to-noise ratio in dB of streamed reconstructions."""
    with torch.no_grad():
        error = (model.decode(model.encode(clips)) - clips).square().mean((1, 2, 3, 4)) / 4
    return float((-10 * error.log10()).mean())


def latent_statistics(model: WanVAE, clips: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each latent channel, over clips and over the posterior.

    The posterior's own spread counts: a channel that the decoder ignores has means near zero and a spread of one, and
    dividing by the spread of the means alone would blow its noise up for the transformer to predict.
    """
    with torch.no_grad():
        moments = [model.moments(part) for part in clips.split(32)]
    mean = torch.cat([m.float() for m, _ in moments])
    variance = torch.cat([log_variance.float().exp() for _, log_variance in moments])
    std = (mean.var((0, 2, 3, 4)) + variance.mean((0, 2, 3, 4))).sqrt()
    center = mean.mean((0, 2, 3, 4))
    return tuple(round(v, 5) for v in center.tolist()), tuple(round(v, 5) for v in std.tolist())


def publish(
    path: Path, model: WanVAE, tensors: Mapping[str, Tensor], statistics: Mapping[str, str] | None = None
) -> None:
    """Write a finished VAE with its held-out PSNR and the statistics of its latents, measured if they are not given."""
    device = next(model.parameters()).device
    held_out, _ = sample_clips(256, generator=torch.Generator(device).manual_seed(10**6))
    if not statistics:
        mean, std = latent_statistics(model, held_out)
        statistics = {"mean": json.dumps(mean), "std": json.dumps(std)}
    kind = path.stem.removeprefix("vae-")
    model.config = vae(kind, tuple(json.loads(statistics["mean"])), tuple(json.loads(statistics["std"])))
    decibels = sum(psnr(model, part) for part in held_out.split(32)) / 8
    print(json.dumps({"vae": kind, "held-out psnr": round(decibels, 2)}), flush=True)
    save_tensors(path, tensors, {**statistics, "psnr": str(decibels)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["2.1", "2.2"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=8.0, help="of the whole run")
    parser.add_argument("--piece-minutes", type=float, default=9.0)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--decoder-only",
        action="store_true",
        help="sharpen the decoder of a finished VAE; its latents stay as they are",
    )
    parser.add_argument(
        "--statistics-only",
        action="store_true",
        help="train nothing: measure the latents of a finished VAE anew",
    )
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    device = torch.device(options.device)
    cuda = device.type == "cuda"
    torch.manual_seed(0)
    model = WanVAE(vae(options.kind)).to(device)
    result = options.out / f"vae-{options.kind}.safetensors"
    if options.statistics_only:
        tensors, _ = load_tensors(result)
        model.load_state_dict(tensors)
        publish(result, model, tensors)
        return
    statistics: dict[str, str] = {}
    if options.decoder_only:
        finished, statistics = load_tensors(result)
        model.load_state_dict(finished)
        model.encoder.requires_grad_(False)
        model.conv1.requires_grad_(False)
    run = Run(
        model,
        minutes=options.minutes,
        peak_lr=1e-3 if options.decoder_only else 2e-3,
        average=0.998,
        path=options.out / f"vae-{options.kind}{'-decoder' if options.decoder_only else ''}.run.safetensors",
    )
    generator = torch.Generator(device).manual_seed(1 + run.steps)
    loss_of = torch.compile(reconstruction_loss, dynamic=False) if cuda else reconstruction_loss

    def step() -> dict[str, Tensor]:
        clips, _ = sample_clips(options.batch, generator=generator)
        which = torch.rand(len(clips), device=device) < 0.15
        clips = grey_between(clips, which, torch.rand(len(clips), device=device) < 0.5)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=cuda):
            loss, squared = loss_of(model, clips)
        run.update(loss)
        return {"loss": loss.detach(), "psnr": -10 * (squared.detach() / 4).log10()}

    train([run], step, piece_minutes=options.piece_minutes)

    averaged = rounded(run.averaged_state())
    final = WanVAE(vae(options.kind)).to(device)
    final.load_state_dict(averaged)
    publish(result, final, averaged, statistics)


if __name__ == "__main__":
    main()
