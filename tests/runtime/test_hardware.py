"""This computer, looked at: which GPU can be used, and what is said of those that cannot."""

from pathlib import Path

import pytest
import torch

from wanvideo.errors import InvalidRequest
from wanvideo.runtime import hardware, monitor
from wanvideo.runtime.hardware import driver_version, foreign_gpus, host_memory, this_machine
from wanvideo.runtime.machine import PROFILES, profile

GIB = 2**30


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, tuple[int, int]]]:
    """Two NVIDIA cards; their names and capabilities may be changed."""
    found = [("NVIDIA GeForce RTX 4080", (8, 9)), ("NVIDIA GeForce GTX 1080", (6, 1))]
    monkeypatch.setattr(hardware, "_NVIDIA_DEVICES", (str(tmp_path),))
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(found))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: found[index][0])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: found[index][1])
    memory = monitor.GpuMemory(total=16 * GIB, free=14 * GIB, allocated=0, reserved=GIB, peak=0, source="torch")
    monkeypatch.setattr(monitor, "gpu_memory", lambda index: memory)
    return found


@pytest.fixture
def no_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_NVIDIA_DEVICES", ())
    monkeypatch.setattr(hardware, "foreign_gpus", lambda: ())


def test_the_card_that_is_chosen_is_used(cards: list[tuple[str, tuple[int, int]]]) -> None:
    cards[1] = ("NVIDIA GeForce RTX 3090", (8, 6))
    for device, name, fp8 in (("auto", cards[0][0], True), ("cuda", cards[0][0], True), ("cuda:1", cards[1][0], False)):
        machine = this_machine(device, memory_limit=12 * GIB)
        assert (machine.gpu, machine.has_fp8, machine.memory_limit) == (name, fp8, 12 * GIB)
        assert (machine.gpu_free, machine.has_context) == (15 * GIB, True)
        assert any("2 GPUs" in note for note in machine.notes)
    assert this_machine("cpu").gpu is None


def test_a_card_older_than_turing_is_refused_by_name(cards: list[tuple[str, tuple[int, int]]]) -> None:
    with pytest.raises(
        InvalidRequest, match=r"cuda:1 cannot be used: NVIDIA GeForce GTX 1080 has .* 6\.1.*Turing.*cpu"
    ):
        this_machine("cuda:1")
    with pytest.raises(InvalidRequest, match="finds 2 CUDA devices"):
        this_machine("cuda:2")
    cards[0] = cards[1]
    machine = this_machine("auto")
    assert machine.gpu is None
    assert "GTX 1080" in machine.notes[0]


def test_before_ampere_a_note_says_in_what_is_computed(cards: list[tuple[str, tuple[int, int]]]) -> None:
    cards[:] = [("NVIDIA GeForce RTX 2080", (7, 5)), ("NVIDIA GeForce RTX 3090", (8, 6))]
    turing, ampere = this_machine("cuda:0"), this_machine("cuda:1")
    assert any("compute in float16" in note and "was not tried" in note for note in turing.notes)
    assert not any("bfloat16" in note for note in ampere.notes)


def test_a_torch_for_amd_is_refused(cards: list[tuple[str, tuple[int, int]]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert "AMD" in this_machine("auto").notes[0]


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("mps", "mps is for Apple GPUs.*cpu"),
        ("xpu:0", "Intel GPUs"),
        ("rocm", "AMD GPUs"),
        ("gpu", "no device is called 'gpu'"),
        ("cuda:x", "no device"),
        ("cuda", "there is no NVIDIA GPU; use cpu"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(device: str, message: str, no_cards: None) -> None:
    with pytest.raises(InvalidRequest, match=message):
        this_machine(device)


def test_without_a_gpu_the_cpu_is_used_and_a_note_says_why(no_cards: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no NVIDIA GPU" in this_machine("auto").notes[0]
    assert this_machine("cpu").notes == ()
    monkeypatch.setattr(hardware, "foreign_gpus", lambda: ("AMD", "Intel"))
    assert "an AMD and an Intel GPU was found" in this_machine("auto").notes[0]


def test_makers_of_gpus_are_told_from_what_the_kernel_lists(tmp_path: Path) -> None:
    for index, vendor in enumerate(("0x1002", "0x10de", "0x8086")):
        device = tmp_path / f"card{index}" / "device"
        device.mkdir(parents=True)
        (device / "vendor").write_text(f"{vendor}\n", "ascii")
    nothing = tmp_path / "nothing"
    assert foreign_gpus(tmp_path, nothing, "Linux") == ("AMD", "Intel")
    assert foreign_gpus(nothing, nothing, "Linux") == ()
    assert foreign_gpus(nothing, tmp_path, "Linux") == ("AMD",)
    assert foreign_gpus(nothing, nothing, "Darwin") == ("Apple",)


def test_the_driver_says_its_version(tmp_path: Path) -> None:
    path = tmp_path / "version"
    path.write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27\nGCC version: 12.3.0\n", "utf-8"
    )
    assert driver_version(path) == "580.65.06"
    assert driver_version(tmp_path / "nothing") is None


def test_host_memory_is_what_can_be_had_within_the_limits_of_a_container(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:    1000 kB\n", "ascii")
    assert host_memory(meminfo, tmp_path / "none")[1] == 1_024_000
    cgroup = tmp_path / "cgroup"
    cgroup.mkdir()
    for name, text in (
        ("memory.max", "600000"),
        ("memory.current", "500000"),
        ("memory.stat", "inactive_file 200000\n"),
    ):
        (cgroup / name).write_text(text, "ascii")
    assert host_memory(meminfo, cgroup) == (600_000, 300_000)
    (cgroup / "memory.max").write_text("max\n", "ascii")
    assert host_memory(meminfo, cgroup)[1] == 1_024_000


def test_profiles_have_names() -> None:
    assert profile("RTX 4080 128GB") is PROFILES["rtx-4080-128gb"]
    assert all(machine.predicted for machine in PROFILES.values())
    with pytest.raises(InvalidRequest, match="rtx-4090"):
        profile("rtx-9999")
