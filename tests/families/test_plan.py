"""`wanvideo.plan`: what a video will take, for models that are on disk and for those that are not."""

from dataclasses import replace
from pathlib import Path

import pytest

import wanvideo
from benchmarks.speed.lora import write_lora
from wanvideo.cli.plan import duration
from wanvideo.errors import InvalidFrames, InvalidRequest, InvalidSize, UnknownModel, UnknownVariant
from wanvideo.families.plan import Forecast
from wanvideo.models.config import T2V_A14B
from wanvideo.request import LoraUse, Phase, Tier
from wanvideo.runtime.machine import PROFILES
from wanvideo.runtime.placement import Source
from wanvideo.worker.remedies import that_fit

GIB = 2**30


@pytest.fixture(autouse=True)
def _nothing_on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def test_a_model_that_is_not_on_disk_is_planned_with_its_defaults() -> None:
    forecast = wanvideo.plan("t2v-A14B", machine="rtx-4080-128gb")
    assert (forecast.model, forecast.on_disk, forecast.fits, forecast.tier) == ("t2v-A14B", False, True, Tier.EXACT)
    assert (forecast.work.width, forecast.work.height, forecast.work.frames) == (832, 480, 81)
    assert (forecast.work.steps, forecast.work.forwards) == (40, 80)
    assert forecast.precision == "fp8"  # what would be downloaded for it
    assert "not measured" in forecast.plan.rates


def test_a_demo_model_is_planned_as_it_lies_there() -> None:
    forecast = wanvideo.plan("t2v-A14B-demo", machine="h100")
    assert forecast.on_disk
    assert forecast.plan.keep_all
    assert forecast.plan.seconds < 60


def test_a_tier_may_be_said_by_its_name() -> None:
    by_name, by_value = (wanvideo.plan("ti2v-5B", tier=tier, machine="h100") for tier in ("fast", Tier.FAST))
    assert by_name == by_value
    with pytest.raises(InvalidRequest, match="no tier is called 'quick': there are exact and fast"):
        wanvideo.plan("ti2v-5B", tier="quick", machine="h100")


def test_a_named_variant_is_taken() -> None:
    assert wanvideo.plan("ti2v-5B", variant="fp16", machine="h100").precision == "fp16"
    with pytest.raises(UnknownVariant, match="no variant 'q9'"):
        wanvideo.plan("ti2v-5B", variant="q9", machine="h100")


def test_few_step_presets_need_one_pass_a_step_and_their_loras() -> None:
    forecast = wanvideo.plan("t2v-A14B-lightning", machine="h100")
    assert forecast.work.forwards == 4
    assert forecast.work.lora_bytes == 1_226_977_424 // 2


def test_loras_of_a_request_take_memory_and_time(tmp_path: Path) -> None:
    path = write_lora(tmp_path / "style.safetensors", replace(T2V_A14B, num_layers=1))
    plain, both = (
        wanvideo.plan(
            "t2v-A14B", machine="rtx-4080-128gb", loras=tuple(LoraUse(source=source) for source in (path, "none")[:n])
        )
        for n in (0, 2)
    )
    assert plain.work.lora_bytes == 0
    assert both.work.lora_bytes == pytest.approx(path.stat().st_size / 2, rel=0.01)
    assert both.plan.phase(Phase.DENOISE).seconds > 1.02 * plain.plan.phase(Phase.DENOISE).seconds
    assert [(each.field, each.asked, each.used) for each in both.adjustments] == [("loras", "none", "left out")]
    assert all(each.work.lora_bytes >= both.work.lora_bytes for each in both.alternatives)


def test_pictures_are_encoded() -> None:
    without, with_ = (wanvideo.plan("ti2v-5B", image=image, machine="h100") for image in (False, True))
    assert (without.work.encoded_frames, with_.work.encoded_frames) == (0, 1)
    needed = wanvideo.plan("i2v-A14B", machine="h100")
    assert needed.work.encoded_frames == 81
    encoding = needed.plan.phase(Phase.ENCODE).seconds
    assert encoding > with_.plan.phase(Phase.ENCODE).seconds > without.plan.phase(Phase.ENCODE).seconds


def test_what_has_to_be_changed_is_said() -> None:
    forecast = wanvideo.plan("t2v-A14B", width=854, height=480, frames=80, machine="h100")
    assert (forecast.work.width, forecast.work.frames) == (848, 81)
    assert {change.field for change in forecast.adjustments} == {"size", "frames"}


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"width": 0, "height": 480}, InvalidSize),
        ({"frames": -1}, InvalidFrames),
        ({"steps": 0}, InvalidRequest),
        ({"memory_limit": 5}, InvalidRequest),
        ({"machine": "pdp-11"}, InvalidRequest),
        ({"device": "cuda:3"}, InvalidRequest),
        ({"device": "mps", "machine": None}, InvalidRequest),
    ],
)
def test_wrong_input_is_refused(options: dict[str, object], error: type[InvalidRequest]) -> None:
    with pytest.raises(error):
        wanvideo.plan("t2v-A14B", **{"machine": "h100", **options})  # type: ignore[arg-type]
    with pytest.raises(UnknownModel):
        wanvideo.plan("t2v-A15", machine="h100")


def changes(forecast: Forecast) -> list[str]:
    return [each.change for each in forecast.alternatives]


