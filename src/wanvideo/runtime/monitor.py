"""GPU memory at this moment: used, free, at its peak, and who else holds some. Torch is imported when asked."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuUser:
    """A program that holds GPU memory."""

    pid: int
    name: str | None  # None: the driver does not say, or it is another user's
    nbytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuMemory:
    """The memory of one GPU, in bytes."""

    total: int
    free: int
    allocated: int  # by the tensors of this process
    reserved: int  # by this process's allocator, which keeps what tensors gave back
    peak: int  # of `allocated`, since the process began or the peak was reset
    others: tuple[GpuUser, ...] = ()  # without this process, the largest first; empty where only torch could be asked
    source: str  # "nvml", or "torch" where NVML is not there

    @property
    def used(self) -> int:
        """By everybody."""
        return self.total - self.free


def gpu_memory(index: int = 0) -> GpuMemory:
    """The memory of a CUDA device now, from NVML or else from torch. Takes no GPU memory where NVML answers."""
    import torch

    allocated, reserved, peak = (
        int(read(index))
        for read in (torch.cuda.memory_allocated, torch.cuda.memory_reserved, torch.cuda.max_memory_allocated)
    )
    with _nvml() as nvml:
        if nvml is not None and (found := _ask_nvml(nvml, index)) is not None:
            total, free, others = found
            return GpuMemory(
                total=total,
                free=free,
                allocated=allocated,
                reserved=reserved,
                peak=peak,
                others=others,
                source="nvml",
            )
    free, total = torch.cuda.mem_get_info(index)
    return GpuMemory(
        total=int(total), free=int(free), allocated=allocated, reserved=reserved, peak=peak, source="torch"
    )


def reset_peak(index: int = 0) -> None:
    """Begin a new peak."""
    import torch

    torch.cuda.reset_peak_memory_stats(index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One NVIDIA GPU as the driver sees it, at this moment."""

    index: int  # in the order of the bus
    uuid: str | None
    name: str
    capability: tuple[int, int] | None
    total: int  # bytes
    free: int
    busy_percent: int | None  # of the last moments, in which something ran on it
    celsius: int | None
    users: tuple[GpuUser, ...]  # this process among them, if it holds some; the largest first
    driver: str | None


def gpus() -> tuple[Gpu, ...]:
    """All NVIDIA GPUs, asked of the driver alone; empty where there are none, or no NVML. Never imports torch."""
    with _nvml() as nvml:
        if nvml is None:
            return ()
        try:
            return tuple(_gpu(nvml, index) for index in range(nvml.nvmlDeviceGetCount()))
        except nvml.NVMLError:
            return ()


def visible_gpus() -> tuple[Gpu, ...]:
    """Those that CUDA shows to this process, as it numbers them; see `process.before_torch`.

    What CUDA_VISIBLE_DEVICES names behind something that is not there does not count.
    """
    there, named = gpus(), os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return there
    found: list[Gpu] = []
    for name in map(str.strip, named.split(",")):
        meant = [gpu for gpu in there if name in (str(gpu.index), gpu.uuid)]
        if not meant:
            break
        found += meant
    return tuple(found)


def _gpu(nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)

    def ask(question: str, *arguments: object) -> Any:
        """None for what this card or driver does not say."""
        try:
            return getattr(nvml, question)(*arguments)
        except nvml.NVMLError:
            return None

    load = ask("nvmlDeviceGetUtilizationRates", handle)
    capability = ask("nvmlDeviceGetCudaComputeCapability", handle)
    return Gpu(
        index=index,
        uuid=ask("nvmlDeviceGetUUID", handle),
        name=str(nvml.nvmlDeviceGetName(handle)),
        capability=None if capability is None else (int(capability[0]), int(capability[1])),
        total=int(memory.total),
        free=int(memory.free),
        busy_percent=None if load is None else int(load.gpu),
        celsius=ask("nvmlDeviceGetTemperature", handle, nvml.NVML_TEMPERATURE_GPU),
        users=_users(nvml, handle),
        driver=ask("nvmlSystemGetDriverVersion"),
    )


@contextmanager
def _nvml() -> Iterator[ModuleType | None]:
    """NVML, or None where its library or its Python binding is missing."""
    try:
        import pynvml
    except ModuleNotFoundError:
        yield None
        return
    try:
        pynvml.nvmlInit()
    except (pynvml.NVMLError, OSError):
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def _ask_nvml(nvml: Any, index: int) -> tuple[int, int, tuple[GpuUser, ...]] | None:
    """Total and free bytes and the other users of a CUDA device; None if NVML does not know it."""
    import torch

    try:
        # NVML counts all GPUs in the order of the bus, CUDA those that it may see, so only the UUID tells.
        handle = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(index).uuid}")
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    except (nvml.NVMLError, AttributeError):  # AttributeError: an old torch, whose devices have no UUID
        return None
    others = tuple(user for user in _users(nvml, handle) if user.pid != os.getpid())
    return int(memory.total), int(memory.free), others


def _users(nvml: Any, handle: object) -> tuple[GpuUser, ...]:
    found: dict[int, GpuUser] = {}
    for ask in (nvml.nvmlDeviceGetComputeRunningProcesses, nvml.nvmlDeviceGetGraphicsRunningProcesses):
        try:
            processes = ask(handle)
        except nvml.NVMLError:
            continue
        for process in processes:
            nbytes = process.usedGpuMemory
            user = GpuUser(pid=process.pid, name=_name(process.pid), nbytes=None if nbytes is None else int(nbytes))
            found[process.pid] = user
    return tuple(sorted(found.values(), key=lambda user: -(user.nbytes or 0)))


def _name(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8", errors="replace").strip() or None
    except OSError:
        return None
