"""From a file in the page cache to weights on the device, ours and diffusers' from the same file.

The file is what a Diffusers repository holds of one transformer, in bfloat16; its numbers mean nothing.
"""

import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch

from benchmarks.load_speed import watching_memory, write_tensors
from benchmarks.speed.adapters import peer_or_skip
from benchmarks.speed.bench import Bench
from benchmarks.speed.clock import GIB, free_memory
from benchmarks.speed.record import OURS, PEER, SkipPart
from benchmarks.speed.shapes import diffusers_options
from wanvideo.models.config import T2V_A14B, TransformerConfig
from wanvideo.models.transformer import WanTransformer
from wanvideo.weights.headers import read_weights
from wanvideo.weights.key_map import transformer_keys
from wanvideo.weights.layout import Layout, Network
from wanvideo.weights.loading import load_transformer
from wanvideo.weights.network import NetworkPart

PART: Final = "load"
STEM: Final = "diffusion_pytorch_model"
FAST_FOLDER: Final = Path("/dev/shm")  # in memory, so that no disk is measured


def run(bench: Bench) -> None:
    configs = {shape.config: shape.name.partition("-")[0] for shape in bench.shapes}
    if bench.quick and not bench.tiny and len(configs) > 1:
        configs.pop(T2V_A14B, None)  # writing its 29 GB takes longer than loading them
    for config, name in configs.items():
        _transformer(bench, config, name)


def _transformer(bench: Bench, config: TransformerConfig, name: str) -> None:
    with torch.device("meta"):
        numbers = sum(p.numel() for p in WanTransformer(config).parameters())
    case = f"{name} transformer, {2 * numbers / 1e9:.1f} GB in bfloat16"
    where = FAST_FOLDER if FAST_FOLDER.is_dir() else None
    with tempfile.TemporaryDirectory(dir=where) as scratch:
        folder = Path(scratch)
        free = shutil.disk_usage(folder).free
        with bench.case(PART, case, f"{OURS} exact", "the product's own loader") as row:
            if free < 2 * numbers + GIB:
                raise SkipPart(f"{folder.parent} has {free / 1e9:.1f} GB free, the file takes {2 * numbers / 1e9:.1f}")
            part = write_folder(folder, config)
            row |= _timed(bench, lambda: load_transformer(part, device=bench.device, dtype=bench.dtype), part.nbytes)
            if bench.on_gpu:
                bound = part.nbytes / bench.ceilings.copy("to device", GIB)
                row |= {"roofline_seconds": bound, "of_roofline": bound / row["seconds"]}
        if bench.peer and (folder / "config.json").exists():
            with bench.case(PART, case, PEER, "from_pretrained, then to the device") as row:
                peer = peer_or_skip("accelerate")
                row |= _timed(bench, lambda: peer.load_transformer(folder, bench.device, bench.dtype), part.nbytes)


def write_folder(folder: Path, config: TransformerConfig) -> NetworkPart[TransformerConfig]:
    """A transformer as a Diffusers repository has it, in one file."""
    with torch.device("meta"):
        parameters = WanTransformer(config).state_dict()
    keys = transformer_keys(config)
    tensors = {
        keys.to_diffusers(name) or name: ("BF16", tuple(p.shape), 2 * p.numel()) for name, p in parameters.items()
    }
    write_tensors(folder / f"{STEM}.safetensors", tensors)
    options = {"_class_name": "WanTransformer3DModel", **diffusers_options(config)}
    (folder / "config.json").write_text(json.dumps(options), encoding="utf-8")
    files = read_weights(folder, STEM)
    return NetworkPart(path=folder, config=config, files=files, layout=Layout(network=Network.TRANSFORMER))


def _timed(bench: Bench, load: Callable[[], object], nbytes: int) -> dict[str, float]:
    times: list[float] = []
    with watching_memory() as memory:
        for _ in range(2 if bench.quick else 3):
            began = time.perf_counter()
            model = load()
            if bench.on_gpu:
                torch.cuda.synchronize(bench.device)
            times.append(time.perf_counter() - began)
            del model
            if bench.on_gpu:
                free_memory()
    seconds = statistics.median(times[1:])
    return {
        "seconds": seconds,
        "first_seconds": times[0],
        "gb_per_s": nbytes / seconds / 1e9,
        "host_peak_gib": memory["peak"] / GIB,
    }
