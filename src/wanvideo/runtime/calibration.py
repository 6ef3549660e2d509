"""How fast this computer is: measured once, in a few seconds, and kept. Torch is imported only to measure."""

import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import platformdirs

from wanvideo.request import Tier
from wanvideo.runtime.machine import BF16, Calibration, Machine, cpu_calibration, predict

if TYPE_CHECKING:
    import torch

_VERSION: Final = 2
# Tokens and heads of the attention that is timed: so long that its own rounding to 8 bits hardly counts.
_LONG: Final = (65_536, 4)


# --- kept on disk ----------------------------------------------------------------------------------------------------


def usual_calibration_file() -> Path:
    """Where the measurements of this user's computers are kept."""
    return platformdirs.user_data_path("wanvideo", appauthor=False) / "calibration.json"


def load_calibration(path: Path, machine: Machine) -> Calibration | None:
    """What was measured here; None if nothing was, by another driver or torch, or if the file cannot be read."""
    entry = _read(path).get(_key(machine))
    return _calibration(entry) if isinstance(entry, dict) else None


def save_calibration(path: Path, machine: Machine, calibration: Calibration) -> None:
    """Keep a measurement beside those of other cards.

    If the disk cannot be written, the next run measures again.
    """
    content = {"version": _VERSION, "machines": {**_read(path), _key(machine): asdict(calibration)}}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
            json.dump(content, file, indent=1)
        os.replace(file.name, path)  # noqa: PTH105 - file.name is text
    except OSError:
        return


def calibrated(machine: Machine, path: Path) -> Calibration:
    """The best knowledge of `machine`: what was measured, now if need be. Predicted if it is another computer.

    Without torch, nothing can be measured.
    """
    if machine.predicted:
        return predict(machine)
    if (known := load_calibration(path, machine)) is not None:
        return known
    try:
        measured = measure_calibration(machine)
    except ModuleNotFoundError:
        return predict(machine)
    save_calibration(path, machine, measured)
    return measured


def _key(machine: Machine) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        torch_version = version("torch")
    except PackageNotFoundError:
        torch_version = "none"
    return " | ".join((machine.gpu or f"cpu {platform.machine()}", machine.driver or "no driver", torch_version))


