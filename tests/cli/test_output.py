"""Exit codes and the JSON that programs read."""

import json
import math
from pathlib import Path

import pytest

from wanvideo import errors
from wanvideo.cli.output import Output, exit_code, to_json
from wanvideo.request import Solver


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidPrompt(""), 2),
        (errors.UnknownModel(""), 2),
        (errors.InvalidImage(""), 2),
        (errors.OutputNotWritable(""), 2),
        (errors.Cancelled(""), 130),
        (errors.ModelMissing(""), 1),
        (errors.NonFiniteLatents(""), 1),
        (errors.DiskFull(""), 1),
    ],
)
def test_the_exit_code_says_whose_turn_it_is(error: errors.WanVideoError, code: int) -> None:
    assert exit_code(error) == code


def test_json_is_one_ascii_line_of_values_that_json_has() -> None:
    line = to_json({"path": Path("/a"), "solver": Solver.DPMPP, "nan": math.nan, "text": "鹭\n\udc80", "set": {2, 1}})
    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line) == {"path": "/a", "solver": "dpm++", "nan": "nan", "text": "鹭\n\udc80", "set": [1, 2]}


def test_messages_go_to_stderr_and_results_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output()
    output.say("working")
    output.result("/tmp/heron.mp4")
    output.event("done")
    assert capsys.readouterr() == ("/tmp/heron.mp4\n", "working\n")


def test_quiet_leaves_the_result_and_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(quiet=True)
    output.say("working")
    output.result("/tmp/heron.mp4")
    output.error(errors.DiskFull("no room"))
    assert capsys.readouterr() == ("/tmp/heron.mp4\n", "error: no room\n")


def test_with_json_everything_is_an_event_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(json=True)
    output.say("working")
    output.result("/tmp/heron.mp4")
    output.error(errors.UnknownModel("which?", suggestions=["a"], facts={"model": "b"}))
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out) == {
        "event": "error",
        "error": {
            "code": "MODEL_UNKNOWN",
            "category": "input",
            "message": "which?",
            "suggestions": ["a"],
            "facts": {"model": "b"},
        },
    }
