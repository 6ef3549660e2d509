"""Latents to frames, whole and in tiles, ours and diffusers', with the same random weights.

Ours as the product decodes: fused on a GPU, and in the tiles that are planned for 3 GiB. The peer's tiles are its own.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor

from benchmarks.full_size import random_weights
from benchmarks.speed.adapters import peer_or_skip
from benchmarks.speed.bench import Bench
from benchmarks.speed.clock import measure
from benchmarks.speed.forward import relative_error
from benchmarks.speed.record import OURS, PEER
from wanvideo.models.config import VAE_2_1, VAE_2_2, VAEConfig
from wanvideo.models.vae import WanVAE
from wanvideo.runtime.fused_vae import decoder
from wanvideo.runtime.tiles import Tiling, tilings
from wanvideo.runtime.tiling import decode_tiled
from wanvideo.runtime.vae_memory import decode_bytes

PART: Final = "vae"
SQUARE: Final = 8192  # the product whose rate stands for the convolutions' ceiling
OUR_POLICY: Final = "weights and convolutions in the dtype of the run, norms and frames float32"
PEER_POLICY: Final = "everything in the dtype of the run but norms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One decode."""

    config: VAEConfig
    frames: int
    width: int
    height: int
    flop: float
    peer_tile: int = 256  # pixels; diffusers' own choice, with an overlap of a quarter
    tiled_gib: float = 3.0  # what ours are planned for

    @property
    def name(self) -> str:
        kind = "2.2" if self.config.shortcuts else "2.1"
        return f"VAE {kind}, {self.frames} frames of {self.width}x{self.height}"

    def latents(self, device: torch.device, frames: int | None = None) -> Tensor:
        """[1, z, T, h, w] float32, of the whole clip or of its first `frames`."""
        config = self.config
        cells = self.height // config.spatial_stride, self.width // config.spatial_stride
        shape = 1, config.z_dim, config.latent_frames(frames or self.frames), *cells
        return torch.randn(shape, generator=torch.Generator(device).manual_seed(2), device=device)


# FLOP counted with PyTorch's FlopCounterMode.
CLIPS: Final = (
    Clip(config=VAE_2_2, frames=121, width=1280, height=704, flop=2011e12),
    Clip(config=VAE_2_1, frames=81, width=832, height=480, flop=275.4e12),
    Clip(config=VAE_2_1, frames=81, width=1280, height=720, flop=639.2e12),
)


def run(bench: Bench) -> None:
    for clip in map(shrunk, CLIPS[:2]) if bench.tiny else CLIPS:
        _clip(bench, clip)


def shrunk(clip: Clip) -> Clip:
    """So small that it only shows that the code runs."""
    config = replace(clip.config, base_dim=8, decoder_base_dim=8, num_res_blocks=1)
    return replace(clip, config=config, frames=9, width=64, height=64, flop=0.0, peer_tile=48, tiled_gib=0.0)


def planned_tiles(clip: Clip, itemsize: int) -> Tiling:
    """As the product would cut the clip for so much memory; where nothing fits, small squares."""
    config, size, cell = clip.config, (clip.height, clip.width), clip.config.spatial_stride
    fitting = (
        tiles
        for tiles in tilings(*size, cell)
        if decode_bytes(config, *size, itemsize, tiles) <= clip.tiled_gib * 2**30
    )
    return next(fitting, Tiling.square(clip.peer_tile, cell))


def _clip(bench: Bench, clip: Clip) -> None:
    torch.manual_seed(0)
    vae = bench.prepare(
        PART, clip.name, lambda: random_weights(lambda: WanVAE(clip.config), bench.device, bench.dtype, False)
    )
    if vae is None:
        return
    latents, start = clip.latents(bench.device), clip.latents(bench.device, frames=9)
    decode, tiles = decoder(vae, bench.device), planned_tiles(clip, bench.dtype.itemsize)

    def whole(z: Tensor) -> None:
        for chunk in decode(z):
            chunk.cpu()

    def tiled(z: Tensor) -> None:
        for chunk in decode_tiled(vae, z, tiles):
            if chunk is not None:
                chunk.cpu()

    with bench.case(PART, f"{clip.name}, whole", f"{OURS} exact", OUR_POLICY) as row:
        row |= _timed(bench, whole, latents, start, repeats=1 if bench.quick else 2)
        if clip.flop:
            bound = clip.flop / bench.ceilings.product("native", SQUARE, SQUARE, SQUARE)
            row |= {"roofline_seconds": bound, "of_roofline": bound / row["seconds"]}
    with bench.case(PART, f"{clip.name}, tiled", f"{OURS} exact", OUR_POLICY) as row:
        row |= _timed(bench, tiled, latents, start, repeats=1)
        row["tile_work"] = tiles.work(clip.height, clip.width)
    if bench.peer:
        _peer(bench, clip, vae, latents, start)


def _peer(bench: Bench, clip: Clip, vae: WanVAE, latents: Tensor, start: Tensor) -> None:
    mean, std = (
        torch.tensor(v, device=bench.device).reshape(1, -1, 1, 1, 1)
        for v in (clip.config.latent_mean, clip.config.latent_std)
    )

    def decode(theirs: Any, z: Tensor) -> Tensor:
        frames: Tensor = theirs.decode((z * std + mean).to(bench.dtype), return_dict=False)[0]
        return frames

    with bench.case(PART, f"{clip.name}, whole", PEER, PEER_POLICY) as row:
        theirs = peer_or_skip().peer_vae(vae)
        row |= _timed(bench, lambda z: decode(theirs, z).cpu(), latents, start, repeats=1 if bench.quick else 2)
        with torch.no_grad():
            row["relative_error_to_exact"] = relative_error(decode(theirs, start), vae.decode(start))
    with bench.case(PART, f"{clip.name}, tiled", PEER, PEER_POLICY) as row:
        theirs = peer_or_skip().peer_vae(vae)
        theirs.enable_tiling(clip.peer_tile, clip.peer_tile, clip.peer_tile * 3 // 4, clip.peer_tile * 3 // 4)
        row |= _timed(bench, lambda z: decode(theirs, z).cpu(), latents, start, repeats=1)


def _timed(
    bench: Bench, decode: Callable[[Tensor], object], latents: Tensor, start: Tensor, *, repeats: int
) -> dict[str, float]:
    """The warm-up is the start of the clip: every layer has seen its sizes then."""
    timing = measure(lambda: decode(latents), bench.device, repeats=repeats, warmup=lambda: decode(start))
    return timing.numbers
