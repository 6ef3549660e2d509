"""What a worker computes on, and how much of its memory is taken."""

from dataclasses import dataclass
from typing import Any

import psutil
import torch

from wanvideo.pipelines.device import pick_device


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
            found["vram_peak"] = torch.cuda.max_memory_allocated(self.device)
        return found

    def new_peak(self) -> None:
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak(self) -> int | None:
        """Bytes of GPU memory since `new_peak`; None without a GPU."""
        return torch.cuda.max_memory_allocated(self.device) if self.on_gpu else None

    def probe(self) -> bool:
        """Whether it computes, and rightly."""
        ones = torch.ones(64, 64, device=self.device)
        return bool(torch.equal((ones @ ones).cpu(), torch.full((64, 64), 64.0)))
