"""This computer, for plans and for people, asked of the system and the driver alone: the server has no torch."""

import os
import platform
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import psutil

from wanvideo.errors import InvalidRequest
from wanvideo.runtime.calibration import load_calibration, usual_calibration_file
from wanvideo.runtime.hardware import foreign_gpus, host_memory
from wanvideo.runtime.machine import OLDEST, Calibration, Machine, predict
from wanvideo.runtime.monitor import Gpu, visible_gpus

_MEMORY: Final = re.compile(r"^(RssAnon|RssShmem):\s+(\d+) kB", re.MULTILINE)  # of proc(5)


@dataclass(frozen=True, slots=True)
class Disk:
    """In bytes."""

    total: int
    free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What the computer does at one moment, in bytes and percent."""

    cpu_percent: float
    host_total: int
    host_available: int
    disk_total: int  # of the disks that are written to, the one with least room
    disk_free: int
    gpu: Gpu | None  # the one that is used

    @property
    def host_used(self) -> int:
        return self.host_total - self.host_available


def snapshot(folders: Collection[Path]) -> Snapshot:
    """`cpu_percent` counts since the last call. folders: that are written to."""
    total, available = host_memory()
    disk = fullest_disk(folders)
    return Snapshot(
        cpu_percent=psutil.cpu_percent(interval=None),
        host_total=total,
        host_available=available,
        disk_total=disk.total,
        disk_free=disk.free,
        gpu=used_gpu(),
    )


def fullest_disk(folders: Collection[Path]) -> Disk:
    """The one with least room, in bytes."""
    return min((Disk(usage.total, usage.free) for usage in map(shutil.disk_usage, folders)), key=lambda disk: disk.free)


def used_gpu(device: str = "auto") -> Gpu | None:
    """The GPU that jobs run on; None: the CPU does everything, by choice or because there is none that can be used."""
    chosen = _chosen(device)
    return None if chosen is None else chosen[1]


def usable_gpus() -> dict[int, Gpu]:
    """Those that are not too old, by the numbers that they have for CUDA."""
    seen = enumerate(visible_gpus())
    return {number: gpu for number, gpu in seen if gpu.capability is None or gpu.capability >= OLDEST}


def _chosen(device: str) -> tuple[int, Gpu] | None:
    usable = usable_gpus()
    if device == "cpu" or not usable:
        return None
    number = int(device.removeprefix("cuda:")) if device.startswith("cuda:") else min(usable)
    return (number, usable[number]) if number in usable else None


def this_machine(device: str, *, memory_limit: int | None = None, workers: Collection[int] = ()) -> Machine:
    """As a plan wants it. What our own `workers`, by pid, hold counts as free, since the next job takes its place.

    On the GPU that is what all of them have there, of host memory what the one has that has most of it.

    Raises InvalidRequest for a GPU that is asked for by name and is not there.
    """
    total, available = host_memory()
    families = [family(pid) for pid in workers]
    available = min(total, available + max(map(_held, families), default=0))
    chosen = _chosen(device)
    if chosen is None:
        if device not in ("auto", "cpu"):
            there = ", ".join(f"cuda:{number}" for number in usable_gpus())
            instead = f"use {there} or cpu" if there else "there is no NVIDIA GPU that can; use cpu"
            raise InvalidRequest(f"{device} cannot be used: {instead}")
        return Machine(host_total=total, host_available=available, memory_limit=memory_limit, notes=_why_no_gpu(device))
    number, gpu = chosen
    own = {pid for each in families for pid in each}
    ours = sum(user.nbytes or 0 for user in gpu.users if user.pid in own)
    return Machine(
        gpu=gpu.name,
        index=number,
        capability=gpu.capability,
        gpu_total=gpu.total,
        gpu_free=min(gpu.total, gpu.free + ours),
        memory_limit=memory_limit,
        host_total=total,
        host_available=available,
        driver=gpu.driver,
    )


def reported(about: Mapping[str, Any], memory_limit: int | None = None) -> Machine | None:
    """What a node said that its workers run on; None: it has none, or is of a version that does not say.

    What other versions say besides is left out.
    """
    said = about.get("machine")
    if said is None:
        return None
    values = {each.name: said[each.name] for each in fields(Machine) if each.name in said}
    capability = None if (found := values.get("capability")) is None else tuple(found)
    return Machine(
        **values | {"capability": capability, "notes": tuple(values.get("notes", ())), "memory_limit": memory_limit}
    )


def _held(pids: Collection[int]) -> int:
    """Bytes of host memory that would be free without these processes, which share what they share with all (Linux)."""
    private, shared = 0, 0
    for pid in pids:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:  # it has just ended
            continue
        kilobytes = {name: int(number) for name, number in _MEMORY.findall(status)}
        private += kilobytes.get("RssAnon", 0) << 10
        shared = max(shared, kilobytes.get("RssShmem", 0) << 10)
    return private + shared


def rates_of(machine: Machine) -> Calibration:
    """What a worker measured here, else what is predicted: the server measures nothing."""
    return load_calibration(usual_calibration_file(), machine) or predict(machine)


def cpu_name() -> str:
    """Of the processor, as the system calls it."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def cpu_cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _why_no_gpu(device: str) -> tuple[str, ...]:
    if device == "cpu":
        return ()
    others = foreign_gpus()
    seen = f", and {' and '.join(others)} GPUs are not supported" if others else ""
    return (f"there is no NVIDIA GPU{seen}: the CPU does everything, which only the demo models are quick at",)


def family(pid: int) -> tuple[int, ...]:
    """A process and all that it has started, as far as they are there."""
    try:
        return pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return (pid,)
