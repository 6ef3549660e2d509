"""A rank of the groups that the tests start: runs one of these tasks.

python -m tests.parallel.member SOCKET
"""

import copy
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from wanvideo.errors import NonFiniteLatents
from wanvideo.kernels.eight_bit import FP8, INT8
from wanvideo.models.config import VAE_2_1, VAE_2_2, TransformerConfig
from wanvideo.models.transformer import WanTransformer, keeps_fp32
from wanvideo.models.vae import WanVAE
from wanvideo.parallel.branches import apart
from wanvideo.parallel.picture import decode_strip, strip_of
from wanvideo.parallel.post import Post, take_part
from wanvideo.parallel.ranks import Ranks
from wanvideo.parallel.tokens import spread
from wanvideo.parallel.wire import Message
from wanvideo.pipelines.arrival import to_rgb
from wanvideo.pipelines.autoencoder import decoded_together
from wanvideo.runtime.quantize import quantize, quantized_blocks
from wanvideo.runtime.streaming import Arena, BlockStream, large_tensors, slab_bytes

CPU: Final = torch.device("cpu")
_LEAST: Final = 1024  # bytes of a weight that waits in host memory


# --- the same numbers ------------------------------------------------------------------------------------------------


def differences(ranks: Ranks) -> Iterator[tuple[str, float]]:
    """By case, how far what the ranks compute together is from what one of them computes alone."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield from _forwards(ranks)
    yield "both branches", _both_branches(ranks)
    yield "autoencoder 2.1", _decode(ranks, VAE_2_1, height=4, width=37)
    yield "autoencoder 2.2", _decode(ranks, VAE_2_2, height=19, width=3)


def _forwards(ranks: Ranks) -> Iterator[tuple[str, float]]:
    half = torch.bfloat16
    yield "even", _forward(ranks, heads=6, grid=(2, 4, 6))
    yield "odd tokens and heads", _forward(ranks, heads=5, grid=(3, 5, 7))
    yield "many odd tokens", _forward(ranks, heads=4, grid=(3, 11, 13))
    yield "fewer heads than ranks", _forward(ranks, heads=1, grid=(1, 3, 5))
    yield "fewer tokens than ranks", _forward(ranks, heads=4, grid=(1, 1, 2))
    yield "a first frame of its own", _forward(ranks, heads=4, grid=(3, 5, 7), levels=2)
    yield "two videos at once", _forward(ranks, heads=4, grid=(2, 3, 5), batch=2, levels=2)
    yield "bfloat16", _forward(ranks, heads=4, grid=(3, 5, 7), dtype=half)
    yield "8 bits", _forward(ranks, heads=4, grid=(3, 5, 7), dtype=half, change=quantize)
    yield "int8", _forward(ranks, heads=4, grid=(3, 5, 7), dtype=half, change=lambda n: quantize(n, INT8))


def _network(heads: int, dtype: torch.dtype) -> WanTransformer:
    config = TransformerConfig(
        in_channels=8, out_channels=4, num_heads=heads, num_layers=2, ffn_dim=96, head_dim=32, text_dim=32
    )
    network = WanTransformer(config).eval()
    for name, parameter in network.named_parameters():
        parameter.data = parameter.data.to(torch.float32 if keeps_fp32(name) else dtype)
    return network


@torch.no_grad()
def _forward(
    ranks: Ranks,
    *,
    heads: int,
    grid: tuple[int, int, int],
    batch: int = 1,
    levels: int = 1,
    dtype: torch.dtype = torch.float32,
    change: Callable[[WanTransformer], None] = lambda network: None,
) -> float:
    network = _network(heads, dtype)
    change(network)
    given = torch.randn(batch, 8, grid[0], 2 * grid[1], 2 * grid[2]), torch.rand(batch, levels) * 1000
    text = torch.randn(batch, 5, 32, dtype=dtype)
    alone = network(*given, text)
    return _largest(spread(network, ranks.work(guided=False).team)(*given, text) - alone)


@torch.no_grad()
def _both_branches(ranks: Ranks) -> float:
    """Of an even number of ranks; of an odd one, one branch comes after the other."""
    network, work = _network(4, torch.float32), ranks.work(guided=True)
    x, time_, prompt, negative = torch.randn(1, 8, 2, 6, 10), torch.tensor([[500.0]]), *torch.randn(2, 1, 5, 32)
    both, forward = apart(work), spread(network, work.team)
    if both is None:
        assert ranks.size % 2 == 1
        return _largest(forward(x, time_, prompt) - network(x, time_, prompt))
    cond, uncond = both(forward, x, time_, prompt, negative)
    return max(_largest(cond - network(x, time_, prompt)), _largest(uncond - network(x, time_, negative)))


@torch.no_grad()
def _decode(ranks: Ranks, config: Any, height: int, width: int) -> float:
    small = replace(config, base_dim=8, decoder_base_dim=8, num_res_blocks=1)
    vae = WanVAE(small).eval()
    latents = torch.randn(1, config.z_dim, 2, height, width)
    strip = strip_of(small, height, width, ranks.work(guided=False).team)
    rows, columns = strip.area(small.spatial_stride)
    whole = vae.decode(latents)
    apart = _largest(torch.cat(list(decode_strip(vae, CPU, latents, strip)), dim=2) - whole[..., rows, columns])
    frames = [frames for frames in decoded_together(vae, CPU, latents, ranks) if frames is not None]
    theirs = to_rgb(whole).numpy()
    if ranks.rank != 0:
        theirs = theirs[:, rows, columns]
    far = np.abs(np.concatenate(frames).astype(int) - theirs).max()
    return apart if far <= 1 else float(far)  # numbers that are next to one another may be cut off to different bytes


def _largest(x: Tensor) -> float:
    return float(x.abs().max())


# --- weights in memory that all see ----------------------------------------------------------------------------------


@torch.no_grad()
def _stream(ranks: Ranks) -> dict[str, Any]:
    """Two networks whose weights wait in host memory: whether they compute the same bits, and what the memory is."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    given = torch.randn(1, 8, 3, 10, 14), torch.rand(1, 1) * 1000, torch.randn(1, 5, 32, dtype=torch.bfloat16)
    networks = [_network(4, torch.bfloat16) for _ in range(2)]
    wanted = []
    for network in networks:
        right = copy.deepcopy(network)
        quantize(right)
        wanted.append(right(*given))
    arena, streams = Arena(CPU), []
    for network in networks:
        blocks = quantized_blocks(network, FP8, CPU)
        streams.append(BlockStream(network, blocks, arena, memory=ranks.host_memory(), least=_LEAST))
    arena.open(streams[0].slab_bytes, resident=0, lanes=2)
    same = [network(*given).equal(right) for network, right in zip(networks, wanted, strict=True)]
    ranks.meet()
    slabs = sum(slab_bytes(large_tensors(block, _LEAST)) for network in networks for block in network.blocks)
    held = _mapped("memfd:wanvideo-weights")
    ranks.meet()
    for stream in streams:
        stream.close()
    del network, networks, streams, stream
    return {"same": same, "slabs": slabs, "held": held, "left": _mapped("memfd:wanvideo-weights")}


