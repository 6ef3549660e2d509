"""What a worker computes on, and how much memory is taken."""

import contextlib
import re
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
import torch

from wanvideo.pipelines.device import pick_device
from wanvideo.worker.warm import Room

_SELF: Final = Path("/proc/self")
_KIB: Final = 1024


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU, or the CPU."""

    device: torch.device

    @classmethod
    def of(cls, name: str) -> "Device":
        """Raises InvalidRequest for a device that is not there."""
        return cls(pick_device(name))

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def about(self) -> dict[str, Any]:
        if not self.on_gpu:
            return {"device": "cpu", "name": "CPU", "total_bytes": int(psutil.virtual_memory().total)}
        properties = torch.cuda.get_device_properties(self.device)
        return {"device": str(self.device), "name": properties.name, "total_bytes": properties.total_memory}

    def memory(self) -> dict[str, Any]:
        """Bytes that this process holds: of the GPU, as PyTorch counts, and of the computer."""
        found: dict[str, Any] = {"rss": int(psutil.Process().memory_info().rss)}
        if self.on_gpu and torch.cuda.is_initialized():
            found["vram_used"] = torch.cuda.memory_allocated(self.device)
            found["vram_reserved"] = torch.cuda.memory_reserved(self.device)
            found["vram_peak"] = torch.cuda.max_memory_allocated(self.device)
        return found

    def room(self) -> Room:
        host = int(psutil.virtual_memory().available)
        if not self.on_gpu:
            return Room(device=host, host=host)
        free, _ = torch.cuda.mem_get_info(self.device)
        kept = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)  # for tensors to come
        return Room(device=free + kept, host=host)

    def new_peak(self) -> None:
        """Begin to look for the most memory that is taken."""
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)
        with contextlib.suppress(OSError):  # where it may not be reset, the peak is that of the process
            (_SELF / "clear_refs").write_text("5")  # Source: proc(5)

    def peak(self) -> int | None:
        """Bytes of GPU memory since `new_peak`; None without a GPU."""
        return torch.cuda.max_memory_allocated(self.device) if self.on_gpu else None

    def peak_rss(self) -> int:
        """Bytes of the computer's memory since `new_peak`, as the system counts them."""
        with contextlib.suppress(OSError):
            if found := re.search(r"VmHWM:\s*(\d+) kB", (_SELF / "status").read_text()):
                return int(found[1]) * _KIB
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB

    def probe(self) -> float:
        """Compute something; the seconds it took. Raises what PyTorch raises, RuntimeError if the result is wrong."""
        began = time.monotonic()
        ones = torch.ones(64, 64, device=self.device)
        if not torch.equal((ones @ ones).cpu(), torch.full((64, 64), 64.0)):
            raise RuntimeError(f"{self.device} computes wrongly")
        return time.monotonic() - began
