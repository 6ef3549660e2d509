"""Time the video autoencoder on a GPU, at full size with random weights; one JSON object per measurement.

    python -m benchmarks.vae_speed --model 2.2 --height 704 --width 1280 --frames 121
    python -m benchmarks.vae_speed --model 2.2 --height 704 --width 1280 --frames 121 --budget 3
    python -m benchmarks.vae_speed --model 2.1 --height 720 --width 1280 --frames 81 --encode --peer
    python -m benchmarks.vae_speed --model 2.2 --height 704 --width 1280 --frames 121 --profile
    python -m benchmarks.vae_speed --model 2.2 --height 704 --width 1280 --convs

Chunks are let go as they come, as the pipeline does. Peaks are those of PyTorch's allocator, weights included. TFLOP/s
are those of the plain network, so that work which is not done counts as speed. cuDNN chooses by its heuristics, as in
the product; with --cudnn-search it tries its kernels in the first run.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from wanvideo.kernels import vae as kernels
from wanvideo.models.config import VAE_2_1, VAE_2_2, VAEConfig
from wanvideo.models.vae import CausalCache, WanVAE
from wanvideo.runtime import fused_vae
from wanvideo.runtime.fused_vae import FusedDecoder, FusedEncoder
from wanvideo.runtime.tiles import Tiling, tilings
from wanvideo.runtime.tiling import decode_tiled
from wanvideo.runtime.vae_memory import GROUP, decode_bytes

CONFIGS: Final = {"2.1": VAE_2_1, "2.2": VAE_2_2}
GIB: Final = 2**30
CHECKED_FRAMES: Final = 9  # of the clip that is compared with the plain network in float32


def main() -> None:
    options = _options()
    torch.backends.cudnn.benchmark = options.cudnn_search
    config, dtype = CONFIGS[options.model], getattr(torch, options.dtype)
    if options.convs:
        time_convolutions(config, options, dtype)
        return
    vae = random_vae(config, dtype)
    latents = random_latents(config, options.frames, options.height, options.width)
    if not options.no_check:
        report("check", **agreement(vae, latents[:, :, : config.latent_frames(CHECKED_FRAMES)]))
    if options.encode:
        video = torch.rand(1, 3, options.frames, options.height, options.width, device="cuda") * 2 - 1
        flops = encode_flops(config, options.frames, options.height, options.width)
        encoder = FusedEncoder(vae)
        report("encode", **measure(lambda: encoder.encode(video), flops, options.repeats))
        del video
    flops = decode_flops(config, latents)
    if options.decoder_only:
        vae.encoder.to("meta")
    for group in options.group or [GROUP]:
        decoder = FusedDecoder(vae, group=group)
        estimate = decode_bytes(config, options.height, options.width, dtype.itemsize, group=group)
        measured = measure(lambda d=decoder: drain(d.stream(latents)), flops, options.repeats)  # type: ignore[misc]
        report("decode", group=group, **measured, estimated_gib=round(estimate / GIB, 2))
        if options.profile:
            profile(decoder, latents)
        del decoder
    for tiles, estimate in _tilings(config, options, dtype):
        facts = {"work": round(tiles.work(options.height, options.width), 3), "estimated_gib": round(estimate / GIB, 2)}
        measured = measure(lambda t=tiles: drain(decode_tiled(vae, latents, t)), flops, options.repeats)  # type: ignore[misc]
        report("tiled", tiles=str(tiles), count=tiles.count(options.height, options.width), **measured, **facts)
    if options.plain:
        report("plain", **measure(lambda: drain(vae.decode_stream(latents)), flops, options.repeats))
    if options.peer:
        del vae
        time_diffusers(config, latents, dtype, flops, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", choices=CONFIGS, default="2.2")
    parser.add_argument("--height", type=int, default=704)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--frames", type=int, default=121)
    parser.add_argument("--dtype", choices=("bfloat16", "float16", "float32"), default="bfloat16")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--group", type=int, action="append", help="frames a stage takes at a time; may be repeated")
    parser.add_argument("--tile", type=int, help="also in tiles of this many pixels a side")
    parser.add_argument("--budget", type=float, action="append", help="also in the tiles planned for this many GiB")
    parser.add_argument("--encode", action="store_true")
    parser.add_argument("--plain", action="store_true", help="also the plain network")
    parser.add_argument("--peer", action="store_true", help="also diffusers' autoencoder")
    parser.add_argument("--profile", action="store_true", help="also what each kind of step takes")
    parser.add_argument("--convs", action="store_true", help="only the decoder's convolutions, one by one")
    parser.add_argument("--decoder-only", action="store_true", help="leave the encoder out of memory")
    parser.add_argument("--no-check", action="store_true", help="do not compare with the plain network in float32")
    parser.add_argument("--cudnn-search", action="store_true", help="let cuDNN try its kernels in the first run")
    return parser.parse_args()


def _tilings(config: VAEConfig, options: argparse.Namespace, dtype: torch.dtype) -> Iterator[tuple[Tiling, int]]:
    """What was asked for, and what is planned; with the bytes that are expected."""
    cell, (height, width) = config.spatial_stride, (options.height, options.width)
    asked = [] if options.tile is None else [Tiling.square(options.tile, cell)]
    for gib in options.budget or []:
        fitting = (
            t
            for t in tilings(height, width, cell)
            if decode_bytes(config, height, width, dtype.itemsize, t) <= gib * GIB
        )
        asked += islice(fitting, 1)
    for tiles in asked:
        yield tiles, decode_bytes(config, height, width, dtype.itemsize, tiles)


def report(what: str, **facts: Any) -> None:
    print(json.dumps({"what": what, "gpu": torch.cuda.get_device_name(), **facts}), flush=True)


# --- what is measured ------------------------------------------------------------------------------------------------


def random_vae(config: VAEConfig, dtype: torch.dtype) -> WanVAE:
    torch.manual_seed(0)
    with torch.device("cuda"):
        return WanVAE(config).to(dtype).eval().requires_grad_(False)


def random_latents(config: VAEConfig, frames: int, height: int, width: int) -> Tensor:
    cells = config.spatial_stride
    generator = torch.Generator("cuda").manual_seed(1)
    shape = (1, config.z_dim, config.latent_frames(frames), height // cells, width // cells)
    return torch.randn(shape, device="cuda", generator=generator)


def drain(stream: Iterator[Tensor | None]) -> None:
    for chunk in stream:
        del chunk


@torch.no_grad()
def measure(run: Callable[[], object], flops: int, repeats: int) -> dict[str, Any]:
    """Seconds of the first and of later runs, and the most memory that one of these took."""

    def seconds() -> float:
        torch.cuda.synchronize()
        begin = time.perf_counter()
        run()
        torch.cuda.synchronize()
        return time.perf_counter() - begin

    first = seconds()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    times = [seconds() for _ in range(repeats)]
    median = statistics.median(times)
    return {
        "seconds": round(median, 3),
        "all": [round(t, 3) for t in times],
        "first_run": round(first, 2),
        "peak_gib": round(torch.cuda.max_memory_allocated() / GIB, 2),
        "reserved_gib": round(torch.cuda.max_memory_reserved() / GIB, 2),
        "tflop_per_s": round(flops / median / 1e12, 1),
    }


@torch.no_grad()
def agreement(vae: WanVAE, latents: Tensor) -> dict[str, float]:
    """How far the plain and the fused network in its type are from the plain one in float32, in dB."""
    dtype = vae.conv2.weight.dtype
    tf32, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    exact = vae.float().decode(latents)
    torch.backends.cudnn.allow_tf32 = tf32
    vae.to(dtype)
    plain = vae.decode(latents)
    fused = torch.cat(list(FusedDecoder(vae).stream(latents)), dim=2)
    return {
        "std": round(float(exact.std()), 4),
        "plain_psnr": psnr(plain, exact),
        "fused_psnr": psnr(fused, exact),
        "fused_plain_psnr": psnr(fused, plain),
    }


def psnr(a: Tensor, b: Tensor) -> float:
    return round(10 * math.log10(4 / max(1e-20, float((a - b).square().mean()))), 2)


def decode_flops(config: VAEConfig, latents: Tensor) -> int:
    """Of the plain network, counted on its first two chunks without computing them."""
    with torch.device("meta"):
        vae, z = WanVAE(config), torch.empty(1, config.z_dim, 1, *latents.shape[3:])
    cache, counts = CausalCache(), list[int]()
    for _ in range(2 + bool(latents.shape[2] > 2)):
        counts.append(_count(lambda: vae.pixels(z, cache)))
    return counts[0] + counts[-1] * (latents.shape[2] - 1)


def encode_flops(config: VAEConfig, frames: int, height: int, width: int) -> int:
    with torch.device("meta"):
        vae, video = WanVAE(config), torch.empty(1, 3, 5, height, width)
    cache = CausalCache()
    first, following = (_count(lambda c=c: vae.moments(c, cache)) for c in (video[:, :, :1], video[:, :, 1:]))  # type: ignore[misc]
    return first + following * (config.latent_frames(frames) - 1)


@torch.no_grad()
def _count(run: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())


def time_diffusers(
    config: VAEConfig, latents: Tensor, dtype: torch.dtype, flops: int, options: argparse.Namespace
) -> None:
    from diffusers import AutoencoderKLWan

    kind: dict[str, Any] = {"base_dim": config.base_dim, "z_dim": config.z_dim}
    kind |= {"latents_mean": list(config.latent_mean), "latents_std": list(config.latent_std)}
    if config.shortcuts:
        kind |= {"is_residual": True, "in_channels": 12, "out_channels": 12, "patch_size": 2}
        kind |= {"scale_factor_spatial": 16, "decoder_base_dim": config.decoder_base_dim}
    torch.cuda.empty_cache()
    with torch.device("cuda"):
        peer = AutoencoderKLWan(**kind).to(dtype).eval().requires_grad_(False)
    z = latents.to(dtype)
    report("diffusers decode", **measure(lambda: peer.decode(z, return_dict=False), flops, options.repeats))
    if options.encode:
        video = torch.rand(1, 3, options.frames, options.height, options.width, device="cuda", dtype=dtype)
        flops = encode_flops(config, options.frames, options.height, options.width)
        report("diffusers encode", **measure(lambda: peer.encode(video), flops, options.repeats))


# --- where the time goes ---------------------------------------------------------------------------------------------


@dataclass
class _Spent:
    events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = field(default_factory=list)
    flops: int = 0

    @property
    def milliseconds(self) -> float:
        return float(sum(begin.elapsed_time(end) for begin, end in self.events))


CONVOLUTIONS: Final = ("conv3d", "conv2d")


@contextmanager
def _watched(seen: Callable[[str, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]) -> Iterator[None]:
    """Let `seen` call the steps of the fused network in their place."""
    places: list[tuple[Any, str]] = [(kernels, "conv3d"), (kernels, "add_"), (F, "linear")]
    places += [(fused_vae, name) for name in ("conv3d", "conv2d", "norm_silu", "add_", "join_phases")]
    places += [(F, "scaled_dot_product_attention")]
    originals = [(place, name, getattr(place, name)) for place, name in places]
    for place, name, original in originals:
        setattr(place, name, lambda *a, _name=name, _original=original, **k: seen(_name, _original, a, k))
    try:
        yield
    finally:
        for place, name, original in originals:
            setattr(place, name, original)


def profile(decoder: FusedDecoder, latents: Tensor) -> None:
    """Report, for every kind of step and shape, the time that it takes; `rest` is copies and waiting."""
    spent: dict[tuple[str, str], _Spent] = {}

    def timed(name: str, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        shape = "x".join(map(str, args[0].shape))
        if name in CONVOLUTIONS:
            shape += " * " + "x".join(map(str, args[1].shape))
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        result = original(*args, **kwargs)
        end.record()
        of = spent.setdefault((name, shape), _Spent())
        of.events.append((begin, end))
        if name in CONVOLUTIONS:
            of.flops += 2 * result[..., 0].numel() * args[1].numel()
        return result

    torch.cuda.synchronize()
    begin = time.perf_counter()
    with _watched(timed):
        drain(decoder.stream(latents))
        torch.cuda.synchronize()
    total = 1000 * (time.perf_counter() - begin)
    for (name, shape), of in sorted(spent.items(), key=lambda item: -item[1].milliseconds):
        ms = of.milliseconds
        rate = {"tflop_per_s": round(of.flops / ms / 1e9, 1)} if of.flops else {}
        share = round(ms / total, 4)
        report("step", step=name, shape=shape, calls=len(of.events), ms=round(ms, 2), share=share, **rate)
    for name in sorted({step for step, _ in spent}):
        ms = sum(of.milliseconds for (step, _), of in spent.items() if step == name)
        report("steps", step=name, ms=round(ms, 1), share=round(ms / total, 4))
    rest = total - sum(of.milliseconds for of in spent.values())
    report("steps", step="rest", ms=round(rest, 1), share=round(rest / total, 4))


def time_convolutions(config: VAEConfig, options: argparse.Namespace, dtype: torch.dtype) -> None:
    """Time every distinct convolution of the fused decoder by cuDNN."""
    shapes: dict[tuple[Any, ...], int] = {}
    vae = random_vae(config, dtype)
    latents = random_latents(config, 9, options.height, options.width)

    def noted(name: str, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if name in CONVOLUTIONS:
            key = (name, tuple(args[0].shape), tuple(args[1].shape), kwargs.get("padding", 0))
            shapes[key] = shapes.get(key, 0) + 1
        return original(*args, **kwargs)

    with _watched(noted), torch.no_grad():
        drain(FusedDecoder(vae, group=(options.group or [GROUP])[0]).stream(latents))
    del vae
    for (name, shape, weight_shape, padding), calls in shapes.items():
        x = torch.randn(shape, device="cuda", dtype=dtype)
        layout = torch.channels_last_3d if name == "conv3d" else torch.channels_last
        weight = torch.randn(weight_shape, device="cuda", dtype=dtype).contiguous(memory_format=layout)
        more = {"padding": padding} if name == "conv2d" else {}
        convolve: Callable[..., Tensor] = getattr(kernels, name)
        result = convolve(x, weight, **more)
        flops = 2 * result[..., 0].numel() * weight.numel()
        ms = milliseconds(lambda c=convolve, x=x, w=weight, m=more: c(x, w, **m))  # type: ignore[misc]
        facts: dict[str, Any] = {"x": shape, "weight": weight_shape, "calls_in_9_frames": calls}
        report(name, **facts, ms=round(ms, 3), tflop_per_s=round(flops / ms / 1e9, 1))


def milliseconds(run: Callable[[], object], repeats: int = 10) -> float:
    """Median time of one call on the GPU, after a warm-up."""
    for _ in range(3):
        run()
    times: list[float] = []
    for _ in range(repeats):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        run()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times)


if __name__ == "__main__":
    main()
