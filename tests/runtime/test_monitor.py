"""GPU memory, as NVML and torch tell it; both are stood in for, since they need a GPU."""

import os
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from wanvideo.runtime.monitor import GpuUser, gpu_memory, reset_peak

GIB = 2**30


class NVMLError(Exception):
    """As pynvml has it."""


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch says of a card of 16 GiB."""
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda index: 2 * GIB)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda index: 3 * GIB)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda index: 5 * GIB)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (10 * GIB, 16 * GIB))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=f"uuid-{index}"))


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A pynvml that knows one card, with this process, a desktop and a program that hides its memory on it."""
    fake: Any = ModuleType("pynvml")
    fake.NVMLError = NVMLError
    fake.open = 0

    def count(change: int) -> Callable[[], None]:
        def call() -> None:
            fake.open += change

        return call

    def by_uuid(uuid: str) -> str:
        if uuid != "GPU-uuid-1":
            raise NVMLError("not found")
        return uuid

    def process(pid: int, nbytes: int | None) -> SimpleNamespace:
        return SimpleNamespace(pid=pid, usedGpuMemory=nbytes)

    fake.nvmlInit, fake.nvmlShutdown = count(1), count(-1)
    fake.nvmlDeviceGetHandleByUUID = by_uuid
    fake.nvmlDeviceGetMemoryInfo = lambda handle: SimpleNamespace(total=16 * GIB, free=9 * GIB)
    fake.nvmlDeviceGetComputeRunningProcesses = lambda handle: [
        process(os.getpid(), 3 * GIB),
        process(os.getppid(), GIB),
        process(2**30, None),  # no such process
    ]
    fake.nvmlDeviceGetGraphicsRunningProcesses = lambda handle: [process(os.getppid(), GIB)]
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


def test_nvml_says_who_else_holds_memory(card: None, nvml: Any) -> None:
    memory = gpu_memory(1)
    assert (memory.total, memory.free, memory.used, memory.source) == (16 * GIB, 9 * GIB, 7 * GIB, "nvml")
    assert (memory.allocated, memory.reserved, memory.peak) == (2 * GIB, 3 * GIB, 5 * GIB)
    parent, hidden = memory.others
    assert (parent.pid, parent.nbytes) == (os.getppid(), GIB)
    assert parent.name
    assert hidden == GpuUser(pid=2**30, name=None, nbytes=None)
    assert nvml.open == 0


def test_a_card_that_nvml_does_not_know_is_asked_of_torch(card: None, nvml: Any) -> None:
    memory = gpu_memory(0)
    assert (memory.free, memory.source, memory.others) == (10 * GIB, "torch", ())
    assert nvml.open == 0


def test_processes_may_be_hidden(card: None, nvml: Any) -> None:
    def refuse(handle: str) -> list[SimpleNamespace]:
        raise NVMLError("not supported")

    nvml.nvmlDeviceGetComputeRunningProcesses = nvml.nvmlDeviceGetGraphicsRunningProcesses = refuse
    memory = gpu_memory(1)
    assert (memory.source, memory.others) == ("nvml", ())


def test_without_the_library_of_the_driver_torch_is_asked(card: None, nvml: Any) -> None:
    def missing() -> None:
        raise NVMLError("library not found")

    nvml.nvmlInit = missing
    assert gpu_memory(1).source == "torch"


def test_without_the_python_package_torch_is_asked(card: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    memory = gpu_memory(1)
    assert (memory.total, memory.free, memory.source) == (16 * GIB, 10 * GIB, "torch")


@pytest.mark.gpu
def test_a_tensor_is_seen() -> None:
    torch.zeros(1, device="cuda")
    reset_peak()
    before = gpu_memory()
    tensor = torch.zeros(256 * 2**20, dtype=torch.uint8, device="cuda")
    after = gpu_memory()
    assert after.allocated - before.allocated == tensor.numel()
    assert after.peak >= after.allocated
    assert after.used - before.used >= 200 * 2**20
