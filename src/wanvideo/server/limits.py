"""What the user allows the engine to take: the optimizer settings of existing clients, kept over restarts.

They are limits. A plan obeys them, and takes less where less is enough.
"""

import json
import os
import threading
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from wanvideo.request import Tier

GIB: Final = 2**30
DEFAULT_TILE: Final = 256  # pixels; what existing clients show before anything was set
DEFAULT_VRAM: Final = 12.0  # GiB


class Precision(StrEnum):
    """In the words of existing clients."""

    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"  # 8-bit products: our tier fast


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """None: the plan decides alone."""

    quantization: Precision = Precision.BF16
    offload: bool = True  # parts of a model may wait outside of the GPU
    tile: int | None = None  # pixels a side
    vram_gib: float | None = None  # of GPU memory, at most

    @property
    def tier(self) -> Tier:
        """The tier of jobs that name none."""
        return Tier.FAST if self.quantization is Precision.INT8 else Tier.EXACT

    @property
    def memory_limit(self) -> int | None:
        """Bytes."""
        return None if self.vram_gib is None else int(self.vram_gib * GIB)


class LimitsFile:
    """The limits on disk, one JSON file. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._limits = _parse(path)

    @property
    def current(self) -> Limits:
        return self._limits

    def set(self, limits: Limits) -> None:
        """From now on, and after a restart."""
        with self._lock:
            write_json(self._path, asdict(limits))
            self._limits = limits


def write_json(path: Path, value: Any) -> None:
    """Whole or not at all, and on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    with open(draft, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        json.dump(value, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def read_json(path: Path) -> Any:
    """None if there is no such file, or if it is damaged."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _parse(path: Path) -> Limits:
    """What is not as we wrote it counts as not set."""
    value = read_json(path)
    if not isinstance(value, dict):
        return Limits()
    tile, vram = value.get("tile"), value.get("vram_gib")
    words = {each.value: each for each in Precision}
    return Limits(
        quantization=words.get(str(value.get("quantization")), Precision.BF16),
        offload=value.get("offload") is not False,
        tile=tile if type(tile) is int and tile > 0 else None,
        vram_gib=float(vram) if isinstance(vram, int | float) and vram > 0 else None,
    )
