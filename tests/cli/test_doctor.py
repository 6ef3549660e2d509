"""`wan doctor`."""

import importlib
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from tests.cli.conftest import Wan
from wanvideo.cli import doctor
from wanvideo.families.protocol import ENTRY_POINTS
from wanvideo.families.registry import discover
from wanvideo.runtime.monitor import GpuMemory, GpuUser
from wanvideo.weights.catalog import MODELS
from wanvideo.weights.places import DEMO_FOLDER

DEMOS = [spec.id for spec in MODELS if spec.demo]


def test_every_part_is_reported_in_words_and_as_json(wan: Wan) -> None:
    ended = wan("doctor", "--json")
    checks = {event["name"]: event for event in ended.events}
    assert {event["event"] for event in ended.events} == {"check"}
    assert {"versions", "torch", "av", "computer", "video", "hub cache", "this folder", *DEMOS} <= set(checks)
    for name in ("versions", "torch", "av", "computer", "video"):
        assert checks[name]["verdict"] == "ok"
    assert checks["computer"]["facts"]["cpu_cores"] >= 1
    plain = wan("doctor")
    assert plain.code == ended.code
    assert all(name in plain.out for name in checks)


def test_it_ends_with_1_exactly_if_something_essential_is_broken(wan: Wan) -> None:
    ended = wan("doctor", "--json")
    failed = [event["name"] for event in ended.events if event["verdict"] == "fail"]
    assert ended.code == (1 if failed else 0)
    assert failed == ([] if DEMO_FOLDER.is_dir() else DEMOS)


def test_a_library_that_does_not_load_is_named_with_the_remedy(wan: Wan, monkeypatch: pytest.MonkeyPatch) -> None:
    load = importlib.import_module

    def without_ftfy(name: str) -> ModuleType:
        if name == "ftfy":
            raise ModuleNotFoundError("No module named 'ftfy'", name=name)
        return load(name)

    monkeypatch.setattr(importlib, "import_module", without_ftfy)
    ended = wan("doctor")
    assert ended.code == 1
    (line,) = [line for line in ended.out.splitlines() if "ftfy" in line]
    assert line.startswith("fail")
    assert "pip install 'wanvideo[engine]'" in line


def test_a_root_that_is_no_folder_is_noted(wan: Wan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAN_MODELS", "/nowhere/at/all")
    (line,) = [line for line in wan("doctor").out.splitlines() if "/nowhere/at/all" in line]
    assert line.startswith("note")


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one does not answer."""

    def memory(index: int) -> tuple[int, int]:
        if index == 1:
            raise RuntimeError("CUDA-capable device(s) is/are busy or unavailable")
        return 12 * 2**30, 16 * 2**30

    card = SimpleNamespace(name="NVIDIA GeForce RTX 4080", major=8, minor=9)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: card)
    monkeypatch.setattr(torch.cuda, "mem_get_info", memory)


def test_a_gpu_is_shown_with_its_capability_and_memory(two_gpus: None, wan: Wan) -> None:
    ended = wan("doctor", "--json")
    first, second = (event for event in ended.events if event["name"].startswith("cuda"))
    assert first["verdict"] == "ok"
    assert first["detail"].startswith("NVIDIA GeForce RTX 4080, compute capability 8.9, 12.0 GiB of 16.0 GiB free")
    assert first["facts"]["total_bytes"] == 16 * 2**30
    assert second["verdict"] == "fail"
    assert "busy" in second["detail"]
    assert ended.code == 1


def test_who_else_holds_gpu_memory_is_said(two_gpus: None, wan: Wan, monkeypatch: pytest.MonkeyPatch) -> None:
    users = [
        GpuUser(pid=number, name=name, nbytes=number * 2**30)
        for number, name in enumerate(("c", "b", None, "a"), start=1)
    ]
    memory = GpuMemory(
        total=16 * 2**30, free=2**32, allocated=0, reserved=0, peak=0, others=tuple(users[::-1]), source="nvml"
    )
    monkeypatch.setattr(doctor, "gpu_memory", lambda index: memory)
    first = next(event for event in wan("doctor", "--json").events if event["name"] == "cuda:0")
    assert "4.0 GiB of 16.0 GiB free (held by a 4.0 GiB, process 3 3.0 GiB, b 2.0 GiB and 1 more)" in first["detail"]
    assert len(first["facts"]["others"]) == 4


def test_a_gpu_that_cannot_be_used_is_named(wan: Wan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "NVIDIA_DRIVER", Path("/nowhere"))
    monkeypatch.setattr(doctor, "foreign_gpus", lambda: ("AMD",))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (check,) = [event for event in wan("doctor", "--json").events if event["name"] == "gpu"]
    assert "no NVIDIA GPU (and AMD GPUs, which were found, are not supported)" in check["detail"]


@pytest.mark.parametrize(
    ("driver", "built_for", "message"),
    [(False, None, "no NVIDIA GPU"), (True, None, "for CPUs alone"), (True, "13.0", "is the driver too old?")],
)
def test_no_gpu_is_a_note_that_says_why(
    driver: bool, built_for: str | None, message: str, wan: Wan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "NVIDIA_DRIVER", Path("/" if driver else "/nowhere"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", built_for)
    (check,) = [event for event in wan("doctor", "--json").events if event["name"] == "gpu"]
    assert check["verdict"] == "note"
    assert message in check["detail"]


def test_families_are_listed_and_a_broken_one_is_noted(wan: Wan, monkeypatch: pytest.MonkeyPatch) -> None:
    def check() -> dict[str, Any]:
        (found,) = [event for event in wan("doctor", "--json").events if event.get("name") == "families"]
        return found

    assert (check()["verdict"], check()["facts"]["problems"]) == ("ok", {})
    broken = discover([EntryPoint("broken", "no_such_module:FAMILY", ENTRY_POINTS)])
    monkeypatch.setattr(doctor, "installed_families", lambda: broken)
    assert check()["verdict"] == "note"
    assert "The family broken" in check()["detail"]
