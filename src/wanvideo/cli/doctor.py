"""`wan doctor`: is everything here that makes video, and what is this computer?"""

import importlib
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Final

import typer

from wanvideo.cli.environment import MODELS_VARIABLE, package_version, places
from wanvideo.cli.models import size
from wanvideo.cli.output import FAILED, Output
from wanvideo.errors import WanVideoError
from wanvideo.families.registry import installed_families
from wanvideo.runtime.hardware import foreign_gpus, host_memory
from wanvideo.runtime.machine import OLDEST
from wanvideo.runtime.monitor import GpuMemory, gpu_memory
from wanvideo.weights.catalog import MODELS
from wanvideo.weights.finding import require
from wanvideo.weights.places import Places

BASE: Final = ("numpy", "pillow", "rich", "typer")
ENGINE: Final = ("torch", "av", "safetensors", "tokenizers", "ftfy")  # modules are named like their packages
LITTLE_DISK: Final = 2**30  # bytes; a video needs far less, a model far more
NVIDIA_DRIVER: Final = Path("/proc/driver/nvidia/version")


class Verdict(StrEnum):
    """How a check ended. Only a failure makes `wan doctor` end with an error."""

    OK = "ok"
    NOTE = "note"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding; `detail` says what was found and, if it is bad, what to do."""

    name: str
    detail: str
    verdict: Verdict = Verdict.OK
    facts: Mapping[str, object] = field(default_factory=dict)


def doctor(json: Annotated[bool, typer.Option("--json", help="One JSON object per check and line.")] = False) -> None:
    """Check the installation and this computer; ends with 1 if videos cannot be made."""
    output = Output(json=json)
    failed = False
    for check in _checks(places()):
        failed |= check.verdict == Verdict.FAIL
        output.event("check", name=check.name, verdict=check.verdict, detail=check.detail, facts=check.facts)
        output.result(f"{check.verdict:4}  {check.name:12}  {check.detail}")
    if failed:
        output.say("\nSomething essential is broken: see the lines that begin with `fail`.")
        raise typer.Exit(FAILED)


def _checks(where: Places) -> Iterator[Check]:
    yield _versions()
    yield from _engine()
    yield _families()
    yield from _devices()
    yield _memory()
    yield _encoder()
    yield from _folders(where)
    yield from _demos(where)


# --- software --------------------------------------------------------------------------------------------------------


def _versions() -> Check:
    found = {"wanvideo": package_version(), "python": platform.python_version(), "platform": platform.platform()}
    found |= {package: _version(package) or "not installed" for package in BASE}
    return Check(name="versions", detail=", ".join(f"{name} {number}" for name, number in found.items()), facts=found)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _engine() -> Iterator[Check]:
    """The libraries that make video. Each is really imported: an installed one may still not load."""
    for name in ENGINE:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            detail = "not installed: pip install 'wanvideo[engine]'"
            yield Check(name=name, verdict=Verdict.FAIL, detail=detail)
        except (ImportError, OSError) as error:
            detail = f"does not load ({error}): pip install --force-reinstall {name}"
            yield Check(name=name, verdict=Verdict.FAIL, detail=detail)
        else:
            number = _version(name) or "unknown version"
            yield Check(name=name, detail=number, facts={"version": number})


def _families() -> Check:
    """The model families, our own and those of other packages."""
    registry = installed_families()
    names = [family.name for family in registry.families]
    problems = {problem.family: problem.message for problem in registry.problems}
    return Check(
        name="families",
        verdict=Verdict.NOTE if problems else Verdict.OK,
        detail=" ".join([", ".join(names) + ("." if problems else ""), *problems.values()]),
        facts={"families": names, "problems": problems},
    )


def _encoder() -> Check:
    """H.264 really encoded and decoded again."""
    import numpy as np

    from wanvideo.media.video import Video, read_video

    try:
        with tempfile.TemporaryDirectory(prefix="wan-doctor-") as folder:
            path = Path(folder) / "gray.mp4"
            Video(frames=np.full((2, 64, 64, 3), 128, np.uint8), fps=16).save(path)
            frames = len(read_video(path).frames)
    except (WanVideoError, OSError) as error:
        return Check(name="video", verdict=Verdict.FAIL, detail=f"MP4 files cannot be made: {error}")
    if frames != 2:
        return Check(name="video", verdict=Verdict.FAIL, detail=f"of 2 frames encoded, {frames} were decoded")
    return Check(name="video", detail="H.264 (libx264) is encoded and decoded")


# --- hardware --------------------------------------------------------------------------------------------------------


def _devices() -> Iterator[Check]:
    try:
        import torch
    except (ImportError, OSError):
        return  # reported above
    if not torch.cuda.is_available():
        yield _no_cuda(torch.version.cuda)
        return
    for index in range(torch.cuda.device_count()):
        try:
            yield _cuda(index)
        except RuntimeError as error:  # of the driver, such as a GPU in exclusive use
            yield Check(name=f"cuda:{index}", verdict=Verdict.FAIL, detail=f"does not answer: {error}")


def _cuda(index: int) -> Check:
    import torch

    properties = torch.cuda.get_device_properties(index)
    memory = gpu_memory(index)
    capability = f"{properties.major}.{properties.minor}"
    too_old = (properties.major, properties.minor) < OLDEST
    remark = f"; too old: {OLDEST[0]}.{OLDEST[1]} (Turing) or newer is needed" if too_old else ""
    return Check(
        name=f"cuda:{index}",
        verdict=Verdict.NOTE if too_old else Verdict.OK,
        detail=f"{properties.name}, compute capability {capability}, {size(memory.free)} of {size(memory.total)} free"
        f"{_holders(memory)}, CUDA {torch.version.cuda}{remark}",
        facts={
            "name": properties.name,
            "capability": capability,
            "free_bytes": memory.free,
            "total_bytes": memory.total,
            "others": [asdict(user) for user in memory.others],
            "memory_source": memory.source,
            "cuda": torch.version.cuda,
        },
    )


def _holders(memory: GpuMemory) -> str:
    """Who else has some of it, the three largest."""
    shown = [
        f"{user.name or f'process {user.pid}'}{f' {size(user.nbytes)}' if user.nbytes else ''}"
        for user in memory.others[:3]
    ]
    more = len(memory.others) - len(shown)
    return f" (held by {', '.join(shown)}{f' and {more} more' if more else ''})" if shown else ""


def _no_cuda(built_for: str | None) -> Check:
    """Why torch sees no GPU. The demo models need none, so this is no failure."""
    if not NVIDIA_DRIVER.exists():
        others = foreign_gpus()
        seen = f" (and {' and '.join(others)} GPUs, which were found, are not supported)" if others else ""
        detail = f"no NVIDIA GPU{seen}: the demo models run well on the CPU, the real ones hardly"
    elif built_for is None:
        detail = "there is an NVIDIA driver, but this torch is for CPUs alone: pip install --force-reinstall torch"
    else:
        detail = f"there is an NVIDIA driver, but torch (for CUDA {built_for}) sees no GPU: is the driver too old?"
    return Check(name="gpu", verdict=Verdict.NOTE, detail=detail, facts={"cuda": built_for})


def _memory() -> Check:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    total, free = host_memory()
    return Check(
        name="computer",
        detail=f"{cores} CPU cores, {size(free)} of {size(total)} of memory available",
        facts={"cpu_cores": cores, "total_bytes": total, "free_bytes": free},
    )


# --- files -----------------------------------------------------------------------------------------------------------


def _folders(where: Places) -> Iterator[Check]:
    for root in where.roots:
        if root.is_dir():
            yield _disk("models", root)
        else:
            detail = f"{root}, named in {MODELS_VARIABLE}, is no folder: create it, or correct the variable"
            yield Check(name="models", verdict=Verdict.NOTE, detail=detail, facts={"path": root})
    if where.hub_cache is not None:
        yield _disk("hub cache", where.hub_cache)
    yield _disk("this folder", Path.cwd())


def _disk(name: str, path: Path) -> Check:
    there = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    return Check(
        name=name,
        verdict=Verdict.OK if free >= LITTLE_DISK else Verdict.NOTE,
        detail=f"{path}{'' if there == path.absolute() else ', not yet there'}, {size(free)} free",
        facts={"path": path, "exists": there == path.absolute(), "free_bytes": free},
    )


def _demos(where: Places) -> Iterator[Check]:
    for spec in (spec for spec in MODELS if spec.demo):
        try:
            detail = f"intact, {size(require(spec, where).nbytes)}"
        except WanVideoError as error:
            yield Check(name=spec.id, verdict=Verdict.FAIL, detail=error.message, facts=error.facts)
        else:
            yield Check(name=spec.id, detail=detail)
