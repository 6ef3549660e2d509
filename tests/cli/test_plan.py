"""`wan plan`."""

import json

import pytest

from tests.cli.conftest import Wan
from wanvideo.cli.plan import duration

GIB = 2**30


def test_it_says_what_lives_where_and_what_that_takes(wan: Wan) -> None:
    ended = wan("plan", "t2v-A14B", "--profile", "rtx-4080-128gb", "--variant", "fp16")
    assert (ended.code, ended.err) == (0, "")
    rows = dict(line.split("  ", 1) for line in ended.out.splitlines() if "  " in line)
    assert "832x480, 81 frames, 40 steps, two passes each, tier exact" in rows["video"]
    assert "not on disk yet" in rows["video"]
    assert "RTX 4080" in rows["computer"]
    assert "streamed from pinned host memory through 2 buffers" in rows["transformer"]
    assert "at the peak" in rows["GPU memory"]
    assert "pinned" in rows["host memory"]
    assert "denoise" in rows["time"]
    assert "predicted for NVIDIA GeForce RTX 4080, not measured" in rows["numbers"]
    assert "tier fast, whose picture differs" in ended.out


def test_json_has_every_number(wan: Wan) -> None:
    ended = wan("plan", "ti2v-5B", "--profile", "h100", "--memory-limit", "12GiB", "--variant", "fp16", "--json")
    (event,) = ended.events
    assert event["event"] == "plan"
    assert (event["fits"], event["keep_all"], event["tier"]) == (True, False, "exact")
    assert event["transformer"]["resident"] + event["transformer"]["streamed"] == 30
    assert [phase["phase"] for phase in event["phases"]] == ["load", "encode", "denoise", "decode"]
    assert max(phase["peak_bytes"] for phase in event["phases"]) == event["peak_bytes"] <= 12 * GIB
    assert event["work"]["frames"] == 121
    assert event["machine"]["predicted"] is True
    assert event["alternatives"][0]["tier"] == "fast"


def test_what_does_not_fit_is_said_with_what_would(wan: Wan) -> None:
    ended = wan("plan", "t2v-A14B", "--size", "720p", "--profile", "rtx-4090", "--memory-limit", "6 GiB")
    assert ended.code == 1
    assert "It does not fit: " in ended.out
    assert "GiB are missing" in ended.out
    assert "What would fit:\n- 832x480" in ended.out
    hopeless = wan("plan", "t2v-A14B", "--profile", "rtx-4090", "--memory-limit", "1GiB")
    assert hopeless.code == 1
    assert "No smaller video fits either." in hopeless.out


def test_lossy_settings_have_their_quality_and_time(wan: Wan) -> None:
    where = ("plan", "ti2v-5B", "--profile", "rtx-4080-128gb", "--tier", "fast")
    ended = wan(*where, "--step-cache", "0.1")
    assert "50 steps, two passes each, step cache 0.1 (lossy), of which about 61 % are computed, tier fast" in ended.out
    quality = next(line for line in ended.out.splitlines() if line.startswith("quality "))
    assert "fast: 30.3 dB to exact, 97 % of 200 clips right (exact 98 %), measured on ti2v-5B-demo" in quality
    assert "step cache 0.1: 48.4 dB" in quality
    assert "- no step cache, all steps computed: " in ended.out
    offered = next(line for line in wan(*where).out.splitlines() if line.startswith("- step cache 0.05"))
    assert offered.endswith("; step cache 0.05: 54.8 dB to exact, 100 % of 16 clips right (exact 100 %), "
                            "measured on ti2v-5B-demo")  # fmt: skip
    (event,) = wan(*where, "--step-cache", "0.1", "--json").events
    assert [each["setting"] for each in event["quality"]] == ["fast", "step cache 0.1"]
    assert event["work"]["computed"] == 0.61


def test_this_computer_can_run_a_demo(wan: Wan) -> None:
    ended = wan("plan", "t2v-A14B-demo", "--device", "cpu", "--width", "100", "--height", "100")
    assert ended.code == 0
    assert "changed: size 100x100 -> " in ended.out
    assert "the CPU does everything" in ended.out
    assert "measured on" in ended.out


def test_two_gpus_take_half_of_the_time(wan: Wan) -> None:
    ask = ("plan", "t2v-A14B", "--size", "720p", "--profile", "h100", "--variant", "fp16", "--json")
    one, two = (json.loads(wan(*ask, "--gpus", gpus).out) for gpus in ("1", "2"))
    seconds = [next(p["seconds"] for p in plan["phases"] if p["phase"] == "denoise") for plan in (one, two)]
    assert seconds[0] / seconds[1] == pytest.approx(2, rel=0.01)
    assert (one["gpus"], two["gpus"]) == (1, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("t2v-A14",), "t2v-A14B"),
        (("t2v-A14B", "--profile", "pdp-11"), "rtx-4080-128gb"),
        (("t2v-A14B", "--memory-limit", "lots"), "such as 12GiB"),
        (("t2v-A14B", "--memory-limit", "5MiB"), "at least 1 GiB"),
        (("t2v-A14B", "--profile", "h100", "--variant", "q9"), "no variant"),
        (("t2v-A14B", "--profile", "h100", "--size", "480p", "--width", "832"), "--size says both sides"),
        (("t2v-A14B", "--profile", "h100", "--width", "0", "--height", "480"), "multiples of 16"),
        (("t2v-A14B", "--profile", "h100", "--frames", "-4"), "frames"),
        (("t2v-A14B", "--device", "mps"), "Apple"),
        (("t2v-A14B", "--tier", "slow"), "slow"),
        ((), "MODEL"),
    ],
)
def test_wrong_input_ends_with_2_and_a_message(options: tuple[str, ...], message: str, wan: Wan) -> None:
    ended = wan("plan", *options)
    assert ended.code == 2
    assert message in ended.err


def test_durations_have_as_many_digits_as_a_prediction_deserves() -> None:
    said = [duration(seconds) for seconds in (0.2, 18.4, 130, 1999, 7838)]
    assert said == ["under 1 s", "18 s", "2.2 min", "33 min", "2.2 h"]


def test_loras_count_and_one_that_is_not_there_is_said(wan: Wan) -> None:
    ended = wan("plan", "t2v-A14B-demo", "--lora", "slanted:0.8", "--lora", "low=nobody")
    assert ended.code == 0
    assert " of LoRAs, tier exact" in ended.out
    assert "changed: loras nobody -> left out: no LoRA is called 'nobody'" in ended.out
    assert "LoRAs" not in wan("plan", "t2v-A14B-demo").out
