"""Which GPU is which, where there are several: asked of the driver, without torch."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from wanvideo.errors import InvalidRequest
from wanvideo.server.machine import this_machine, usable_gpus
from wanvideo.server.workers import devices_of, new_worker

MIB, GIB = 2**20, 2**30
CARDS = (("GT 1030", (6, 1), 2), ("RTX 3060", (8, 6), 12), ("RTX 4080", (8, 9), 16))


@pytest.fixture(autouse=True)
def _three_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is too old."""
    fake: Any = ModuleType("pynvml")
    fake.NVMLError = type("NVMLError", (Exception,), {})
    fake.NVML_TEMPERATURE_GPU = 0

    def unknown(*_: object) -> None:
        raise fake.NVMLError

    fake.__getattr__ = lambda name: unknown
    fake.nvmlInit = fake.nvmlShutdown = lambda: None
    fake.nvmlDeviceGetCount = lambda: len(CARDS)
    fake.nvmlDeviceGetHandleByIndex = lambda index: index
    fake.nvmlDeviceGetName = lambda index: CARDS[index][0]
    fake.nvmlDeviceGetUUID = lambda index: f"GPU-{index}"
    fake.nvmlDeviceGetCudaComputeCapability = lambda index: CARDS[index][1]
    fake.nvmlDeviceGetMemoryInfo = lambda index: SimpleNamespace(total=CARDS[index][2] * GIB, free=GIB)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def named(visible: dict[int, Any]) -> dict[int, str]:
    return {number: gpu.name for number, gpu in visible.items()}


def test_a_plan_is_for_the_card_that_is_chosen() -> None:
    machine = this_machine("cuda:2")
    assert (machine.gpu, machine.index, machine.gpu_total) == ("RTX 4080", 2, 16 * GIB)
    assert (this_machine("auto").gpu, this_machine("auto").index) == ("RTX 3060", 1)
    assert devices_of("auto") == ["cuda:1", "cuda:2"]


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        ("2,1", {0: "RTX 4080", 1: "RTX 3060"}),
        ("GPU-2", {0: "RTX 4080"}),
        ("2,7,1", {0: "RTX 4080"}),
        ("0,2", {1: "RTX 4080"}),
        ("-1", {}),
        ("", {}),
    ],
)
def test_cards_are_numbered_as_cuda_shows_them(
    monkeypatch: pytest.MonkeyPatch, visible: str, seen: dict[int, str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert named(usable_gpus()) == seen


def test_a_card_that_cannot_be_used_is_refused_with_those_that_can() -> None:
    with pytest.raises(InvalidRequest, match="cuda:0 cannot be used: use cuda:1, cuda:2 or cpu"):
        this_machine("cuda:0")


def test_what_a_worker_holds_of_host_memory_is_free_for_its_next_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the others hold is not, and what its ranks share is there once."""
    monkeypatch.setattr("wanvideo.server.machine.host_memory", lambda: (128 * GIB, 40 * GIB))
    with holding(64, ranks=2) as large, holding(60) as small:
        found = this_machine("cpu", workers=[small, large]).host_available
        assert 64 * MIB <= found - 40 * GIB < (64 + 3 * 24) * MIB
    assert this_machine("cpu", workers=[large]).host_available == 40 * GIB  # it has ended


@contextmanager
def holding(mebibytes: int, ranks: int = 0) -> Iterator[int]:
    """The pid of a process with so much memory, which it shares with others that it has started."""
    code = (
        "import mmap, os, sys, time\n"
        "pages = mmap.mmap(-1, int(sys.argv[1]) << 20)\n"
        "any(os.fork() == 0 for _ in range(int(sys.argv[2])))\n"
        "for start in range(0, len(pages), mmap.PAGESIZE): pages[start] = 1\n"
        "print(flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(mebibytes), str(ranks)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        for _ in range(1 + ranks):
            process.stdout.readline()
        yield process.pid
        os.killpg(process.pid, signal.SIGKILL)


def test_a_worker_gets_a_card_that_is_free() -> None:
    assert new_worker(["cuda:2"], ["cuda:1"]) == ("cuda:2", ("cuda:2",))
    assert new_worker(["cuda:1", "cuda:2"], []) == ("cuda:1+cuda:2", ("cuda:1", "cuda:2"))
    with pytest.raises(InvalidRequest, match="cuda:2 belongs to the worker cuda:1\\+cuda:2"):
        new_worker(["cuda:2"], ["cuda:1+cuda:2"])
    with pytest.raises(InvalidRequest, match="no device cuda:0: this computer has 2 GPUs that can be used"):
        new_worker(["cuda:0"], [])
