"""One video on several GPUs of a host, against one of them in the same run.

    python -m benchmarks.speed.ranks --json ranks.jsonl

Random weights at full size. Every part is a group of processes of its own, so that one that fails leaves the others.
For each case: milliseconds on one rank and on all, the ratio, and how far the results are apart (PSNR by the range of
the one rank's result). `--tiny` runs the same code on CPU processes, and shows only that it runs. The parts:

    links     what an exchange of q, k and v moves a second, alone and with the copies before it
    5b, a14b  a guided step with a branch on each half of the ranks, and a forward with its tokens on all of them
    stream    a forward whose blocks wait in host memory, a copy of each rank's own and one for all: what that takes
    vae       latents to frames
    exact     float32 and less of everything: how far results are apart where rounding is small
    demo      a whole video of a demo model, by the product's own way from request to frames
    faults    seconds from a rank's death, from its stop, and from when its work hangs, to the error that names it
"""

import argparse
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
import torch
from torch import Tensor

import wanvideo
from benchmarks.full_size import random_weights
from benchmarks.speed.adapters import in_tier
from benchmarks.speed.clock import Timing, free_memory, measure
from benchmarks.speed.record import add_row
from benchmarks.speed.shapes import A14B_480P, A14B_720P, TI2V_704P, Inputs, Shape, inputs, shrunk
from benchmarks.speed.vae import CLIPS, Clip
from wanvideo.errors import WanVideoError
from wanvideo.models.transformer import WanTransformer
from wanvideo.models.vae import WanVAE
from wanvideo.parallel.branches import Forward, apart
from wanvideo.parallel.group import RankGroup
from wanvideo.parallel.picture import decode_strip, strip_of
from wanvideo.parallel.post import Post, take_part
from wanvideo.parallel.ranks import Ranks
from wanvideo.parallel.team import Team
from wanvideo.parallel.tokens import BLOCK, Ulysses, spread
from wanvideo.parallel.watch import PATIENCE
from wanvideo.parallel.wire import Message
from wanvideo.pipelines.arrival import RGB, arriving
from wanvideo.pipelines.autoencoder import decoded_together
from wanvideo.request import GenerationRequest, Tier
from wanvideo.runtime.fused_vae import decoder
from wanvideo.runtime.mesh import shares
from wanvideo.runtime.streaming import Arena, BlockStream, HostMemory
from wanvideo.sampling.guidance import guide

GUIDANCE: Final = 4.0
GB: Final = 1e9
ODD: Final = {A14B_480P.name: (21, 30, 50), TI2V_704P.name: (31, 42, 70)}
_LEAST: Final = 1024  # bytes of a weight that waits in host memory, also of a tiny network
HANG_CYCLES: Final = 1 << 40  # of a GPU's clock: minutes


# --- in a rank -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bench:
    """What the parts are given."""

    ranks: Ranks
    post: Post
    tiny: bool

    @property
    def device(self) -> torch.device:
        return self.ranks.device

    @property
    def team(self) -> Team:
        """All ranks."""
        return self.ranks.work(guided=False).team

    def row(self, case: str, **values: Any) -> None:
        if self.ranks.rank == 0:
            self.post.say(Message("row", {"case": case, **values}))

    def compare(
        self,
        case: str,
        alone: Callable[[], Tensor],
        together: Callable[[], Tensor],
        *,
        repeats: int = 3,
        warmup: Callable[[], object] | None = None,
    ) -> None:
        """The first rank by itself, then all of them. warmup: before the lone one, in place of a whole run."""
        one = two = None
        self.ranks.meet()
        if self.ranks.rank == 0:
            one = _timed(alone, self.device, repeats, warmup)
        self.ranks.meet()
        two = _timed(together, self.device, max(2, repeats), None)
        self.ranks.meet()
        if one is None:
            return
        ratio = one[0].seconds / two[0].seconds
        self.row(
            case, one_ms=1000 * one[0].seconds, all_ms=1000 * two[0].seconds, ratio=ratio, psnr_db=psnr(two[1], one[1]),
            one_gib=one[0].peak_bytes / 2**30, all_gib=two[0].peak_bytes / 2**30,
        )  # fmt: skip


def _timed(
    run: Callable[[], Tensor], device: torch.device, repeats: int, warmup: Callable[[], object] | None
) -> tuple[Timing, Tensor]:
    kept: list[Tensor] = []

    def keep() -> None:
        kept[:] = [run()]

    return measure(keep, device, repeats=repeats, warmup=warmup), kept[0]


def psnr(ours: Tensor, reference: Tensor) -> float:
    """In decibel, by the range of the reference; infinite numbers are no JSON, so equal ones give 999."""
    error = float((ours.double() - reference.double()).square().mean())
    reach = float(reference.max() - reference.min())
    return 999.0 if error == 0 else 10 * math.log10(reach**2 / error)


