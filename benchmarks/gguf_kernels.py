"""Check every GGUF kernel against its twin in PyTorch, and time both on a weight of an A14B expert.

    python -m benchmarks.gguf_kernels

Prints one JSON object per type of block and dtype: the largest relative error, milliseconds of kernel and twin, GB/s of
the kernel (bytes read and written), and the time beside that of the matrix product which the weight is decoded for.
"""

import json
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import torch
from torch import Tensor

from wanvideo.weights.dequantize import dequantize_torch
from wanvideo.weights.gguf import BLOCKS

ROWS, COLUMNS = 13824, 5120  # of the first layer of the feed-forward network
TOKENS: Final = 32_760  # of 81 frames of 832x480

# Where the float16 scales of a block lie; random bytes there could be infinite.
HALVES: Final[Mapping[str, tuple[int, ...]]] = {
    "Q8_0": (0,), "Q4_0": (0,), "Q4_1": (0, 2), "Q5_0": (0,), "Q5_1": (0, 2),
    "Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,),
}  # fmt: skip


def random_blocks(kind: str, rows: int, columns: int, *, std: float = 1.0, seed: int = 0) -> Tensor:
    """Blocks of every possible content, with scales of that deviation: uint8 [rows, bytes of a row]."""
    generator = np.random.default_rng(seed)
    numbers, nbytes = BLOCKS[kind]
    data = generator.integers(0, 256, (rows * columns // numbers, nbytes), dtype=np.uint8)
    for start in HALVES[kind]:
        scales = generator.normal(scale=std, size=(len(data), 1)).astype(np.float16)
        data[:, start : start + 2] = scales.view(np.uint8)
    return torch.from_numpy(data).reshape(rows, -1)


def milliseconds(run: Callable[[], object], repeats: int = 20) -> float:
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
    return sorted(times)[len(times) // 2]


def main() -> None:
    from wanvideo.weights.gguf_kernels import KERNELS, dequantize_triton

    x = torch.randn(TOKENS, COLUMNS, device="cuda", dtype=torch.bfloat16)
    weight = torch.randn(ROWS, COLUMNS, device="cuda", dtype=torch.bfloat16)
    product = milliseconds(lambda: x @ weight.T)
    for kind in KERNELS:
        blocks = random_blocks(kind, ROWS, COLUMNS).cuda()
        for dtype in (torch.bfloat16, torch.float32):
            ours, twin = dequantize_triton(blocks, kind, dtype), dequantize_torch(blocks, kind, dtype)
            kernel = milliseconds(lambda b=blocks, k=kind, d=dtype: dequantize_triton(b, k, d))  # type: ignore[misc]
            plain = milliseconds(lambda b=blocks, k=kind, d=dtype: dequantize_torch(b, k, d), 3)  # type: ignore[misc]
            moved = blocks.numel() + ours.numel() * ours.element_size()
            line = {
                "gpu": torch.cuda.get_device_name(),
                "kind": kind,
                "dtype": str(dtype),
                "largest_error": float((ours.float() - twin.float()).abs().max() / twin.float().abs().max()),
                "equal_share": float((ours == twin).float().mean()),
                "kernel_ms": round(kernel, 3),
                "twin_ms": round(plain, 3),
                "kernel_gb_per_s": round(moved / kernel / 1e6, 1),
                "product_ms": round(product, 3),
            }
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
