"""What this computer has."""

import os
import shutil
from pathlib import Path
from typing import Final

from wanvideo.weights.pick import Hardware

GPU_DEVICES: Final = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # NVIDIA, under Windows, AMD


def this_computer(downloads: Path) -> Hardware:
    """`downloads`: the folder, there already or not, on whose disk models are to lie."""
    page = os.sysconf("SC_PAGE_SIZE")
    gpu, total, free = _gpu() or (None, 0, 0)
    return Hardware(
        gpu=gpu,
        gpu_total=total,
        gpu_free=free,
        host_total=os.sysconf("SC_PHYS_PAGES") * page,
        host_available=os.sysconf("SC_AVPHYS_PAGES") * page,
        disk_free=shutil.disk_usage(existing_part(downloads)).free,
    )


def existing_part(path: Path) -> Path:
    """`path` itself, or the folder above it that there is."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())


def may_have_gpu() -> bool:
    """Whether it is worth the second that it takes to load torch and ask."""
    return any(Path(name).exists() for name in GPU_DEVICES)


def free_gpu_bytes(device: str) -> int | None:
    """None where no GPU is to be used; torch is asked only if there can be one."""
    if device.startswith("cpu") or not may_have_gpu():
        return None
    import torch

    number = device.removeprefix("cuda:")
    index = int(number) if number.isdecimal() else 0
    if index >= torch.cuda.device_count():  # a device that is not there is refused when the pipeline is loaded
        return None
    free, _ = torch.cuda.mem_get_info(index)
    return int(free)


def _gpu() -> tuple[str, int, int] | None:
    """Name, all bytes and free bytes of the first GPU; None without one, or without the engine to ask."""
    if not may_have_gpu():
        return None
    try:
        import torch
    except ModuleNotFoundError:
        return None
    if not torch.cuda.is_available():
        return None
    free, total = torch.cuda.mem_get_info(0)
    return torch.cuda.get_device_name(0), int(total), int(free)