def links(bench: Bench) -> None:
    """q, k and v of one block for A14B at 1280x720, and the way back."""
    shape = shrunk(A14B_720P) if bench.tiny else A14B_720P
    team, heads, dim = bench.team, shape.config.num_heads, shape.config.head_dim
    lengths = shares(shape.tokens, team.size, unit=BLOCK)
    own = lengths[team.place]
    dtype = torch.float32 if bench.tiny else torch.bfloat16
    q, k, v = (torch.randn(1, own, heads, dim, device=bench.device, dtype=dtype) for _ in range(3))
    together, split = Ulysses(team, lengths), shares(heads, team.size)
    number = 3 * dim * split[team.place]
    to, of = [3 * own * n * dim for n in split], [length * number for length in lengths]
    flat = torch.randn(sum(to), device=bench.device, dtype=dtype)
    sent = (sum(to) - to[team.place]) * flat.element_size()  # to others
    bare = measure(lambda: team.exchange(flat, to, of), bench.device, repeats=10).seconds
    packed = measure(lambda: together.all_tokens(q, k, v, split), bench.device, repeats=10).seconds
    out = together.all_tokens(q, k, v, split)[0].contiguous()
    back = measure(lambda: together.own_tokens(out, split), bench.device, repeats=10).seconds
    bench.row(
        f"q, k, v of {shape.name}: {sent / GB:.2f} GB from each rank to others", exchange_ms=1000 * bare,
        with_copies_ms=1000 * packed, back_ms=1000 * back, gb_per_s=sent / bare / GB,
    )  # fmt: skip
    small = torch.zeros(team.size * 256, device=bench.device)
    counts = [256] * team.size
    latency = measure(lambda: team.exchange(small, counts, counts), bench.device, repeats=20).seconds
    bench.row("an exchange of a kilobyte", exchange_ms=1000 * latency)


def exact(bench: Bench) -> None:
    for full in (A14B_480P, TI2V_704P):
        # Odd counts of tokens: 21 x 15 x 25 and 31 x 21 x 35.
        fewer = replace(full, config=replace(full.config, num_layers=4), latent=ODD[full.name])
        shape = shrunk(full) if bench.tiny else fewer
        name = f"{shape.config.num_layers} layers of {shape.name}, {shape.tokens} tokens, float32"
        _forwards(bench, shape, torch.float32, Tier.EXACT, name, repeats=1)
    for clip in CLIPS[:2]:
        _decode_exactly(bench, _small(clip) if bench.tiny else replace(clip, frames=13), torch.float32)
        free_memory()


def small_model(bench: Bench) -> None:
    shape = shrunk(TI2V_704P) if bench.tiny else TI2V_704P
    for tier in Tier:
        _forwards(bench, shape, torch.bfloat16, tier, f"{shape.name}, bfloat16, {tier}")


def large_model(bench: Bench) -> None:
    shape = shrunk(A14B_720P) if bench.tiny else A14B_720P
    _forwards(bench, shape, torch.bfloat16, Tier.EXACT, f"{shape.name}, bfloat16, exact", repeats=1)


def _forwards(bench: Bench, shape: Shape, dtype: torch.dtype, tier: Tier, name: str, repeats: int = 3) -> None:
    network = _drawn(bench, shape, dtype)
    given = inputs(shape, bench.device, dtype)
    other = replace(given, text=given.text.flip(-1))
    with in_tier(network, tier):
        _guided(bench, network, given, other, name, repeats)
        whole, parts = _of(network, given), _of(spread(network, bench.team), given)
        bench.compare(f"{name}: a forward, tokens on all ranks", whole, parts, repeats=repeats, warmup=lambda: None)
    del network
    free_memory()


def _guided(bench: Bench, network: WanTransformer, given: Inputs, other: Inputs, name: str, repeats: int) -> None:
    work = bench.ranks.work(guided=True)
    if (both := apart(work)) is None:
        return
    forward = spread(network, work.team)

    def alone() -> Tensor:
        return guide(_of(network, given)(), _of(network, other)(), GUIDANCE)

    def together() -> Tensor:
        return guide(*both(forward, given.latents, given.timestep, given.text, other.text), GUIDANCE)

    bench.compare(
        f"{name}: a guided step, a branch on each half", alone, together, repeats=repeats, warmup=_of(network, given)
    )


def _of(network: Forward, given: Inputs) -> Callable[[], Tensor]:
    return lambda: network(given.latents, given.timestep, given.text)


