"""This computer, looked at. Torch is imported only where there can be a GPU to ask it about."""

import os
import platform
import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from wanvideo.errors import InvalidRequest
from wanvideo.runtime.machine import BF16, OLDEST, Machine

_VENDORS: Final = {"0x1002": "AMD", "0x8086": "Intel"}
_FOREIGN_DEVICES: Final = {"mps": "Apple", "xpu": "Intel", "hip": "AMD", "rocm": "AMD"}
_NVIDIA_DEVICES: Final = ("/dev/nvidiactl", "/dev/dxg")  # the second under Windows
_DRIVER: Final = Path("/proc/driver/nvidia/version")


# --- this machine ----------------------------------------------------------------------------------------------------


def this_machine(device: str = "auto", memory_limit: int | None = None) -> Machine:
    """This computer, with the GPU that `device` means: "auto", "cpu", "cuda", "cuda:1".

    memory_limit: bytes of GPU memory that may be used, by default all that is free.

    With "auto", a GPU that cannot be used is left aside, and a note says why. Raises InvalidRequest if a device is
    asked for by name that is not there or cannot be used.
    """
    index = _index(device)
    total, available = host_memory()
    host = Machine(host_total=total, host_available=available, memory_limit=memory_limit)
    if device == "cpu":
        return host
    problem = _why_not(index or 0)
    if problem is None:
        return _with_gpu(host, index or 0)
    if index is not None:
        raise InvalidRequest(f"{device} cannot be used: {problem}; use cpu", suggestions=("cpu",))
    return replace(host, notes=(f"{problem}: the CPU does everything, which only the demo models are quick at",))


def _index(device: str) -> int | None:
    """Of a CUDA device; None: "auto" or "cpu"."""
    if device in ("auto", "cpu"):
        return None
    if found := re.fullmatch(r"cuda(?::(\d{1,3}))?", device):
        return int(found[1] or 0)
    if maker := _FOREIGN_DEVICES.get(device.partition(":")[0]):
        raise InvalidRequest(f"{device} is for {maker} GPUs, which are not supported: use an NVIDIA GPU, or cpu")
    raise InvalidRequest(f"no device is called {device!r:.60}: use auto, cpu, cuda or cuda:N")


def _why_not(index: int) -> str | None:
    """Why no CUDA device, or not that one, can be used; None if it can."""
    others = foreign_gpus()
    seen = f"an {' and an '.join(others)} GPU was found, and only NVIDIA GPUs are supported" if others else ""
    if not any(Path(name).exists() for name in _NVIDIA_DEVICES):
        return seen or "there is no NVIDIA GPU"
    try:
        import torch
    except ModuleNotFoundError:
        return "there is an NVIDIA GPU, but the engine is not installed (pip install 'wanvideo[engine]')"
    if torch.version.hip is not None:
        return "this PyTorch is made for AMD GPUs, which are not supported"
    if not torch.cuda.is_available():
        return "there is an NVIDIA driver, but PyTorch sees no GPU (`wan doctor` says why)"
    count = torch.cuda.device_count()
    if index >= count:
        return f"PyTorch finds {count} CUDA devices, counted from 0"
    major, minor = torch.cuda.get_device_capability(index)
    if (major, minor) < OLDEST:
        return (
            f"{torch.cuda.get_device_name(index)} has compute capability {major}.{minor}, and "
            f"{OLDEST[0]}.{OLDEST[1]} (Turing) is the oldest that is supported"
        )
    return None


def _with_gpu(host: Machine, index: int) -> Machine:
    import torch

    from wanvideo.runtime.monitor import gpu_memory

    memory = gpu_memory(index)
    count = torch.cuda.device_count()
    capability = torch.cuda.get_device_capability(index)
    notes = [f"{count} GPUs are here, and cuda:{index} is used"] if count > 1 else []
    if capability < BF16:
        notes.append(
            "this GPU has no bfloat16 units and is too old for our kernels: transformers compute in float16, the "
            "autoencoder in float32, and PyTorch alone does the rest, with more memory and time, which was not tried"
        )
    return replace(
        host,
        gpu=torch.cuda.get_device_name(index),
        index=index,
        capability=capability,
        gpu_total=memory.total,
        # What this process holds already is there for the plan.
        gpu_free=memory.free + memory.reserved,
        # Torch makes its context to answer; NVML was asked before there need be one.
        has_context=memory.source == "torch" or memory.reserved > 0,
        driver=driver_version(),
        notes=tuple(notes),
    )


def foreign_gpus(
    drm: Path = Path("/sys/class/drm"), kfd: Path = Path("/dev/kfd"), system: str | None = None
) -> tuple[str, ...]:
    """Makers of GPUs that are here and cannot be used. Under Linux as the kernel lists them."""
    found = {"AMD"} if kfd.exists() else set()
    for path in drm.glob("card*/device/vendor"):
        try:
            found.add(_VENDORS.get(path.read_text("ascii").strip(), ""))
        except (OSError, UnicodeDecodeError):
            continue
    if (system or platform.system()) == "Darwin":
        found.add("Apple")
    return tuple(sorted(found - {""}))


def driver_version(path: Path = _DRIVER) -> str | None:
    """Of NVIDIA's driver, under Linux."""
    try:
        found = re.search(r"\b(\d{3}\.\d+(?:\.\d+)?)\b", path.read_text("utf-8", errors="replace"))
    except OSError:
        return None
    return found[1] if found else None


def host_memory(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = Path("/sys/fs/cgroup")) -> tuple[int, int]:
    """All bytes of host memory and those that can be had: what files only cache counts, limits of a container bind."""
    page = os.sysconf("SC_PAGE_SIZE")
    total, available = os.sysconf("SC_PHYS_PAGES") * page, os.sysconf("SC_AVPHYS_PAGES") * page
    if found := re.search(r"^MemAvailable:\s+(\d+) kB", _text(meminfo), re.MULTILINE):
        available = int(found[1]) * 1024
    limit, used = _text(cgroup / "memory.max").strip(), _text(cgroup / "memory.current").strip()
    if limit.isdecimal():
        cached = re.search(r"^inactive_file (\d+)$", _text(cgroup / "memory.stat"), re.MULTILINE)
        free = int(limit) - int(used or 0) + int(cached[1] if cached else 0)
        total, available = min(total, int(limit)), min(available, max(0, free))
    return total, available


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii", errors="replace")
    except OSError:
        return ""
