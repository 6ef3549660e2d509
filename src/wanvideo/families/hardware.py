"""What this computer has, for choosing a model and a variant."""

import shutil
from pathlib import Path

from wanvideo.errors import InvalidRequest
from wanvideo.runtime.hardware import this_machine
from wanvideo.weights.pick import Hardware


def this_computer(downloads: Path) -> Hardware:
    """`downloads`: the folder, there already or not, on whose disk models are to lie."""
    machine = this_machine()
    return Hardware(
        gpu=machine.gpu,
        gpu_total=machine.gpu_total,
        gpu_free=machine.gpu_free,
        host_total=machine.host_total,
        host_available=machine.host_available,
        disk_free=shutil.disk_usage(existing_part(downloads)).free,
    )


def existing_part(path: Path) -> Path:
    """`path` itself, or the folder above it that there is."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())


def free_gpu_bytes(device: str) -> int | None:
    """None where no GPU is to be used, or can be: a device that is not there is refused when the model is loaded."""
    try:
        machine = this_machine(device)
    except InvalidRequest:
        return None
    return None if machine.gpu is None else machine.gpu_free
