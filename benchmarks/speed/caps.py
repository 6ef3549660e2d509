"""A GPU of less memory than there is: a limit on what PyTorch's allocator may take."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from benchmarks.speed.clock import GIB, free_memory
from benchmarks.speed.record import SkipPart


@contextmanager
def capped(device: torch.device, gib: float) -> Iterator[None]:
    """While the block runs. The memory of the CUDA context itself, half a GiB or so, does not count."""
    if device.type != "cuda":
        raise SkipPart("memory can be capped on a GPU only")
    total = torch.cuda.get_device_properties(device).total_memory
    if gib * GIB > total:
        raise SkipPart(f"the GPU has {total / GIB:.0f} GiB")
    free_memory()
    torch.cuda.set_per_process_memory_fraction(gib * GIB / total, device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
