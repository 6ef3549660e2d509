"""What a process has to be told before torch loads. No torch."""

import os
import sys


def before_torch() -> None:
    """Settings of torch and its libraries that are read once, unless the user said otherwise.

    Threads of OpenMP sleep while they wait for one another instead of spinning. Where another program wants one of the
    cores, every operation of a small network else lasts a time slice: with one core of two busy, a demo video took 60 s
    to denoise, and 3 s so.

    The allocator of GPU memory maps pages into segments that grow, where it can, which leaves no holes between them:
    A14B at 832x480 under 12 GiB ran out of memory without, 0.1 GiB below its plan, and did not with it (on one H100).

    CUDA numbers GPUs in the order of the bus, as the driver and nvidia-smi do, and not the fastest first.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    if sys.platform == "linux":
        os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
