"""How fast an expert of full size goes from the page cache to its device, and how much host memory that takes.

    python -m benchmarks.load_speed --folder /dev/shm --precision bf16 fp8
    python -m benchmarks.load_speed --device cpu --layers 2          # a small one, anywhere

Writes a file as they are published (official names, as ComfyUI has them), loads it with the product's own code, checks
some of its values, and prints one JSON object per load. GB are 10^9 bytes. The memory is that of this process: the
largest resident size while loading, less the size before; pages of mapped files count, other programs' do not.
"""

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import torch

from wanvideo.models.config import T2V_A14B, TransformerConfig
from wanvideo.models.transformer import WanTransformer
from wanvideo.weights.loading import load_transformer
from wanvideo.weights.network import NetworkPart, open_networks
from wanvideo.weights.quantized import Quantized

PATTERN = 1 << 26  # bytes of random numbers, repeated
STORED = {"fp32": ("F32", 4), "bf16": ("BF16", 2), "fp16": ("F16", 2), "fp8": ("F8_E4M3", 1)}
POLL_SECONDS = 0.005


def tensors_of(config: TransformerConfig, precision: str) -> dict[str, tuple[str, tuple[int, ...], int]]:
    """Name -> type, shape, bytes. As float8, the matrices of the blocks with one scale each, the rest in 16 bits."""
    with torch.device("meta"):
        parameters = WanTransformer(config).state_dict()
    found: dict[str, tuple[str, tuple[int, ...], int]] = {}
    for name, parameter in parameters.items():
        is_matrix = name.startswith("blocks.") and name.endswith(".weight") and parameter.dim() == 2
        dtype, width = STORED["fp16" if precision == "fp8" and not is_matrix else precision]
        found[name] = (dtype, tuple(parameter.shape), width * parameter.numel())
        if precision == "fp8" and is_matrix:
            found[name.removesuffix("weight") + "scale_weight"] = ("F32", (), 4)
    return found


def write_checkpoint(path: Path, config: TransformerConfig, precision: str) -> None:
    write_tensors(path, tensors_of(config, precision))


def write_tensors(path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...], int]]) -> None:
    """A safetensors file of numbers that mean nothing. `tensors`: name -> type, shape, bytes."""
    entries: dict[str, Any] = {}
    end = 0
    for name, (dtype, shape, nbytes) in tensors.items():
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + nbytes]}
        end += nbytes
    header = json.dumps(entries).encode()
    header += b" " * (-(8 + len(header)) % 64)
    # Bytes below 64 are small positive numbers in every type.
    pattern = torch.randint(0, 64, (PATTERN,), dtype=torch.uint8).numpy().tobytes()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        _fill(file, pattern, end)


def _fill(file: BinaryIO, pattern: bytes, nbytes: int) -> None:
    while nbytes > 0:
        nbytes -= file.write(memoryview(pattern)[:nbytes])


def resident_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


@contextmanager
def watching_memory() -> Iterator[dict[str, int]]:
    """Fills in "peak": the most that was resident more than at the beginning."""
    found, start, done = {"peak": 0}, resident_bytes(), threading.Event()

    def watch() -> None:
        while not done.wait(POLL_SECONDS):
            found["peak"] = max(found["peak"], resident_bytes() - start)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()
        found["peak"] = max(found["peak"], resident_bytes() - start)


def load_once(part: NetworkPart[TransformerConfig], device: torch.device) -> dict[str, Any]:
    with watching_memory() as memory:
        began = time.perf_counter()
        model = load_transformer(part, device=device, dtype=torch.bfloat16)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - began
    kept = sum(tensor.nbytes for tensor in model.state_dict().values())
    check(part, model)
    return {
        "file_bytes": part.nbytes,
        "kept_bytes": kept,
        "seconds": round(seconds, 3),
        "gb_per_s": round(part.nbytes / seconds / 1e9, 2),
        "host_peak_bytes": memory["peak"],
        "host_peak_per_kept_byte": round(memory["peak"] / kept, 3),
    }


def check(part: NetworkPart[TransformerConfig], model: WanTransformer) -> None:
    """The last matrix of the last block has the bytes of the file."""
    name = f"blocks.{part.config.num_layers - 1}.ffn.2"
    layer = model.get_submodule(name)
    info = part.files[0].tensors[f"{name}.weight"]
    with part.files[0].path.open("rb") as file:
        file.seek(info.start)
        wanted = torch.frombuffer(bytearray(file.read(info.nbytes)), dtype=torch.uint8)
    if isinstance(layer, Quantized):
        assert layer.stored.cpu().view(-1).view(torch.uint8).equal(wanted), name
    elif info.dtype == "BF16":
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        assert weight.detach().cpu().view(-1).view(torch.uint8).equal(wanted), name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the file is written, for example /dev/shm or a local disk")
    parser.add_argument("--precision", nargs="+", choices=STORED, default=["bf16", "fp8"])
    parser.add_argument("--layers", type=int, default=T2V_A14B.num_layers)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    config, device = replace(T2V_A14B, num_layers=options.layers), torch.device(options.device)
    where: dict[str, Any] = {"device": options.device, "torch": torch.__version__, "layers": options.layers}
    if device.type == "cuda":
        torch.zeros(1, device=device)  # the context's own memory is not the loader's
        where["gpu"] = torch.cuda.get_device_name(device)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for precision in options.precision:
            path = Path(folder) / f"{precision}.safetensors"
            write_checkpoint(path, config, precision)
            (part,) = open_networks(path, [config])
            assert isinstance(part.config, TransformerConfig)
            for run in range(options.repeat):
                print(json.dumps({**where, "precision": precision, "run": run} | load_once(part, device)), flush=True)
            path.unlink()


if __name__ == "__main__":
    main()
