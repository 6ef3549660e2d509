"""`wan generate`, with tiny models that have random weights."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Wan
from tests.pipelines.placed import runs_out
from wanvideo.cli.run import saving_state
from wanvideo.cli.values import SIZES
from wanvideo.errors import InvalidRequest
from wanvideo.families import hardware
from wanvideo.media.info import read_settings
from wanvideo.media.video import read_video
from wanvideo.models.vae import WanVAE
from wanvideo.runtime.machine import Machine
from wanvideo.weights.places import DEMO_FOLDER

SMALL = ("--size", "64x64", "--frames", "5", "--steps", "2")
WAN = (sys.executable, "-c", "from wanvideo.cli.main import main; raise SystemExit(main())")


@pytest.fixture
def picture() -> Path:
    path = Path("picture.png")
    Image.fromarray(np.full((96, 64, 3), 200, np.uint8)).save(path)
    return path


# --- what it makes ---------------------------------------------------------------------------------------------------


def test_it_makes_a_video_and_prints_its_path_alone_on_stdout(tiny: Path, wan: Wan) -> None:
    ended = wan("generate", "A heron, on ice!", "--model", tiny / "t2v", *SMALL, "--seed", "7")
    assert ended.code == 0, ended.err
    assert ended.out == "a-heron-on-ice-7.mp4\n"
    media = read_settings("a-heron-on-ice-7.mp4")
    assert (media.width, media.height, media.frames) == (64, 64, 5)
    assert media.settings is not None
    params = media.settings["params"]
    assert isinstance(params, dict)
    assert (params["prompt"], params["seed"], params["steps"]) == ("A heron, on ice!", 7, 2)


@pytest.mark.slow
def test_two_processes_make_the_file_of_one(tiny: Path, wan: Wan) -> None:
    ask = ("generate", "x", "--model", tiny / "ti2v", *SMALL, "--seed", "7", "--device", "cpu", "--json")
    for gpus in ("1", "2"):
        ended = wan(*ask, "--gpus", gpus, "--out", f"{gpus}.mp4")
        assert ended.code == 0, ended.err
    one, two = (read_video(f"{gpus}.mp4").frames.astype(int) for gpus in ("1", "2"))
    # Where a pixel differs by 1, the encoder may choose otherwise for its block: 42 dB have been seen.
    assert np.square(one - two).mean() < 255**2 / 10**3.6


def test_first_it_says_what_will_be_made_and_every_change(tiny: Path, wan: Wan) -> None:
    ended = wan("generate", "x", "--model", tiny / "t2v", "--size", "70x64", "--frames", "6", "--steps", "2")
    first, *changes = ended.err.splitlines()[:3]
    assert first.startswith(
        "t2v: 64x64, 5 frames at 16 fps (0.3 s), 2 steps of unipc, shift 12, guidance 4 high, 3 low"
    )
    assert sorted(line.partition(":")[0] for line in changes) == ["frames", "size"]
    assert any(line.startswith("denoise (") and "2/2" in line for line in ended.err.splitlines())


def test_what_changes_on_the_way_is_said(tiny: Path, wan: Wan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WanVAE, "pixels", runs_out(WanVAE.pixels, {1}))
    ended = wan("generate", "x", "--model", tiny / "t2v", "--size", "192x64", "--frames", "5", "--steps", "2")
    assert ended.code == 0, ended.err
    assert "decode: whole became in tiles of 128x64: memory ran out on the device" in ended.err
    settings = read_settings(ended.out.strip()).settings
    assert settings is not None
    assert "in tiles of 128x64" in json.dumps(settings["adjustments"])


def test_a_step_cache_is_called_lossy_and_says_what_it_spared(tiny: Path, wan: Wan) -> None:
    small = ("--size", "64x64", "--frames", "5", "--steps", "8", "--seed", "7")
    ended = wan("generate", "x", "--model", tiny / "ti2v", *small, "--step-cache", "0.5")
    assert "step cache 0.5 (lossy), seed 7; in this process: no server is running" in ended.err.splitlines()[0]
    settings = read_settings(ended.out.strip()).settings
    assert settings is not None
    params, steps = settings["params"], settings["steps"]
    assert isinstance(params, dict)
    assert isinstance(steps, dict)
    assert params["step_cache"] == 0.5
    assert steps["reused"] > 0
    assert f"denoise: 8/8, {steps['reused']} reused, " in ended.err


def test_a_default_name_is_never_written_over(tiny: Path, wan: Wan) -> None:
    Path("x-7.mp4").write_text("mine")
    assert wan("generate", "x", "--model", tiny / "t2v", *SMALL, "--seed", "7").out == "x-7-2.mp4\n"
    assert Path("x-7.mp4").read_text() == "mine"


def test_the_file_named_by_out_is_replaced(tiny: Path, wan: Wan) -> None:
    Path("heron.mp4").write_text("old")
    assert wan("generate", "x", "--model", tiny / "t2v", *SMALL, "--out", "heron.mp4").out == "heron.mp4\n"
    assert read_settings("heron.mp4").frames == 5


def test_in_a_folder_the_name_is_the_default_one(tiny: Path, wan: Wan) -> None:
    Path("videos").mkdir()
    ended = wan("generate", "x", "--model", tiny / "t2v", *SMALL, "--seed", "7", "--out", "videos")
    assert ended.out == f"{Path('videos', 'x-7.mp4')}\n"


def test_a_template_names_the_file(tiny: Path, wan: Wan, monkeypatch: pytest.MonkeyPatch) -> None:
    named = ("generate", "x", "--model", tiny / "t2v", *SMALL, "--seed", "7")
    assert wan(*named, "--name-template", "{size} {seed}").out == "64x64 7.mp4\n"
    monkeypatch.setenv("WANVIDEO_NAME_TEMPLATE", "{seed}")
    assert wan(*named).out == "7.mp4\n"


def test_one_frame_is_a_picture(tiny: Path, wan: Wan) -> None:
    ended = wan(
        "generate", "x", "--model", tiny / "t2v", "--size", "64x64", "--frames", "1", "--steps", "2", "--seed", "7"
    )
    assert ended.out == "x-7.png\n"
    assert read_settings("x-7.png").codec == "png"
    assert "1 picture" in ended.err


def test_images_become_the_first_and_the_last_frame(tiny: Path, picture: Path, wan: Wan) -> None:
    ended = wan(
        *("generate", "x", "--model", tiny / "i2v", "--frames", "5", "--steps", "2", "--size", "64x64"),
        *("--image", picture, "--end-image", picture, "--out", "x.mp4", "--json"),
    )
    assert ended.code == 0, ended.out
    settings = ended.events[-1]["settings"]["params"]
    assert (settings["task"], settings["image"], settings["end_image"]) == ("i2v", "picture.png", "picture.png")


def test_a_named_size_is_the_short_side_of_the_image(
    tiny: Path, picture: Path, wan: Wan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SIZES, "64p", (112, 64))
    ended = wan("generate", "x", "--model", tiny / "i2v", "--size", "64p", *SMALL[2:], "--image", picture, "--json")
    resolved = next(event for event in ended.events if event["event"] == "resolved")
    assert (resolved["width"], resolved["height"]) == (64, 96)


def test_quiet_prints_the_path_alone(tiny: Path, wan: Wan) -> None:
    ended = wan("generate", "x", "--model", tiny / "t2v", *SMALL, "--seed", "7", "-q")
    assert (ended.out, ended.err) == ("x-7.mp4\n", "")


def test_the_prompt_may_come_from_a_pipe(tiny: Path) -> None:
    command = [*WAN, "generate", "-", "--model", str(tiny / "t2v"), *SMALL, "--seed", "7", "-q"]
    done = subprocess.run(command, input="a heron\n", capture_output=True, text=True, check=True)
    assert done.stdout == "a-heron-7.mp4\n"


def test_json_tells_the_whole_story_in_events(tiny: Path, wan: Wan) -> None:
    ended = wan("generate", "x", "--model", tiny / "t2v", *SMALL, "--frames", "6", "--seed", "7", "--json")
    assert (ended.code, ended.err) == (0, "")
    names = [event["event"] for event in ended.events]
    assert names[:3] == ["where", "resolved", "adjusted"]
    assert names[-1] == "done"
    assert set(names[3:-1]) == {"progress"}
    where, resolved, adjusted, *progress, done = ended.events
    assert where["server"] is None
    assert (resolved["model"], resolved["frames"], resolved["seed"], resolved["demo"]) == ("t2v", 5, 7, False)
    assert {key: adjusted[key] for key in ("field", "asked", "used")} == {"field": "frames", "asked": "6", "used": "5"}
    assert list(dict.fromkeys(event["phase"] for event in progress)) == ["load", "encode", "denoise", "decode", "write"]
    assert {"step", "steps", "seconds", "remaining_seconds", "expert", "reused"} <= set(progress[0])
    assert done["path"] == str(Path("x-7.mp4").absolute())
    assert done["settings"]["params"]["seed"] == 7


# --- several at once --------------------------------------------------------------------------------------------------


def test_several_prompts_make_several_videos_and_load_the_model_once(tiny: Path, wan: Wan) -> None:
    Path("prompts").write_text("a heron\n\na fox\n")
    ended = wan("generate", "--prompts", "prompts", "--model", tiny / "t2v", *SMALL, "--seed", "7", "--json")
    done = [event for event in ended.events if event["event"] == "done"]
    assert [Path(event["path"]).name for event in done] == ["a-heron-7.mp4", "a-fox-7.mp4"]
    assert [event["number"] for event in ended.events if event["event"] == "next"] == [1, 2]
    alone = wan("generate", "a fox", "--model", tiny / "t2v", *SMALL, "--seed", "7", "--out", "alone.mp4")
    assert alone.code == 0
    assert np.array_equal(read_video("alone.mp4").frames, read_video("a-fox-7.mp4").frames)


def test_several_videos_need_a_folder(tiny: Path, wan: Wan) -> None:
    Path("prompts").write_text("a heron\na fox\n")
    several = ("generate", "--prompts", "prompts", "--model", tiny / "t2v", *SMALL)
    for options in (("--out", "x.mp4"), ("--save-state", "state")):
        ended = wan(*several, *options)
        assert (ended.code, options[0] in ended.err) == (2, True)
    assert [path.name for path in Path().iterdir()] == ["prompts"]


# --- which model -----------------------------------------------------------------------------------------------------


def test_without_a_name_the_first_line_says_which_model_and_why(wan: Wan) -> None:
    ended = wan("generate", "x", "--steps", "1", "--frames", "1")
    if not DEMO_FOLDER.is_dir():
        assert ended.code == 1
        assert "t2v-A14B-demo should have come with wanvideo" in ended.err
        return
    assert ended.code == 0, ended.err
    first, second = ended.err.splitlines()[:2]
    assert first == (
        "model: t2v-A14B-demo, a built-in demo: no model for this is on disk; in this process: no server is running"
    )
    assert second.startswith("t2v-A14B-demo (demo): 128x128, 1 picture")


def test_a_model_that_is_not_on_disk_is_an_error_with_the_command_to_get_it(wan: Wan) -> None:
    ended = wan("generate", "x", "--model", "wan2.2-t2v-a14b", "--json")
    assert ended.code == 1
    assert ended.error["code"] == "MODEL_MISSING"
    assert ended.error["facts"]["repo_id"] == "Wan-AI/Wan2.2-T2V-A14B-Diffusers"
    assert ended.error["suggestions"] == ["wan models pull t2v-A14B"]


@pytest.mark.parametrize(("device", "free"), [("auto", 12), ("cuda:7", None), ("cpu", None), ("tpu", None)])
def test_the_free_memory_is_that_of_the_gpu_to_be_used(
    device: str, free: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def this_machine(device: str) -> Machine:
        if device not in ("auto", "cpu"):
            raise InvalidRequest("it is not there")
        gpu = None if device == "cpu" else "a card"
        return Machine(gpu=gpu, gpu_free=12, host_total=1, host_available=1)

    monkeypatch.setattr(hardware, "this_machine", this_machine)
    assert hardware.free_gpu_bytes(device) == free


# --- wrong input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "error", "message"),
    [
        (["", "T2V"], 2, "INPUT_PROMPT", "the prompt is empty"),
        ([" \n\u200b", "T2V"], 2, "INPUT_PROMPT", "the prompt is empty"),
        (["x", "T2V", "--size", "0x0"], 2, "INPUT_SIZE", "multiples of 16"),
        (["x", "T2V", "--size", "abc"], 2, "INPUT_SIZE", "WIDTHxHEIGHT"),
        (["x", "T2V", "--size", "63x64"], 2, "INPUT_SIZE", "63"),
        (["x", "T2V", "--frames", "-1"], 2, "INPUT_FRAMES", "4 n + 1"),
        (["x", "T2V", "--frames", "100000"], 2, "INPUT_FRAMES", "up to 161"),
        (["x", "T2V", "--seconds", "inf"], 2, "INPUT_FRAMES", "seconds"),
        (["x", "T2V", "--frames", "5", "--seconds", "5"], 2, "INPUT_FRAMES", "give one of the two"),
        (["x", "T2V", "--steps", "0"], 2, "INPUT_RANGE", "1 to 1000"),
        (["x", "T2V", "--guidance", "nan"], 2, "INPUT_RANGE", "guidance"),
        (["x", "T2V", "--guidance-low", "-1"], 2, "INPUT_RANGE", "guidance_low"),
        (["x", "T2V", "--shift", "0"], 2, "INPUT_RANGE", "shift"),
        (["x", "T2V", "--step-cache", "5"], 2, "INPUT_RANGE", "step_cache: 5.0 cannot be used: legal values are 0"),
        (["x", "T2V", "--seed", "-1"], 2, "INPUT_RANGE", "seed"),
        (["x", "T2V", "--device", "tpu"], 2, "INPUT_RANGE", "auto, cpu, cuda"),
        (["x", "T2V", "--dtype", "int4"], 2, "INPUT_RANGE", "bfloat16"),
        (["x", "T2V", "--tile", "1"], 2, "INPUT_RANGE", "tile"),
        (["x", "T2V", "--gpus", "99"], 2, "INPUT_RANGE", "gpus"),
        (["x", "T2V", "--image", "picture.png"], 2, "INPUT_IMAGE_NOT_TAKEN", "takes no image"),
        (["x", "I2V"], 2, "INPUT_IMAGE_REQUIRED", "needs an image"),
        (["x", "I2V", "--image", "nowhere.png"], 2, "INPUT_IMAGE_BAD", "does not exist"),
        (["x", "I2V", "--image", "notes.txt"], 2, "INPUT_IMAGE_BAD", "a text file"),
        (["x", "I2V", "--size", "480p", "--image", "notes.txt"], 2, "INPUT_IMAGE_BAD", "a text file"),
        (["x", "I2V", "--image", "."], 2, "INPUT_IMAGE_BAD", "is a folder"),
        (["x", "t2v-14B"], 2, "MODEL_UNKNOWN", "did you mean"),
        (["x", "."], 1, "MODEL_INCOMPLETE", "model_index.json"),
        (["x", "./nowhere"], 1, "MODEL_MISSING", "does not exist"),
        (["x", "T2V", "--steps", "many"], 2, "USAGE", "'many' is no whole number"),
        (["x", "T2V", "--guidance", "much"], 2, "USAGE", "'much' is no number"),
        (["x", "T2V", "--out", "nowhere/x.mp4"], 2, "OUTPUT_NOT_WRITABLE", "no folder nowhere"),
        (["x", "T2V", "--out", "x.gif"], 2, "OUTPUT_NOT_WRITABLE", ".mp4"),
        (["x", "T2V", "--out", "x.png"], 2, "OUTPUT_NOT_WRITABLE", "one picture"),
        (["x", "T2V", "--out", ""], 2, "OUTPUT_NOT_WRITABLE", "--out is empty"),
        (["x", "T2V", "--out", "x" * 300 + ".mp4"], 2, "OUTPUT_NOT_WRITABLE", "too long"),
        (["x", "T2V", "--name-template", "{a}"], 2, "INPUT_RANGE", "a name has no {a}"),
        (["x", "T2V", "--save-state", "nowhere/x"], 2, "OUTPUT_NOT_WRITABLE", "nowhere is no folder"),
        (["x", "T2V", "--save-state", "."], 2, "OUTPUT_NOT_WRITABLE", "is no file"),
        (["x", "T2V", "--resume", "nowhere"], 1, "STATE_INCOMPATIBLE", "nowhere"),
        (["x", "T2V", "--resume", "notes.txt"], 1, "STATE_INCOMPATIBLE", "notes.txt"),
    ],
)
def test_wrong_input_is_one_message_and_nothing_is_written(
    arguments: list[str], code: int, error: str, message: str, tiny: Path, picture: Path, wan: Wan
) -> None:
    Path("notes.txt").write_text("no picture")
    before = sorted(Path().iterdir())
    prompt, model, *options = arguments
    model = str(tiny / model.lower()) if model in ("T2V", "I2V") else model
    as_json = wan("generate", prompt, "--model", model, *options, "--json")
    assert as_json.code == code
    assert as_json.error["code"] == error
    assert message in as_json.error["message"]
    plain = wan("generate", prompt, "--model", model, *options)
    assert (plain.code, plain.out) == (code, "")
    assert plain.err == f"error: {as_json.error['message']}\n"
    assert sorted(Path().iterdir()) == before


def test_an_output_that_cannot_be_written_is_found_before_torch_is_even_imported(tiny: Path) -> None:
    code = (
        "import sys; from wanvideo.cli.main import main; code = main(); print('torch' in sys.modules); sys.exit(code)"
    )
    command = [sys.executable, "-c", code, "generate", "x", "--model", str(tiny / "t2v"), "--out", "nowhere/x.mp4"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "False\n")


# --- Ctrl-C ----------------------------------------------------------------------------------------------------------


def start(tiny: Path, *options: str) -> "subprocess.Popen[str]":
    """A run far too long to wait for, just after its first step."""
    long = ("--size", "64x64", "--frames", "33", "--steps", "1000", "--seed", "7", "--out", "x.mp4", "--json")
    command = [*WAN, "generate", "x", "--model", str(tiny / "t2v"), *long, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "progress" and event["phase"] == "denoise" and event["step"]:
            break
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_with_130_and_leaves_no_file(number: signal.Signals, tiny: Path) -> None:
    process = start(tiny)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    error = json.loads(out.splitlines()[-1])["error"]
    assert error["code"] == "CANCELLED_USER"
    assert "no file was written" in error["message"]
    assert err == ""
    assert list(Path().iterdir()) == []  # not even a hidden one


def test_an_interrupted_run_leaves_its_state_which_only_that_run_can_use(tiny: Path, wan: Wan) -> None:
    process = start(tiny, "--save-state", "state.safetensors")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert "--resume state.safetensors" in json.loads(out.splitlines()[-1])["error"]["message"]
    assert list(Path().iterdir()) == [Path("state.safetensors")]
    other = wan("generate", "x", "--model", tiny / "t2v", *SMALL, "--resume", "state.safetensors", "--json")
    assert other.code == 1
    assert "frames was 33 and is now 5" in other.error["message"]


def test_a_resumed_video_is_the_one_that_was_interrupted(tiny: Path, wan: Wan) -> None:
    options = ("generate", "x", "--model", tiny / "t2v", "--size", "64x64", "--frames", "5", "--steps", "4")
    whole = wan(*options, "--seed", "7", "--save-state", "state", "--out", "whole.mp4")
    assert whole.code == 0, whole.err
    resumed = wan(*options, "--resume", "state", "--out", "resumed.mp4", "--json")  # the seed comes from the state
    assert resumed.code == 0, resumed.out
    assert resumed.events[-1]["settings"]["params"]["seed"] == 7
    assert all(event.get("phase") != "encode" for event in resumed.events)  # denoising was over


class Step:
    """Stands for a checkpoint, and counts how often it was saved."""

    saved = 0

    def save(self, path: Path) -> None:
        self.saved += 1


def test_the_state_is_saved_now_and_then_and_at_the_end_but_not_twice() -> None:
    step, last = Step(), Step()
    with saving_state(Path("state"), seconds=0) as keep:
        keep(step)  # type: ignore[arg-type]
        assert step.saved == 1
    assert step.saved == 1
    with saving_state(Path("state"), seconds=1000) as keep:
        keep(step)  # type: ignore[arg-type]
        keep(last)  # type: ignore[arg-type]
    assert (step.saved, last.saved) == (1, 1)


def test_the_state_is_saved_when_the_run_fails() -> None:
    step = Step()
    with pytest.raises(ZeroDivisionError):
        fail_after(step)
    assert step.saved == 1


def fail_after(step: Step) -> None:
    with saving_state(Path("state")) as keep:
        keep(step)  # type: ignore[arg-type]
        raise ZeroDivisionError