def stream(bench: Bench) -> None:
    """A14B at 832x480 with its tokens on all ranks, two blocks at a time on each GPU."""
    shape = shrunk(A14B_480P) if bench.tiny else A14B_480P
    dtype = torch.float32 if bench.tiny else torch.bfloat16
    given = inputs(shape, bench.device, dtype)
    bench.ranks.meet()
    resident, wanted = _timed(_of(spread(_drawn(bench, shape, dtype), bench.team), given), bench.device, 3, None)
    bench.row(f"{shape.name}: resident", all_ms=1000 * resident.seconds)
    for name, memory in (("a copy for each rank", HostMemory()), ("one for all", bench.ranks.host_memory())):
        free_memory()
        values = _waiting(bench, _drawn(bench, shape, dtype), memory, given, wanted)
        ratio = values["all_ms"] / 1000 / resident.seconds
        bench.row(f"{shape.name}: blocks in host memory, {name}", times_resident=ratio, **values)


def _waiting(
    bench: Bench, network: WanTransformer, memory: HostMemory, given: Inputs, wanted: Tensor
) -> dict[str, float]:
    """A forward of a network whose blocks are brought to `memory` first. Of times and memory, the most of all ranks."""
    arena, began = Arena(bench.device), time.monotonic()
    blocks = BlockStream(network, (block.cpu() for block in network.blocks), arena, memory=memory, least=_LEAST)
    ready = time.monotonic() - began
    free_memory()
    arena.open(blocks.slab_bytes, resident=0, lanes=2)
    bench.ranks.meet()
    timing, velocity = _timed(_of(spread(network, bench.team), given), bench.device, 3, None)
    pss = psutil.Process().memory_full_info().pss  # of what several have in memory, its share
    bench.ranks.meet()
    same, ready_ms, held = bench.ranks.least([velocity.equal(wanted), -int(1000 * ready), -pss])
    arena.close()
    blocks.close()
    return {
        "all_ms": 1000 * timing.seconds, "same": same, "ready_ms": -ready_ms, "host_gib_each": -held / 2**30,
        "gpu_gib": timing.peak_bytes / 2**30,
    }  # fmt: skip


def _drawn(bench: Bench, shape: Shape, dtype: torch.dtype) -> WanTransformer:
    """The same on each rank."""
    torch.manual_seed(0)
    return random_weights(lambda: WanTransformer(shape.config), bench.device, dtype, True)


def frames(bench: Bench) -> None:
    for clip in (CLIPS[0], CLIPS[2]):
        dtype = torch.float32 if bench.tiny else torch.bfloat16
        _decode(bench, _small(clip) if bench.tiny else clip, dtype)
        free_memory()


def _small(clip: Clip) -> Clip:
    config = replace(clip.config, base_dim=8, decoder_base_dim=8)
    return replace(clip, config=config, frames=5, width=512, height=32)


def _decode(bench: Bench, clip: Clip, dtype: torch.dtype) -> None:
    """Whole clips, as the product takes them: bytes on the host, put into one clip as they come."""
    vae, latents, name = _decoded(bench, clip, dtype)
    plain, device = decoder(vae, bench.device), bench.device
    bench.compare(
        name,
        lambda: _clip(clip, arriving(plain(latents), device)),
        lambda: _clip(clip, decoded_together(vae, device, latents, bench.ranks)),
        repeats=2,
    )


def _decode_exactly(bench: Bench, clip: Clip, dtype: torch.dtype) -> None:
    """The first rank's strip of whole pixels, and the strip by itself."""
    vae, latents, name = _decoded(bench, clip, dtype)
    plain, device = decoder(vae, bench.device), bench.device
    strip = strip_of(clip.config, latents.shape[-2], latents.shape[-1], bench.team)
    rows, columns = strip.area(clip.config.spatial_stride)
    bench.compare(
        f"{name}, a strip",
        lambda: _pixels(plain(latents))[..., rows, columns],
        lambda: _pixels(decode_strip(vae, device, latents, strip)),
        repeats=2,
    )


def _decoded(bench: Bench, clip: Clip, dtype: torch.dtype) -> tuple[WanVAE, Tensor, str]:
    torch.manual_seed(0)
    vae = random_weights(lambda: WanVAE(clip.config), bench.device, dtype, False)
    return vae, clip.latents(bench.device), f"{clip.name}, {str(dtype).removeprefix('torch.')}"


def _pixels(chunks: Iterator[Tensor]) -> Tensor:
    """As the autoencoder gives them, [1, 3, F, H, W] float32."""
    return torch.cat([chunk.cpu() for chunk in chunks], dim=2)


def _clip(clip: Clip, made: Iterator[RGB | None]) -> Tensor:
    """[F, H, W, 3] uint8."""
    whole, count = np.empty(0, np.uint8), 0
    for part in made:
        if part is not None:
            if count == 0:
                whole = np.empty((clip.frames, *part.shape[1:]), np.uint8)
            whole[count : count + len(part)] = part
            count += len(part)
    return torch.from_numpy(whole)