def _mapped(name: str) -> dict[str, int]:
    """Bytes of this process in mappings with that in their name: all, and its share of what others have as well."""
    found = {"Rss": 0, "Pss": 0}
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        key, _, value = line.partition(":")
        if not value.endswith("kB"):
            inside = name in line if "-" in key else inside
        elif inside and key in found:
            found[key] += int(value.split()[0]) << 10
    return found


# --- faults ----------------------------------------------------------------------------------------------------------


def _exchange(ranks: Ranks) -> None:
    team = ranks.work(guided=False).team
    team.exchange(torch.zeros(4 * team.size), [4] * team.size, [4] * team.size)


def _fault(ranks: Ranks, post: Post, fault: str) -> None:
    """Exchange for ever, until what is asked for happens to rank 1 after two seconds."""
    post.say(Message("ready"))
    for turn in range(1_000_000):
        if fault == "is slow" and ranks.rank == 1:
            time.sleep(1.5)
            if turn == 6:
                post.say(Message("ready"))
        if turn == 200 and ranks.rank == 1:
            match fault:
                case "raises":
                    raise ValueError("no such luck")
                case "dies" | "dies alone":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "sleeps":
                    time.sleep(600)
                case "stops":
                    os.kill(os.getpid(), signal.SIGSTOP)
        if turn == 200 and fault == "dies alone":
            time.sleep(600)
        if turn == 200 and fault == "all raise":
            raise NonFiniteLatents("step 3 gave numbers that are not finite", facts={"step": 3})
        _exchange(ranks)
        threading.Event().wait(0.01)


def work(ranks: Ranks, post: Post, begin: Message) -> None:
    if fault := begin.values.get("fault"):
        return _fault(ranks, post, fault)
    if begin.values.get("streamed"):
        return post.say(Message("done", _stream(ranks)))
    found = dict(differences(ranks))
    post.say(Message("done", {"differences": found, "least": ranks.least([5 - ranks.rank, ranks.rank])}))
    return None


if __name__ == "__main__":
    take_part(int(sys.argv[1]), work)
