"""Bars, lines, and how fast it goes."""

import os
import pty
import subprocess
import sys
from dataclasses import replace

import pytest

from wanvideo.cli.output import Output
from wanvideo.cli.progress import Pace, describe, showing, speed
from wanvideo.request import Phase, Progress

DRAW = """
from wanvideo.cli.output import Output
from wanvideo.cli.progress import showing
from wanvideo.request import Phase, Progress
with showing(Output()) as show:
    for step in range(4):
        show(Progress(phase=Phase.DENOISE, step=step, steps=3, seconds=2.0 * step, expert="high"))
"""


def at(step: int, seconds: float, *, steps: int = 10, phase: Phase = Phase.DENOISE) -> Progress:
    return Progress(phase=phase, step=step, steps=steps, seconds=seconds)


def test_the_pace_is_that_of_the_steps_done_here() -> None:
    pace = Pace()
    assert pace.update(at(6, 0.0)) is None  # resumed
    assert pace.update(at(7, 2.0)) == 2.0
    assert pace.update(at(8, 3.0)) == 1.5
    assert pace.update(at(0, 0.0, phase=Phase.DECODE)) is None
    assert pace.update(at(1, 0.5, phase=Phase.DECODE)) == 0.5
    assert pace.update(at(0, 3.0, phase=Phase.LOAD)) is None


@pytest.mark.parametrize(("per_step", "text"), [(None, ""), (0.0, ""), (0.25, "4.0 it/s"), (2.5, "2.5 s/it")])
def test_speed_is_the_number_above_one(per_step: float | None, text: str) -> None:
    assert speed(per_step) == text


def test_the_expert_at_work_is_named() -> None:
    progress = Progress(phase=Phase.DENOISE, step=1, steps=2, seconds=0, expert="low")
    assert describe(progress) == "denoise (low noise)"


def test_in_a_pipe_a_phase_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with showing(Output()) as show:
        for step in range(11):
            show(at(step, float(step)))
    assert capsys.readouterr() == ("", "denoise: 10/10, 10.0 s\n")


def test_steps_that_were_spared_are_not_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    with showing(Output()) as show:
        show(replace(at(10, 10.0), reused=3))
    assert capsys.readouterr().err == "denoise: 10/10, 3 reused, 10.0 s\n"


def test_a_long_phase_reports_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wanvideo.cli.progress.LINE_SECONDS", 0.0)
    with showing(Output()) as show:
        show(at(0, 0.0))
        show(at(2, 6.0))
    assert capsys.readouterr().err.splitlines()[-1] == "denoise: 2/10, 6.0 s, 3.0 s/it, 24 s left"


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with showing(Output(quiet=True)) as show:
        show(at(10, 1.0))
    assert capsys.readouterr() == ("", "")


def draw_on_a_terminal(**environment: str) -> str:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **environment}
    with subprocess.Popen([sys.executable, "-c", DRAW], stderr=theirs, env=environment) as process:
        os.close(theirs)
        drawn = b""
        while chunk := read(ours):
            drawn += chunk
    os.close(ours)
    assert process.returncode == 0
    return drawn.decode()


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # the other end is closed
        return b""


def test_on_a_terminal_there_is_a_bar() -> None:
    drawn = draw_on_a_terminal()
    assert "denoise (high noise)" in drawn
    assert "3/3" in drawn
    assert "2.0 s/it" in drawn
    assert "\x1b[3" in drawn  # colours


def test_no_color_leaves_the_bar_without_colours() -> None:
    drawn = draw_on_a_terminal(NO_COLOR="1")
    assert "3/3" in drawn
    assert "\x1b[3" not in drawn


def test_a_dumb_terminal_gets_lines() -> None:
    assert draw_on_a_terminal(TERM="dumb").splitlines() == ["denoise (high noise): 3/3, 6.0 s"]
