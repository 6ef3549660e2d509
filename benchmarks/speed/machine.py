"""What a run was made on."""

import datetime
import os
import platform
from pathlib import Path
from typing import Any

import torch


def describe(device: torch.device, command: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
        "cores": os.cpu_count(),
        "PyTorch": torch.__version__,
    }
    if device.type == "cuda":
        found["cuDNN"] = torch.backends.cudnn.version()
    found["Python"] = platform.python_version()
    found["date"] = datetime.datetime.now(datetime.UTC).date().isoformat()
    found["command"] = f"`{command}`"
    return found


def processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
