"""A GPU of less memory than there is: a limit on what PyTorch's allocator may take."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch

from benchmarks.speed.clock import GIB, free_memory
from benchmarks.speed.record import SkipPart


@contextmanager
def capped(device: torch.device, gib: float) -> Iterator[None]:
    """While the block runs, on the allocator and on what PyTorch says is free, which is what the engine plans with.

    The memory of the CUDA context itself, half a GiB or so, does not count.
    """
    if device.type != "cuda":
        raise SkipPart("memory can be capped on a GPU only")
    total = torch.cuda.get_device_properties(device).total_memory
    if gib * GIB > total:
        raise SkipPart(f"the GPU has {total / GIB:.0f} GiB")
    free_memory()
    cap = int(gib * GIB)

    def mem_get_info(asked: object = None) -> tuple[int, int]:  # noqa: ARG001
        return max(0, cap - torch.cuda.memory_reserved(device)), cap

    torch.cuda.set_per_process_memory_fraction(cap / total, device)
    try:
        with patch.object(torch.cuda, "mem_get_info", mem_get_info):
            yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