def test_what_else_there_is_has_its_own_numbers() -> None:
    forecast = wanvideo.plan("t2v-A14B", width=720, height=1280, machine="rtx-4090")
    assert changes(forecast) == [
        "tier fast, whose picture differs",
        "480x832",
        "41 frames",
        "step cache 0.05, about 60 % of the steps computed",
        "t2v-A14B-lightning, in 4 steps, whose quality was not measured",
    ]
    assert all(each.plan.seconds < forecast.plan.seconds for each in forecast.alternatives)
    fast, _, _, cached, lightning = forecast.alternatives
    assert [str(each) for each in fast.quality] == [
        "40 dB to exact, 98.5 % of 200 clips right (exact 98.5 %), measured on t2v-A14B-demo"
    ]
    assert (cached.work.forwards, forecast.work.forwards) == (48, 80)
    assert [each.setting for each in cached.quality] == ["step cache 0.05"]
    assert (lightning.model, lightning.work.forwards, lightning.quality) == ("t2v-A14B-lightning", 4, ())
    assert lightning.plan == wanvideo.plan("t2v-A14B-lightning", width=720, height=1280, machine="rtx-4090").plan
    other = wanvideo.plan("t2v-A14B", width=832, height=480, frames=1, tier=Tier.FAST, machine="rtx-4090")
    assert changes(other) == [
        "tier exact, the official precision",
        "step cache 0.05, about 60 % of the steps computed",
        "t2v-A14B-lightning, in 4 steps, whose quality was not measured",
    ]
    assert [each.setting for each in other.quality] == ["fast"]


def test_a_step_cache_is_planned_and_can_be_left_out_again() -> None:
    every, cached = (wanvideo.plan("ti2v-5B", step_cache=cache, machine="h100") for cache in (None, 0.1))
    assert (every.work.forwards, cached.work.forwards) == (100, 2 * 30)  # 61 % of 50 steps
    denoising = [each.plan.phase(Phase.DENOISE).seconds for each in (every, cached)]
    assert denoising[1] == pytest.approx(0.6 * denoising[0], rel=0.02)
    assert [each.psnr for each in cached.quality] == [48.4]
    assert "no step cache, all steps computed" in changes(cached)
    with pytest.raises(InvalidRequest, match="step_cache"):
        wanvideo.plan("ti2v-5B", step_cache=2.0, machine="h100")


def test_after_a_shortage_nothing_is_advised_that_takes_as_much() -> None:
    forecast = wanvideo.plan("t2v-A14B", machine="rtx-4090")
    advised = [each.text.partition(":")[0] for each in that_fit(forecast)]
    assert advised == ["tier fast, whose picture differs", "41 frames"]


def test_few_steps_are_offered_no_step_cache() -> None:
    assert not any("step cache" in each for each in changes(wanvideo.plan("t2v-A14B-lightning", machine="h100")))


def test_when_it_does_not_fit_what_would_is_found() -> None:
    forecast = wanvideo.plan("t2v-A14B", width=1280, height=720, machine="h100", memory_limit=5 * GIB)
    assert not forecast.fits
    assert forecast.plan.short_bytes > 0
    assert forecast.alternatives
    assert all(each.plan.fits for each in forecast.alternatives)


def test_what_never_fits_has_no_alternatives() -> None:
    tiny = replace(PROFILES["h100"], gpu_total=GIB, gpu_free=GIB)
    forecast = wanvideo.plan("t2v-A14B", machine=tiny)
    assert not forecast.fits
    assert forecast.alternatives == ()


def test_another_computer_may_be_planned_for_without_its_gpu() -> None:
    forecast = wanvideo.plan("ti2v-5B", machine="rtx-4080-64gb", device="cpu")
    assert forecast.plan.device == "cpu"
    assert forecast.machine.gpu is None


def test_this_computer_is_measured_once(tmp_path: Path) -> None:
    forecast = wanvideo.plan("t2v-A14B-demo", device="cpu")
    assert "measured on" in forecast.plan.rates
    kept = tmp_path / "data" / "wanvideo" / "calibration.json"
    before = kept.stat().st_mtime_ns
    assert wanvideo.plan("t2v-A14B-demo", device="cpu").plan.phases == forecast.plan.phases
    assert kept.stat().st_mtime_ns == before


# --- the documentation -----------------------------------------------------------------------------------------------


def test_the_table_of_plans_in_the_documentation_is_what_is_planned() -> None:
    text = (Path(__file__).parents[2] / "docs" / "memory.md").read_text("utf-8")
    table = text[text.index("| computer (`--profile`)") :].partition("\n\n")[0]
    machine = ""
    for line in table.splitlines()[2:]:
        name, video, tier, blocks, decode, peak, host, time = (cell.strip() for cell in line.strip("|").split("|"))
        machine = name or machine
        model, precision, size = video.replace(",", "").split()
        width, height = map(int, size.split("x"))
        forecast = wanvideo.plan(model, variant=precision, width=width, height=height, tier=tier, machine=machine)
        placed = forecast.plan.transformer
        where = "all" if forecast.plan.keep_all else f"{placed.resident} of {placed.resident + placed.streamed}"
        where += ", rest from disk" if placed.streamed and placed.source is Source.MAPPED else ""
        tiles = "whole" if forecast.plan.vae.tiles is None else str(forecast.plan.vae.tiles)
        assert (where, tiles) == (blocks, decode), line
        gib = [f"{forecast.plan.peak_bytes / GIB:.1f}", f"{forecast.plan.host_bytes / GIB:.0f}"]
        assert [*gib, duration(forecast.plan.seconds)] == [peak, host, time], line
