"""One forward with most blocks in host memory, under caps on GPU memory, against the same one with all on the GPU."""

from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Final

import torch
from torch import Tensor, nn

from benchmarks.full_size import random_weights
from benchmarks.speed.adapters import peer_or_skip, streamed
from benchmarks.speed.bench import Bench
from benchmarks.speed.caps import capped
from benchmarks.speed.clock import GIB, measure, resident_bytes
from benchmarks.speed.forward import draw
from benchmarks.speed.record import OURS, PEER, SkipPart
from benchmarks.speed.shapes import Inputs, Shape, inputs
from wanvideo.models.transformer import WanTransformer
from wanvideo.runtime.memory_model import MemoryModel

PART: Final = "stream"
IN_FLIGHT: Final = 2  # blocks on the GPU beside the resident ones: the one at work and the one that arrives


@dataclass(frozen=True, kw_only=True)
class Resident:
    """The forward with all weights on the GPU."""

    seconds: float
    beside: int  # bytes that it takes beside the weights
    velocity: Tensor  # on the CPU


def run(bench: Bench) -> None:
    for shape in bench.shapes:
        given = inputs(shape, bench.device, bench.dtype)
        resident = bench.prepare(PART, shape.name, partial(_resident, bench, shape, given))
        if resident is None:
            continue
        with bench.case(PART, shape.name, f"{OURS} exact, resident") as row:
            row["seconds"] = resident.seconds
        host: WanTransformer | None = None
        for cap in bench.caps:
            with bench.case(PART, f"{shape.name}, {cap:g} GiB", f"{OURS} exact") as row, capped(bench.device, cap):
                host = host or _on_host(bench, shape)
                row |= _streamed(bench, host, given, blocks_within(cap, host, resident.beside), resident)
        if bench.peer:
            for cap in bench.caps:
                _peer(bench, shape, given, cap, host)


def _resident(bench: Bench, shape: Shape, given: Inputs) -> Resident:
    model = draw(bench, shape)
    timing = measure(lambda: model(given.latents, given.timestep, given.text), bench.device, repeats=bench.repeats)
    with torch.no_grad():
        velocity = model(given.latents, given.timestep, given.text).cpu()
    return Resident(seconds=timing.seconds, beside=timing.peak_bytes - weight_bytes(model), velocity=velocity)


def _streamed(bench: Bench, host: WanTransformer, given: Inputs, blocks: int, resident: Resident) -> dict[str, float]:
    before = resident_bytes()
    with streamed(host, blocks, bench.device):
        timing = measure(lambda: host(given.latents, given.timestep, given.text), bench.device, repeats=bench.repeats)
        with torch.no_grad():
            velocity = host(given.latents, given.timestep, given.text).cpu()
        held = resident_bytes()
    return {
        **timing.numbers,
        "times_resident": timing.seconds / resident.seconds,
        "resident_blocks": blocks,
        "host_rss_gib": held / GIB,
        "host_added_gib": (held - before) / GIB,
        "equal_to_resident": float(torch.equal(velocity, resident.velocity)),
    }


def _peer(bench: Bench, shape: Shape, given: Inputs, cap: float, host: WanTransformer | None) -> None:
    """diffusers from the same weights; what it copies of them it keeps until the row is done."""
    case = f"{shape.name}, {cap:g} GiB" if bench.on_gpu else f"{shape.name}, no cap"
    with bench.case(PART, case, f"{PEER} eager, group offload", "one block a group, a copy stream; cuDNN") as row:
        peer = peer_or_skip("accelerate")
        theirs = peer.peer_transformer(host or _on_host(bench, shape))
        if bench.on_gpu:
            theirs.set_attention_backend(peer.ATTENTION["cuDNN"])
        before = resident_bytes()
        peer.offload_in_groups(theirs, bench.device)
        with capped(bench.device, cap) if bench.on_gpu else nullcontext():
            timing = measure(peer.forward(theirs, shape, given, bench.dtype), bench.device, repeats=bench.repeats)
        held = resident_bytes()
        row |= {**timing.numbers, "host_rss_gib": held / GIB, "host_added_gib": (held - before) / GIB}


def _on_host(bench: Bench, shape: Shape) -> WanTransformer:
    """The same weights as of the resident model, drawn on the GPU one by one."""
    torch.manual_seed(0)
    cpu = torch.device("cpu")
    return random_weights(lambda: WanTransformer(shape.config), bench.device, bench.dtype, True, kept_on=cpu)


def blocks_within(cap: float, model: WanTransformer, beside: int) -> int:
    """How many blocks may stay on a GPU of `cap` GiB. `beside`: bytes that a forward takes beside weights."""
    block = weight_bytes(model.blocks[0])
    others = weight_bytes(model) - weight_bytes(model.blocks)
    room = int(cap * GIB / (1 + MemoryModel().margin)) - others - beside - IN_FLIGHT * block
    if room < 0:
        raise SkipPart(
            f"{others / GIB:.1f} GiB outside of blocks, {beside / GIB:.1f} beside the weights and {IN_FLIGHT} blocks "
            f"of {block / GIB:.2f} take more than {cap:g} GiB"
        )
    return min(room // block, len(model.blocks))


def weight_bytes(module: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in module.state_dict().values())
