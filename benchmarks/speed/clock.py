"""Time and memory of a call: the median of several, after a warm-up."""

import gc
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

GIB: Final = 2**30
POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    seconds: float  # median
    first_seconds: float  # of the first call: compilation, choice of kernels
    peak_bytes: int  # most that PyTorch's allocator gave out during the timed calls; 0 on the CPU

    @property
    def numbers(self) -> dict[str, float]:
        peak = {"peak_gib": self.peak_bytes / GIB} if self.peak_bytes else {}
        return {"seconds": self.seconds, "first_seconds": self.first_seconds} | peak


@torch.no_grad()
def measure(
    run: Callable[[], object], device: torch.device, *, repeats: int, warmup: Callable[[], object] | None = None
) -> Timing:
    """`warmup` runs before, once; by default it is `run` itself."""
    first = _once(warmup or run, device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    times = [_once(run, device) for _ in range(repeats)]
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return Timing(seconds=statistics.median(times), first_seconds=first, peak_bytes=peak)


def _once(run: Callable[[], object], device: torch.device) -> float:
    """On a GPU by its own clock, so that a short kernel is not measured with the time it takes to start it."""
    if device.type != "cuda":
        began = time.perf_counter()
        run()
        return time.perf_counter() - began
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize(device)
    begin.record()
    run()
    end.record()
    end.synchronize()
    milliseconds: float = begin.elapsed_time(end)
    return milliseconds / 1000


def free_memory() -> None:
    """Give back what the case before has held. Compiled models hold themselves in cycles, hence the collector."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def resident_bytes() -> int:
    """Of this process, in RAM: what it has taken, and the pages of files that it has mapped. 0 where unknown."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    lines = status.read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


class HostPeak:
    """The most RAM that this process was seen to hold since it was last asked."""

    def __init__(self) -> None:
        self._most, self._lock = 0, threading.Lock()

    def look(self) -> None:
        held = resident_bytes()
        with self._lock:
            self._most = max(self._most, held)

    def take(self) -> int:
        """In bytes, this moment included; begins anew."""
        self.look()
        with self._lock:
            most, self._most = self._most, 0
        return most


@contextmanager
def watching_host() -> Iterator[HostPeak]:
    """Look at this process's RAM every 50 ms while the block runs."""
    peak, done = HostPeak(), threading.Event()

    def watch() -> None:
        while not done.wait(POLL_SECONDS):
            peak.look()

    thread = threading.Thread(target=watch, name="watching-host")
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
