"""Latents to frames and back, whole and in tiles, ours and diffusers', with the same random weights.

Ours in the product's own way: fused on a GPU, frames leaving for the host while the next ones are computed, and in the
tiles that are planned for 3 GiB. What tiles cost is told apart by a row for the same tiles that are not joined. The
peer's tiles are its own.

cuDNN chooses its kernels by its heuristics, as in the product. With `--cudnn-search` it tries them, in the first call;
it remembers its choice for as long as a process lives, so that each of the two needs a run of its own.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from torch import Tensor

from benchmarks.full_size import random_weights
from benchmarks.speed.adapters import peer_or_skip
from benchmarks.speed.bench import Bench
from benchmarks.speed.clock import GIB, measure
from benchmarks.speed.demo import psnr
from benchmarks.speed.forward import relative_error
from benchmarks.speed.record import OURS, PEER
from wanvideo.models.config import VAE_2_1, VAE_2_2, VAEConfig
from wanvideo.models.vae import WanVAE
from wanvideo.pipelines.arrival import arriving
from wanvideo.runtime.fused_vae import decoder, encode
from wanvideo.runtime.memory_model import encode_bytes
from wanvideo.runtime.tiles import Tiling, tilings
from wanvideo.runtime.tiling import decode_tiled, encode_tiled, pieces
from wanvideo.runtime.vae_memory import decode_bytes, weight_count

PART: Final = "vae"
SQUARE: Final = 8192  # the product whose rate stands for the convolutions' ceiling
START: Final = 9  # frames of a clip in which every layer sees all of its sizes
OUR_POLICY: Final = "weights and convolutions in the dtype of the run, norms and frames float32"
PEER_POLICY: Final = "everything in the dtype of the run but norms"

Decode: TypeAlias = Callable[[Tensor], Iterable[Tensor | None]]  # latents -> chunks of frames, when there are any


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One decode, and the encode of as many frames."""

    config: VAEConfig
    frames: int
    width: int
    height: int
    flop: float
    peer_tile: int = 256  # pixels; diffusers' own choice, with an overlap of a quarter
    tiled_gib: float = 3.0  # what ours are planned for, decoder included

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

    def video(self, frames: int | None = None) -> Tensor:
        """[1, 3, F, H, W] in [-1, 1] on the host, from where the product encodes."""
        shape = 1, 3, frames or self.frames, self.height, self.width
        return torch.rand(shape, generator=torch.Generator().manual_seed(3)) * 2 - 1

    def planned_tiles(self, needed: Callable[[Tiling | None], int]) -> Tiling | None:
        """As the product cuts the clip for so much memory; None: not at all. The smallest tiles if nothing fits."""
        ways = [None, *tilings(self.height, self.width, self.config.spatial_stride)]
        return next((tiles for tiles in ways if needed(tiles) <= self.tiled_gib * GIB), ways[-1])


# FLOP of a decode, counted with PyTorch's FlopCounterMode.
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
    return replace(clip, config=config, frames=START, width=256, height=64, flop=0.0, peer_tile=48, tiled_gib=0.0)


def _clip(bench: Bench, clip: Clip) -> None:
    torch.manual_seed(0)
    vae = bench.prepare(
        PART, clip.name, lambda: random_weights(lambda: WanVAE(clip.config), bench.device, bench.dtype, False)
    )
    if vae is None:
        return
    _decode(bench, clip, vae)
    _encode(bench, clip, vae)
    if bench.peer:
        _peer(bench, clip, vae)


# --- ours ------------------------------------------------------------------------------------------------------------


def _decode(bench: Bench, clip: Clip, vae: WanVAE) -> None:
    decode, itemsize = decoder(vae, bench.device), bench.dtype.itemsize
    tiles = clip.planned_tiles(lambda way: decode_bytes(clip.config, clip.height, clip.width, itemsize, way))
    latents, start = clip.latents(bench.device), clip.latents(bench.device, START)

    def timed(way: Decode) -> dict[str, float]:
        return _timed(bench, lambda z: _drain(arriving(way(z), bench.device)), latents, start)

    with bench.case(PART, f"{clip.name}, decode", _ours(), OUR_POLICY) as whole:
        whole |= timed(decode)
        if clip.flop:
            bound = clip.flop / bench.ceilings.product("native", SQUARE, SQUARE, SQUARE)
            whole |= {"roofline_seconds": bound, "of_roofline": bound / whole["seconds"]}
    if tiles is None:
        return
    case, note = f"{clip.name}, decode in tiles", _cut(clip, tiles)
    with bench.case(PART, case, _ours(), note) as row:
        row |= timed(lambda z: decode_tiled(vae, z, tiles))
        row |= _beside(whole, row, clip, tiles)
        row["psnr_to_whole_db"] = _psnr(bench, decode_tiled(vae, start, tiles), decode(start))
    with bench.case(PART, f"{case}, not joined", _ours(), note) as row:
        row |= timed(lambda z: _apart(decode, z, tiles))
        row |= _beside(whole, row, clip, tiles)