def _read(path: Path) -> dict[str, Any]:
    """Measurements by key; none if the file is missing, damaged or of another version."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    machines = content.get("machines") if isinstance(content, dict) and content.get("version") == _VERSION else None
    return machines if isinstance(machines, dict) else {}


def _calibration(entry: Mapping[str, Any]) -> Calibration | None:
    """None unless every field is there and every rate a positive number."""
    names = {field.name for field in fields(Calibration)}
    rates = [entry.get(name) for name in names - {"name", "measured"}]
    sound = all(type(rate) in (int, float) and 0 < rate < 1e9 for rate in rates)  # type: ignore[operator]
    if entry.keys() != names or not sound or not isinstance(entry["name"], str) or entry["measured"] is not True:
        return None
    return Calibration(**entry)


# --- measured --------------------------------------------------------------------------------------------------------


def measure_calibration(machine: Machine) -> Calibration:
    """Measure this computer, as the engine's own kernels run on it.

    It takes a few seconds, more where kernels have to be compiled, and on a GPU up to 1 GiB of its memory, given back
    afterwards. Where the memory for it is not free, predicted rates stay. Raises ModuleNotFoundError without torch.
    """
    import torch

    processor = _matmul(torch.device("cpu"), torch.float32, 768)
    if machine.gpu is None:
        attention = _attention(torch.device("cpu"), torch.float32, Tier.EXACT, heads=4, tokens=512)
        name = platform.processor() or platform.machine() or "this CPU"
        return cpu_calibration(name, tflops=processor, measured=True, attention=attention)
    device = torch.device("cuda", machine.index)
    start = replace(predict(machine), name=machine.gpu, measured=True, cpu_tflops=processor)
    try:
        return _measure_gpu(machine, device, start)
    except torch.OutOfMemoryError:
        return replace(start, measured=False)
    finally:
        torch.cuda.empty_cache()


def _measure_gpu(machine: Machine, device: "torch.device", start: Calibration) -> Calibration:
    import torch

    half = torch.bfloat16 if (machine.capability or (0, 0)) >= BF16 else torch.float16
    bf16 = _matmul(device, half, 8192)
    tokens, heads = _LONG
    return replace(
        start,
        bf16_tflops=bf16,
        fp8_tflops=_8bit_matmul(device, half, 8192, has_fp8=machine.has_fp8) or bf16,
        attention_tflops=_attention(device, half, Tier.EXACT, heads=heads, tokens=tokens),
        attention_8bit_tflops=_attention(device, half, Tier.FAST, heads=heads, tokens=tokens),
        memory_gbs=_copy(device),
        h2d_gbs=_host_to_device(device),
        vae_tflops=_convolution(device, half),
    )


def _seconds(work: Callable[[], object], device: "torch.device", least: float = 0.15) -> float:
    """Of one call, the best of several, for about twice `least` seconds. What the first call compiles is not in it."""
    import torch

    def timed(calls: int) -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        began = time.perf_counter()
        for _ in range(calls):
            work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return (time.perf_counter() - began) / calls

    with torch.inference_mode():
        timed(1)  # kernels are compiled, tested, chosen and loaded
        once = timed(1)
        calls = max(1, min(50, int(least / 3 / max(once, 1e-6))))
        return min(timed(calls) for _ in range(3))


def _matmul(device: "torch.device", dtype: "torch.dtype", side: int) -> float:
    """TFLOP/s."""
    import torch

    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return 2 * side**3 / _seconds(lambda: a @ b, device) / 1e12


def _8bit_matmul(device: "torch.device", dtype: "torch.dtype", side: int, *, has_fp8: bool) -> float | None:
    """TFLOP/s of the tier fast: float8, or int8 where there is none, with a scale for each row, results in `dtype`.

    None where this torch does not multiply them on this GPU.
    """
    import torch

    from wanvideo.kernels.eight_bit import FP8, INT8, multiply, round_rows

    kind = FP8 if has_fp8 else INT8
    try:
        with torch.no_grad():  # else no kernel is used
            x, weight = (round_rows(torch.randn(side, side, device=device, dtype=dtype), kind) for _ in range(2))
        seconds = _seconds(lambda: multiply(x, weight.values, weight.scale, None), device)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        return None
    return 2 * side**3 / seconds / 1e12


def _attention(device: "torch.device", dtype: "torch.dtype", tier: Tier, *, heads: int, tokens: int) -> float:
    """TFLOP/s of the attention that the engine chooses here: in the tier fast, an 8-bit one if it works."""
    import torch

    from wanvideo.kernels.attention import EXACT, FAST, attention, attention_backends

    q, k, v = (torch.randn(1, tokens, heads, 128, device=device, dtype=dtype) for _ in range(3))
    with attention_backends(*(FAST if tier is Tier.FAST else EXACT)):
        seconds = _seconds(lambda: attention(q, k, v), device)
    return 4 * tokens**2 * heads * 128 / seconds / 1e12


def _copy(device: "torch.device", nbytes: int = 1 << 28) -> float:
    """GB/s within device memory, read and written."""
    import torch

    source, target = (torch.empty(nbytes, dtype=torch.uint8, device=device) for _ in range(2))
    return 2 * nbytes / _seconds(lambda: target.copy_(source), device) / 1e9


def _host_to_device(device: "torch.device", nbytes: int = 1 << 28) -> float:
    """GB/s from pinned memory."""
    import torch

    source = torch.empty(nbytes, dtype=torch.uint8, pin_memory=True)
    target = torch.empty(nbytes, dtype=torch.uint8, device=device)
    return nbytes / _seconds(lambda: target.copy_(source, non_blocking=True), device) / 1e9


def _convolution(device: "torch.device", dtype: "torch.dtype") -> float:
    """TFLOP/s of what autoencoder 2.1 does most in a decode: norm, SiLU, 3x3x3 convolution of 96 channels."""
    import torch
    import torch.nn.functional as F

    x = torch.randn(1, 96, 6, 240, 416, device=device, dtype=dtype)
    weight = torch.randn(96, 96, 3, 3, 3, device=device, dtype=dtype)

    def work() -> object:
        return F.conv3d(F.silu(F.normalize(x, dim=1)), weight, padding=(0, 1, 1))

    return 2 * 27 * 96 * 96 * 4 * 240 * 416 / _seconds(work, device) / 1e12
