"""How fast a computer is: measured once, kept, measured again if what was kept cannot be used."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from wanvideo.kernels import attention as kernels
from wanvideo.kernels import eight_bit
from wanvideo.kernels.attention import Backend
from wanvideo.kernels.eight_bit import Rounded
from wanvideo.request import Tier
from wanvideo.runtime import calibration as module
from wanvideo.runtime.calibration import calibrated, load_calibration, measure_calibration, save_calibration
from wanvideo.runtime.machine import H100, KNOWN, PROFILES, Calibration, Machine, predict

CPU = Machine(host_total=2**36, host_available=2**35)
GPU = Machine(gpu="NVIDIA Imaginary", driver="580.1", host_total=2**36, host_available=2**35)
RATES = replace(H100, name="NVIDIA Imaginary")


def test_a_cpu_is_measured() -> None:
    measured = measure_calibration(CPU)
    assert measured.measured
    assert 0.001 < measured.bf16_tflops < 1000
    assert measured.fp8_tflops == measured.bf16_tflops
    assert measured.attention_tflops > 0
    assert measured.origin.startswith("measured on ")


def test_what_was_measured_is_kept_for_each_card_and_driver(tmp_path: Path) -> None:
    path = tmp_path / "not yet" / "calibration.json"
    assert load_calibration(path, GPU) is None
    save_calibration(path, GPU, RATES)
    save_calibration(path, CPU, replace(RATES, name="a CPU"))
    assert load_calibration(path, GPU) == RATES
    assert load_calibration(path, CPU) == replace(RATES, name="a CPU")
    assert load_calibration(path, replace(GPU, driver="581.0")) is None
    assert load_calibration(path, replace(GPU, gpu="NVIDIA Other")) is None
    assert [file.name for file in path.parent.iterdir()] == ["calibration.json"]


@pytest.fixture
def measurements(monkeypatch: pytest.MonkeyPatch) -> list[Machine]:
    """The machines that were measured."""
    measured: list[Machine] = []

    def measure(machine: Machine) -> Calibration:
        measured.append(machine)
        return RATES

    monkeypatch.setattr(module, "measure_calibration", measure)
    return measured


def test_it_is_measured_once(tmp_path: Path, measurements: list[Machine]) -> None:
    path = tmp_path / "calibration.json"
    assert calibrated(GPU, path) == calibrated(GPU, path) == RATES
    assert measurements == [GPU]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"version": 1, "machines": {"KEY": WHOLE}}',
        '{"version": 2, "machines": []}',
        '{"version": 2, "machines": {"KEY": 5}}',
        '{"version": 2, "machines": {"KEY": {"name": "x", "measured": true}}}',
        "WITH bf16_tflops = 0",
        "WITH bf16_tflops = -1",
        'WITH bf16_tflops = "fast"',
        "WITH bf16_tflops = NaN",
        "WITH bf16_tflops = true",
        "WITH measured = false",
        "WITH more = 1",
    ],
)
def test_a_file_that_is_no_use_is_measured_anew_and_replaced(
    content: str, tmp_path: Path, measurements: list[Machine]
) -> None:
    path = tmp_path / "calibration.json"
    save_calibration(path, GPU, RATES)
    whole = json.loads(path.read_text("utf-8"))
    (key,) = whole["machines"]
    if content.startswith("WITH "):
        name, value = content.removeprefix("WITH ").split(" = ")
        whole["machines"][key][name] = json.loads(value)
        content = json.dumps(whole)
    content = content.replace('"KEY"', json.dumps(key)).replace("WHOLE", json.dumps(whole["machines"][key]))
    path.write_text(content, "utf-8")
    assert load_calibration(path, GPU) is None
    assert calibrated(GPU, path) == RATES
    assert load_calibration(path, GPU) == RATES
    assert len(measurements) == 1


def test_a_disk_that_cannot_be_written_is_no_error(tmp_path: Path, measurements: list[Machine]) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    assert calibrated(GPU, tmp_path / "file" / "calibration.json") == RATES


def test_without_torch_rates_are_predicted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(machine: Machine) -> Calibration:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(module, "measure_calibration", missing)
    assert not calibrated(GPU, tmp_path / "calibration.json").measured
    assert not (tmp_path / "calibration.json").exists()


def test_another_computer_is_never_measured(tmp_path: Path, measurements: list[Machine]) -> None:
    for machine in PROFILES.values():
        assert calibrated(machine, tmp_path / "calibration.json") == predict(machine)
    assert measurements == []


def test_every_named_machine_has_rates_and_says_whether_they_were_measured() -> None:
    for name, machine in PROFILES.items():
        rates = predict(machine)
        assert rates is KNOWN[machine.gpu or ""]
        assert rates.measured == (name == "h100")
        assert ("not measured" in rates.origin) == (name != "h100")
    card = predict(PROFILES["rtx-4080-128gb"])
    assert 65 < card.bf16_tflops < 97.5
    assert card.bf16_tflops < card.fp8_tflops < 195


def test_an_unknown_card_gets_a_guess_that_says_so() -> None:
    guess = predict(GPU)
    assert not guess.measured
    assert guess.fp8_tflops > guess.bf16_tflops
    assert guess.attention_8bit_tflops == guess.attention_tflops, "without float8 it stays in 16 bits"
    recent = predict(replace(GPU, capability=(12, 0)))
    assert recent.attention_8bit_tflops > recent.attention_tflops


def test_attention_is_timed_as_each_tier_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []

    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        fast = Backend.EIGHT_BIT in kernels._wanted.get()
        time.sleep(0.5 if not calls else 0.002 if fast else 0.008)  # the first call compiles
        calls.append(fast)
        return q

    monkeypatch.setattr(kernels, "attention", attention)
    cpu, flop = torch.device("cpu"), 4 * 1024**2 * 128
    exact, fast = (
        module._attention(cpu, torch.float32, tier, heads=1, tokens=1024) for tier in (Tier.EXACT, Tier.FAST)
    )
    assert flop / 0.1 < 1e12 * exact <= flop / 0.008
    assert fast > 1.5 * exact
    assert set(calls) == {False, True}


@pytest.mark.parametrize("has_fp8", [True, False])
def test_8_bit_products_are_timed_with_a_scale_for_each_row(monkeypatch: pytest.MonkeyPatch, has_fp8: bool) -> None:
    multiplied: list[Rounded] = []
    product = eight_bit.multiply

    def multiply(x: Rounded, weight: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
        multiplied.append(x)
        assert scale.shape == (64, 1)
        return product(x, weight, scale, bias)

    monkeypatch.setattr(eight_bit, "multiply", multiply)
    rate = module._8bit_matmul(torch.device("cpu"), torch.float32, 64, has_fp8=has_fp8)
    assert rate is not None
    assert rate > 0
    assert {x.values.dtype for x in multiplied} == {torch.float8_e4m3fn if has_fp8 else torch.int8}
    assert multiplied[0].scale.shape == (64, 1)


@pytest.mark.gpu
def test_a_gpu_is_measured() -> None:
    from wanvideo.runtime.hardware import this_machine

    machine = this_machine("cuda")
    measured = measure_calibration(machine)
    assert measured.measured
    assert measured.name == machine.gpu
    assert measured.bf16_tflops > 10
    # Where no 8-bit attention works, the fast tier has the same one.
    assert measured.attention_8bit_tflops > 0.9 * measured.attention_tflops
    assert measured.memory_gbs > measured.h2d_gbs > 1
    assert measured.vae_tflops < measured.bf16_tflops