def _encode(bench: Bench, clip: Clip, vae: WanVAE) -> None:
    dtype = str(bench.dtype).removeprefix("torch.")
    weights = weight_count(clip.config) * bench.dtype.itemsize  # the decoder's, which stay there
    tiles = clip.planned_tiles(lambda way: weights + encode_bytes(clip.config, clip.height, clip.width, dtype, way))
    video, start = clip.video(), clip.video(START)
    with bench.case(PART, f"{clip.name}, encode", _ours(), OUR_POLICY) as whole:
        whole |= _timed(bench, lambda frames: encode(vae, frames).cpu(), video, start)
    if tiles is None:
        return
    with bench.case(PART, f"{clip.name}, encode in tiles", _ours(), _cut(clip, tiles)) as row:
        row |= _timed(bench, lambda frames: _drain(encode_tiled(vae, frames, tiles)), video, start)
        row |= _beside(whole, row, clip, tiles)
        *_, latents = encode_tiled(vae, start, tiles)
        assert latents is not None
        row["relative_error_to_whole"] = relative_error(latents, encode(vae, start))


def _ours() -> str:
    return f"{OURS} exact, cuDNN searched" if torch.backends.cudnn.benchmark else f"{OURS} exact"


def _cut(clip: Clip, tiles: Tiling) -> str:
    return f"{tiles.count(clip.height, clip.width)} tiles of {tiles}; {OUR_POLICY}"


def _beside(whole: Mapping[str, float], row: Mapping[str, float], clip: Clip, tiles: Tiling) -> dict[str, float]:
    ratio = {"times_whole": row["seconds"] / whole["seconds"]} if "seconds" in whole else {}
    return {"tile_work": tiles.work(clip.height, clip.width)} | ratio


def _apart(decode: Decode, latents: Tensor, tiles: Tiling) -> Iterator[None]:
    """All tiles, of which nothing is kept."""
    for piece in pieces(latents, tiles):
        for chunk in decode(piece):
            del chunk
            yield None


@torch.no_grad()
def _psnr(bench: Bench, tiled: Iterable[Tensor | None], whole: Iterable[Tensor | None]) -> float:
    """Of the frames in 8 bits."""
    a, b = (np.concatenate([f for f in arriving(way, bench.device) if f is not None]) for way in (tiled, whole))
    return psnr(a, b)


def _drain(items: Iterable[object]) -> None:
    for item in items:
        del item


# --- the peer --------------------------------------------------------------------------------------------------------


def _peer(bench: Bench, clip: Clip, vae: WanVAE) -> None:
    latents, start = clip.latents(bench.device), clip.latents(bench.device, START)
    mean, std = (
        torch.tensor(v, device=bench.device).reshape(1, -1, 1, 1, 1)
        for v in (clip.config.latent_mean, clip.config.latent_std)
    )

    def decode(theirs: Any, z: Tensor) -> Tensor:
        frames: Tensor = theirs.decode((z * std + mean).to(bench.dtype), return_dict=False)[0]
        return frames

    with bench.case(PART, f"{clip.name}, decode", PEER, PEER_POLICY) as row:
        theirs = peer_or_skip().peer_vae(vae)
        row |= _timed(bench, lambda z: decode(theirs, z).cpu(), latents, start)
        with torch.no_grad():
            row["relative_error_to_exact"] = relative_error(decode(theirs, start), vae.decode(start))
    with bench.case(PART, f"{clip.name}, decode in tiles", PEER, PEER_POLICY) as row:
        theirs = peer_or_skip().peer_vae(vae)
        theirs.enable_tiling(clip.peer_tile, clip.peer_tile, clip.peer_tile * 3 // 4, clip.peer_tile * 3 // 4)
        row |= _timed(bench, lambda z: decode(theirs, z).cpu(), latents, start)


def _timed(bench: Bench, work: Callable[[Tensor], object], clip: Tensor, start: Tensor) -> dict[str, float]:
    """The first call is of the start of the clip."""
    repeats = 1 if bench.quick else 2
    return measure(lambda: work(clip), bench.device, repeats=repeats, warmup=lambda: work(start)).numbers