def spinning(bench: Bench) -> None:
    """Exchange for ever, unless a signal says that work is to hang."""
    signal.signal(signal.SIGUSR1, lambda *_: _hang(bench.device))
    counts = [1024] * bench.team.size
    flat = torch.zeros(sum(counts), device=bench.device)
    bench.row("going")
    while True:
        float(bench.team.exchange(flat, counts, counts).sum())


def _hang(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda._sleep(HANG_CYCLES)  # the process itself goes on until it waits for this
    else:
        time.sleep(600)


PARTS: Final[dict[str, Callable[[Bench], None]]] = {
    "links": links, "5b": small_model, "a14b": large_model, "stream": stream, "vae": frames, "exact": exact,
}  # fmt: skip


def work(ranks: Ranks, post: Post, begin: Message) -> None:
    part = begin.values["part"]
    (spinning if part == "faults" else PARTS[part])(Bench(ranks, post, begin.values["tiny"]))
    post.say(Message("done"))


# --- the program -----------------------------------------------------------------------------------------------------


def run_part(part: str, devices: list[str], tiny: bool) -> Iterator[dict[str, Any]]:
    group = _group(part, devices, tiny, patience=120.0)
    left = len(devices)
    try:
        while left:
            _, message = group.hear()
            if message.kind == "row":
                yield dict(message.values)
            left -= message.kind == "done"
    finally:
        group.close()


def faults(devices: list[str], tiny: bool) -> Iterator[dict[str, Any]]:
    for name, number in (("killed", signal.SIGKILL), ("stopped", signal.SIGSTOP), ("hung", signal.SIGUSR1)):
        group = _group("faults", devices, tiny, patience=PATIENCE)
        try:
            group.hear()
            time.sleep(4)  # until it is known how fast they are
            pids = group.pids
            began = time.monotonic()
            os.kill(pids[-1], number)
            group.hear()
        except WanVideoError as error:
            seconds, known = time.monotonic() - began, group.known - began
            left = [pid for pid in pids if Path(f"/proc/{pid}").exists()]
            yield {
                "case": f"rank {len(devices) - 1} {name}", "seconds": seconds, "seconds_until_known": known,
                "left": left, "error": error.message,
            }  # fmt: skip
        finally:
            group.close()


class _Group(RankGroup):
    known = math.inf  # when it began to end

    def close(self) -> None:
        self.known = min(self.known, time.monotonic())
        super().close()


def _group(part: str, devices: list[str], tiny: bool, patience: float) -> _Group:
    command = sys.executable, "-m", "benchmarks.speed.ranks", "--rank"
    return _Group(command, devices, {"part": part, "tiny": tiny}, patience=patience)


def demo(devices: list[str]) -> Iterator[dict[str, Any]]:
    where = "cpu" if devices[0] == "cpu" else "cuda"
    request = GenerationRequest(prompt="a small red circle moves left on a navy background", seed=3, steps=8, frames=17)
    for dtype in ("float32", "bfloat16"):
        with wanvideo.load("t2v-A14B-demo", device=where, dtype=dtype) as pipeline:
            one = pipeline(request)
        with wanvideo.load("t2v-A14B-demo", device=where, dtype=dtype, gpus=len(devices)) as pipeline:
            together = pipeline(request)
        error = float(np.square(together.frames.astype(np.float64) - one.frames).mean())
        decibel = 999.0 if error == 0 else 10 * math.log10(255**2 / error)
        yield {"case": f"t2v-A14B-demo, {dtype}, frames of 8 bits", "psnr_db": decibel}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=[*PARTS, "demo", "faults"], help="these parts")
    parser.add_argument("--json", type=Path, help="append one JSON object per row to this file")
    parser.add_argument("--tiny", action="store_true", help="on the CPU, so small that it only shows that it runs")
    options = parser.parse_args()
    devices = ["cpu"] * options.gpus if options.tiny else [f"cuda:{index}" for index in range(options.gpus)]
    began = time.monotonic()
    for part in options.only or [*PARTS, "demo", "faults"]:
        try:
            rows = {"demo": lambda: demo(devices), "faults": lambda: faults(devices, options.tiny)}.get(
                part, lambda part=part: run_part(part, devices, options.tiny)
            )()
            for row in rows:
                add_row({"part": part, **row}, options.json)
        except (WanVideoError, ImportError) as error:
            add_row({"part": part, "case": "failed", "error": str(error)}, options.json)
        print(f"-- {part}: {time.monotonic() - began:.0f} s since the start", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rank"]:
        take_part(int(sys.argv[2]), work)
    else:
        main()
