import json
from dataclasses import replace

import pytest
import torch

from wanvideo import errors
from wanvideo.failure import CODES, SUGGESTION_CODES, Asked, Suggestion, failure, failure_of, is_sticky, worker_lost


def every_error() -> list[type[errors.WanVideoError]]:
    """But those of the client, which are what a server said already."""
    found: list[type[errors.WanVideoError]] = []
    todo = [errors.WanVideoError]
    while todo:
        kind = todo.pop()
        if not kind.__module__.startswith("wanvideo.client"):
            found.append(kind)
            todo += kind.__subclasses__()
    return found


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_error_keeps_its_code_category_and_words(kind: type[errors.WanVideoError]) -> None:
    found = failure_of(kind("what happened: what to do", facts={"n": 1}), phase="write", model="ti2v-5B")
    assert (found.code, found.message, found.facts) == (kind.code, "what happened: what to do", {"n": 1})
    assert found.title
    assert json.loads(json.dumps(found.to_json()))["model"] == "ti2v-5B"


@pytest.mark.parametrize(
    ("phase", "code"), [("load", "VRAM_OOM_LOAD"), ("denoise", "VRAM_OOM_DENOISE"), ("decode", "VRAM_OOM_VAE")]
)
def test_memory_that_runs_out_is_named_by_its_phase(phase: str, code: str) -> None:
    for error in (errors.NotEnoughMemory("it ran out"), torch.OutOfMemoryError("CUDA out of memory. Tried ...")):
        assert failure_of(error, phase=phase).code == code


def test_where_only_decoding_is_left_advice_repeats_only_that() -> None:
    error, asked = errors.NotEnoughMemory("it ran out"), Asked(model="ti2v-5B", all_steps_kept=True)
    found = failure_of(error, phase="decode", model="ti2v-5B", kept="50 of 50 steps are kept", asked=asked)
    assert found.retryable
    assert [each.change for each in found.suggestions][:3] == [{}, {"device": "cpu"}, {"tile": 256}]


def test_a_smaller_model_is_proposed_where_there_is_one() -> None:
    error = errors.NotEnoughMemory("it ran out")
    changes = {
        model: [each.change for each in failure_of(error, phase="denoise", model=model).suggestions]
        for model in ("t2v-A14B", "ti2v-5B")
    }
    smaller = {"model_type": "ti2v-5B", "variant": None}
    assert smaller in changes["t2v-A14B"]
    assert smaller not in changes["ti2v-5B"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("CUDA error: an illegal memory access was encountered\nCompile with ...", "CUDA_FATAL"),
        ("CUDA error: device-side assert triggered", "CUDA_FATAL"),
        ("CUDA error: unspecified launch failure", "CUDA_FATAL"),
        ("CUDA error: GPU is lost", "GPU_LOST"),
        ("CUDA error: invalid argument", "INFERENCE_FAILED"),
        ("shapes do not match", "INFERENCE_FAILED"),
    ],
)
def test_only_some_errors_of_a_gpu_end_the_process(text: str, code: str) -> None:
    error = RuntimeError(text)
    assert failure_of(error).code == code
    assert is_sticky(error) == (code in ("CUDA_FATAL", "GPU_LOST"))
    assert "\n" not in failure_of(error).message


def test_full_disks_and_memories_are_known_without_words() -> None:
    assert failure_of(OSError(28, "No space left on device")).code == "DISK_FULL"
    assert failure_of(MemoryError()).code == "HOST_OOM"


def test_an_engine_that_is_not_installed_is_said_to_be_so() -> None:
    error = ModuleNotFoundError("No module named 'torch'", name="torch")
    assert failure_of(error).message == "torch is not installed: pip install 'wanvideo[engine]'"


def test_a_worker_that_was_killed_says_by_what() -> None:
    known = {"exitcode": -9, "phase": "decode", "step": 2, "steps": 5, "rss": 60 * 2**30}
    found = worker_lost("crash", known, model="t2v-A14B")
    assert found.code == "WORKER_CRASH"
    assert "died 3 times with this job, last in decode (step 2 of 5) (signal 9: the system kills" in found.message
    assert "60.0 GiB" in found.message
    assert worker_lost("hang", {"phase": "load", "still_seconds": 700.2}).message == (
        "the worker made no progress in load for 700 s"
    )


@pytest.mark.parametrize("code", sorted(CODES - {"CANCELLED_USER"}))
def test_every_code_has_a_title_and_every_suggestion_an_effect(code: str) -> None:
    found = failure(code, "m", model="t2v-A14B")
    assert found.title
    assert found.category
    assert all(each.text and each.effect for each in found.suggestions)


def test_all_advice_can_be_told_in_other_languages() -> None:
    asked = Asked(model="i2v-A14B-demo", width=1280, height=720, frames=81)
    at_the_end = replace(asked, model="t2v-A14B", all_steps_kept=True)
    not_of_a_hub = replace(asked, from_hub=False)
    found = {
        each.code: each
        for code in sorted(CODES)
        for case in (asked, at_the_end, not_of_a_hub)
        for each in failure(code, "it failed", asked=case).suggestions
    }
    elsewhere = {
        "close_program",
        "fitting",
        "fitting_model",
        "named_model",
        "run_command",
    }  # are worked out from errors and memory
    assert set(found) == set(SUGGESTION_CODES) - elsewhere
    for each in found.values():
        assert all(str(value) in each.text for value in each.values.values())
        assert Suggestion.from_json(each.to_json()) == each
