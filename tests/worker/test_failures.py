"""What is said of jobs that fail: every code through a real worker, as far as a computer without a GPU can."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.worker.conftest import JOB, OTHER, Worker, faulty, settings_in, spec
from wanvideo.failure import Failure
from wanvideo.jobs.spec import Fallback
from wanvideo.media.video import read_video
from wanvideo.request import LoraPolicy, LoraUse, Tier
from wanvideo.weights.places import DEMO_FOLDER
from wanvideo.worker.attempt import STATE


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        ("large load gpu-memory", "VRAM_OOM_LOAD"),
        ("large denoise gpu-memory", "VRAM_OOM_DENOISE"),
        ("large decode gpu-memory", "VRAM_OOM_VAE"),
        ("large load planned", "VRAM_PREFLIGHT"),
        ("large denoise host-memory", "HOST_OOM"),
        ("large denoise python-memory", "HOST_OOM"),
        ("large denoise argument", "INFERENCE_FAILED"),
        ("large denoise driver", "DRIVER_MISMATCH"),
        ("large denoise kernel", "GPU_UNSUPPORTED"),
        ("large decode full", "DISK_FULL"),
        ("large decode encoder", "ENCODE_FAILED"),
        ("large load bug", "MODEL_LOAD_FAILED"),
        ("large denoise bug", "INFERENCE_FAILED"),
        ("large denoise not-finite", "INFERENCE_NAN"),
    ],
)
def test_a_job_fails_with_the_code_of_what_happened_and_the_worker_goes_on(
    worker: Worker, prompt: str, code: str
) -> None:
    failure = worker.failed(faulty(prompt))
    assert (failure.code, failure.model, failure.phase) == (code, "faulty-large", prompt.split()[1])
    assert failure.kept is None
    assert failure.suggestions
    assert worker.done(faulty("nothing goes wrong"), OTHER)["model"] == "faulty-large"


@pytest.mark.parametrize(("fault", "code", "number"), [("fatal", "CUDA_FATAL", 700), ("lost", "GPU_LOST", 100)])
def test_a_worker_that_cannot_use_its_gpu_any_more_says_so_and_ends(
    worker: Worker, fault: str, code: str, number: int
) -> None:
    failure = worker.failed(faulty(f"large denoise {fault}"))
    assert (failure.code, failure.facts["cuda_error"], failure.retryable) == (code, number, True)
    assert "CUDA kernel errors" not in failure.message
    while worker.handle.alive:
        worker.handle.receive(0.1)
    assert worker.handle.exitcode == 70


def test_an_expert_that_is_damaged_is_named_with_its_file_but_not_its_place(worker: Worker) -> None:
    failure = worker.failed(faulty("large load corrupt"))
    assert failure.code == "MODEL_CORRUPT"
    assert failure.message == (
        "the low-noise expert of faulty-large cannot be used: transformer_2/weights.safetensors is truncated"
    )
    assert failure.facts["part"] == "low-noise expert"


def test_no_failure_names_a_folder_of_this_computer(worker: Worker) -> None:
    for prompt in ("large load bug", "large load corrupt", "large decode full"):
        said = repr(worker.failed(faulty(prompt)).to_json())
        assert str(worker.settings.data.root) not in said
        assert "site0" not in said


def test_a_black_video_is_made_and_warned_of(worker: Worker) -> None:
    result = worker.done(faulty("black night"))
    assert worker.events("warning")[0]["code"] == "INFERENCE_BLACK"
    assert result["warnings"][0].startswith("every frame is black")


# --- what stands in --------------------------------------------------------------------------------------------------


def test_another_precision_stands_in_first(worker: Worker) -> None:
    result = worker.done(faulty("large load corrupt bf16", Fallback.AUTO))
    assert result["model"] == "faulty-large"
    (event,) = worker.events("fallback")
    assert (event["from"], event["to"], event["code"]) == ("faulty-large", "faulty-large (fp8)", "MODEL_CORRUPT")


def test_then_another_model_does_and_the_file_says_so(worker: Worker) -> None:
    result = worker.done(faulty("large load planned", Fallback.AUTO))
    assert result["model"] == "faulty-small"
    assert [event["to"] for event in worker.events("fallback")] == ["faulty-large (fp8)", "faulty-small (bf16)"]
    settings = read_video(worker.settings.data.outputs / result["file"]).settings
    assert [change["used"] for change in settings["adjustments"]][:2] == [  # type: ignore[attr-defined]
        "faulty-large (fp8)",
        "faulty-small (bf16)",
    ]
    assert [warning.split(":")[0] for warning in result["warnings"]] == [
        "made with faulty-large (fp8) instead of faulty-large",
        "made with faulty-small (bf16) instead of faulty-large (fp8)",
    ]


def test_nothing_stands_in_where_that_is_switched_off(worker: Worker) -> None:
    assert worker.failed(faulty("large load planned", Fallback.OFF)).code == "VRAM_PREFLIGHT"
    assert not worker.events("fallback")


def test_numbers_that_get_out_of_hand_in_8_bits_are_computed_again_in_16(worker: Worker) -> None:
    result = worker.done(replace(faulty("large denoise not-finite fast", Fallback.AUTO), tier=Tier.FAST))
    assert result["settings"]["params"]["tier"] == "exact"
    assert result["settings"]["adjustments"][0]["field"] == "tier"
    again = worker.failed(replace(faulty("large denoise not-finite", Fallback.AUTO), tier=Tier.FAST))
    assert again.code == "INFERENCE_NAN"


# --- models and LoRAs on disk ----------------------------------------------------------------------------------------


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """A copy of the demo models, to be damaged."""
    return Path(shutil.copytree(DEMO_FOLDER, tmp_path / "My Models" / "demo"))


@pytest.fixture
def damaged(demo: Path, tmp_path: Path, start: Callable[..., Worker]) -> Worker:
    """A worker whose demo models are in `demo`."""
    return start(settings_in(tmp_path, demo=demo))


def _damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def test_damaged_files_are_named_with_their_expert(damaged: Worker, demo: Path) -> None:
    expert = demo / "t2v-A14B-demo" / "transformer_2"
    (weights,) = expert.glob("*.safetensors")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    corrupt = damaged.failed(spec())
    assert (corrupt.code, corrupt.facts["part"]) == ("MODEL_CORRUPT", "low-noise expert")
    assert f"transformer_2/{weights.name}" in corrupt.message
    weights.unlink()
    missing = damaged.failed(spec())
    assert missing.code == "MODEL_INCOMPLETE"
    weights.write_bytes(whole)
    vae = demo / "ti2v-5B-demo" / "vae"
    shutil.copy(next(vae.glob("*.safetensors")), weights)
    mismatch = damaged.failed(spec())
    assert mismatch.code == "MODEL_ARCH_UNKNOWN"
    for failure in (corrupt, missing, mismatch):
        assert "My Models" not in repr(failure.to_json())


def test_weights_that_are_not_finite_stop_the_job_in_its_phase(damaged: Worker, demo: Path) -> None:
    (weights,) = (demo / "t2v-A14B-demo" / "transformer_2").glob("*.safetensors")
    tensors = load_file(weights)
    save_file({name: torch.full_like(tensor, torch.nan) for name, tensor in tensors.items()}, weights)
    failure = damaged.failed(spec(steps=8))
    assert (failure.code, failure.phase, failure.facts["expert"]) == ("INFERENCE_NAN", "denoise", "low")
    assert not list(damaged.settings.data.outputs.iterdir())


@pytest.fixture
def loras(worker: Worker) -> Iterator[Path]:
    folder = worker.settings.library.folder
    assert folder is not None
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def _with_lora(name: str) -> Any:
    return spec(loras=(LoraUse(source=name),), lora_policy=LoraPolicy.FAIL)


def test_loras_that_cannot_be_used_are_told_apart(worker: Worker, loras: Path) -> None:
    (loras / "pickled.safetensors").write_bytes(b"\x80\x02}q\x00.")
    (loras / "damaged.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0nothing")
    wide = {f"blocks.0.self_attn.q.lora_{which}.weight": torch.zeros(4, 4) for which in ("A", "B")}
    save_file(wide, loras / "wide.safetensors")
    codes = {name: worker.failed(_with_lora(name)).code for name in ("absent", "pickled", "damaged", "wide")}
    assert codes == {
        "absent": "LORA_NOT_FOUND",
        "pickled": "LORA_UNSAFE_FORMAT",
        "damaged": "LORA_CORRUPT",
        "wide": "LORA_WRONG_BASE",
    }
    changes = [each.change for each in worker.failed(_with_lora("absent")).suggestions]
    assert {"loras": []} in changes


def test_what_is_wrong_with_a_request_is_said_and_the_model_stays(worker: Worker) -> None:
    worker.done(spec())
    inputs = worker.settings.data.inputs
    (inputs / "no.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with (inputs / "huge.png").open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate(129 * 2**20)
    picture = {"model": "i2v-A14B-demo"}
    codes: list[tuple[dict[str, Any], str]] = [
        ({"width": 2}, "INPUT_SIZE"),
        ({"frames": 0}, "INPUT_FRAMES"),
        ({"steps": 0}, "INPUT_RANGE"),
        ({"prompt": ""}, "INPUT_PROMPT"),
        ({"image": "no.png"}, "INPUT_IMAGE_NOT_TAKEN"),
        (picture, "INPUT_IMAGE_REQUIRED"),
        (picture | {"image": "absent.png"}, "INPUT_IMAGE_BAD"),
        (picture | {"image": "no.png"}, "INPUT_IMAGE_BAD"),
        (picture | {"image": "huge.png"}, "INPUT_IMAGE_TOO_LARGE"),
        ({"model": "nothing"}, "MODEL_UNKNOWN"),
    ]
    for asked, code in codes:
        failure = worker.failed(spec(**asked))
        assert (failure.code, failure.category, failure.retryable) == (code, "input", False), asked
        assert str(worker.settings.data.root) not in repr(failure.to_json())
    gone = worker.failed(spec(model="i2v-A14B-demo", image="absent.png"))
    assert gone.message == "the picture for the first frame is no longer on the server: upload it again"
    worker.heard.clear()
    assert "t2v-A14B-demo" in worker.until("heartbeat")["loaded"]


def test_an_order_that_cannot_be_read_is_a_failure_of_its_job(worker: Worker) -> None:
    (worker.settings.data.job(JOB)).mkdir(parents=True)
    order = {"type": "run", "job": JOB, "attempt": 1, "created": 0, "folder": "", "resume": True}
    worker.handle.send({**order, "spec": {"model": 1}})
    assert worker.end()["failure"]["code"] == "INPUT_RANGE"


# --- disks, processes ------------------------------------------------------------------------------------------------


def test_a_disk_that_is_full_costs_only_what_was_not_kept(start: Callable[..., Worker]) -> None:
    import resource

    worker, what = start(), spec(frames=33, seed=5)
    assert worker.handle.pid is not None
    whole = worker.done(what)
    shutil.rmtree(worker.settings.data.job(JOB))
    worker.run(OTHER, what)
    worker.until("event", enough=lambda m: m["event"]["type"] == "checkpoint" and m["event"]["step"] == 3)
    # Held while files are forbidden to grow: the state is there, the video is not yet.
    os.kill(worker.handle.pid, signal.SIGSTOP)
    resource.prlimit(worker.handle.pid, resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    os.kill(worker.handle.pid, signal.SIGCONT)
    failure = Failure.from_json(worker.end()["failure"])
    assert (failure.code, failure.category) == ("DISK_FULL", "output")
    assert failure.kept == "3 of 3 steps are kept, and trying again repeats only decoding"
    assert not list(worker.settings.data.outputs.glob("*.part"))
    assert not list(worker.settings.data.outputs.glob(".*"))
    resource.prlimit(worker.handle.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    worker.heard.clear()
    again = worker.done(what, OTHER, attempt=2)
    assert worker.events("resumed") == [{"type": "resumed", "step": 3, "steps": 3}]
    outputs = worker.settings.data.outputs
    assert (read_video(outputs / again["file"]).frames == read_video(outputs / whole["file"]).frames).all()


def test_a_worker_without_its_device_says_why_it_does_not_start(tmp_path: Path) -> None:
    from wanvideo.worker.handle import WorkerHandle

    settings = replace(settings_in(tmp_path), devices=("cuda:7",))
    handle = WorkerHandle(settings)
    handle.start()
    try:
        broken = Worker(settings, handle).until("broken", "ready")
        assert "cuda:7 is not there" in broken["failure"]["message"]
    finally:
        handle.kill()


def test_a_state_that_belongs_to_another_model_does_not_stop_what_stands_in(worker: Worker) -> None:
    worker.done(spec())
    other = worker.settings.data.job(OTHER)
    shutil.copytree(worker.settings.data.job(JOB), other)
    assert (other / STATE).is_file()
    result = worker.done(faulty("nothing goes wrong"), OTHER, attempt=2)
    assert "the job begins anew" in result["warnings"][0]
