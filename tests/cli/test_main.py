"""Help, usage errors, bugs, and what must stay fast."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Wan
from wanvideo.cli import models

IMPORTED = "import sys; import wanvideo.cli.main; print(' '.join(sys.modules))"


def test_alone_it_shows_the_help(wan: Wan) -> None:
    alone, asked = wan(), wan("--help")
    assert alone.code == asked.code == 0
    assert alone.out == asked.out
    for command in ("generate", "models", "info", "doctor"):
        assert command in alone.out


@pytest.mark.parametrize("command", ["generate", "models", "info", "doctor"])
def test_every_command_explains_itself(command: str, wan: Wan) -> None:
    ended = wan(command, "-h")
    assert ended.code == 0
    assert "--json" in ended.out


def test_the_version_is_one_line(wan: Wan) -> None:
    ended = wan("--version")
    assert ended.code == 0
    assert ended.out.startswith("wan ")
    assert len(ended.out.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generat"], "generate"),
        (["models", "--jsn"], "--jsn"),
        (["generate"], "PROMPT"),
        (["generate", "x", "--steps", "many"], "many"),
        (["generate", "x", "--solver", "ddim"], "ddim"),
        (["generate", "x", "--steps"], "--steps"),
        (["info"], "FILE|MODEL"),
    ],
)
def test_a_wrong_command_line_is_one_message_or_one_event(arguments: list[str], message: str, wan: Wan) -> None:
    plain = wan(*arguments)
    assert plain.code == 2
    assert plain.out == ""
    assert plain.err.startswith("error: ")
    assert message in plain.err
    assert "--help" in plain.err
    as_json = wan(arguments[0], "--json", *arguments[1:])
    assert as_json.code == 2
    assert as_json.error["code"] == "USAGE"
    assert message in as_json.error["message"]


def test_a_bug_is_one_message_without_a_traceback(wan: Wan, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(models, "look_for", broken)
    plain = wan("models")
    assert plain.code == 1
    assert "Traceback" not in plain.err
    assert "WAN_DEBUG=1" in plain.err
    assert wan("models", "--json").error["facts"] == {"type": "ZeroDivisionError"}
    monkeypatch.setenv("WAN_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        wan("models")


def test_a_missing_engine_names_the_install_command(wan: Wan, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_torch(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(models, "look_for", without_torch)
    ended = wan("models", "--json")
    assert ended.code == 1
    assert ended.error["code"] == "ENGINE_MISSING"
    assert "pip install 'wanvideo[engine]'" in ended.error["message"]


def test_ctrl_c_anywhere_is_130(wan: Wan, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(models, "look_for", interrupted)
    assert wan("models").code == 130
    assert wan("models", "--json").error["code"] == "CANCELLED_USER"


def test_nothing_heavy_is_imported_before_a_command_runs() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    modules = done.stdout.split()
    assert "wanvideo.cli.generate" in modules
    assert not {"torch", "av", "PIL", "numpy", "safetensors", "tokenizers"} & set(modules)


def test_a_closed_pipe_is_no_traceback(tmp_path: Path) -> None:
    command = f"'{sys.executable}' -c 'from wanvideo.cli.main import main; raise SystemExit(main())' models | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""
