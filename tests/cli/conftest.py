"""The command line called in this process: arguments in; exit code, stdout and stderr out."""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.machines import Cluster
from tests.postgres import Postgres
from wanvideo.cli.main import main


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """What `--json` printed: every line is an object with an "event"."""
        events = [json.loads(line) for line in self.out.splitlines()]
        assert all(isinstance(event, dict) and "event" in event for event in events)
        return events

    @property
    def error(self) -> dict[str, Any]:
        """The only error event."""
        (error,) = [event["error"] for event in self.events if event["event"] == "error"]
        assert set(error) == {"code", "category", "message", "suggestions", "facts"}
        return dict(error)


Wan = Callable[..., Ended]


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No model of the developer's, no colours of their terminal, and the current folder is a new one."""
    own = ("WAN_MODELS", "WAN_LORAS", "WAN_DEBUG", "WAN_HUB_MIRRORS", "NO_COLOR", "FORCE_COLOR")
    hub = (
        "HF_HUB_CACHE",
        "HUGGINGFACE_HUB_CACHE",
        "HF_ENDPOINT",
        "HF_TOKEN",
        "HF_TOKEN_PATH",
        "HUGGING_FACE_HUB_TOKEN",
    )
    server = ("WANVIDEO_URL", "WANVIDEO_TOKEN", "WANVIDEO_DATA_DIR")
    for variable in (*own, *hub, *server):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)


@pytest.fixture
def wan(capfd: pytest.CaptureFixture[str]) -> Wan:
    """Run `wan` with these arguments."""

    def run(*arguments: str | Path) -> Ended:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Ended(code=code, out=out, err=err)

    return run


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders t2v, i2v and ti2v, each a whole model with random weights; to be read only."""
    from tests.weights.tiny_models import write_model

    root = tmp_path_factory.mktemp("tiny")
    for kind in ("t2v", "i2v", "ti2v"):
        write_model(root / kind, kind)
    return root


@pytest.fixture
def cluster(tmp_path: Path, postgres: Postgres) -> Cluster:
    """Several machines, with nobody at work yet."""
    (tmp_path / "shared").mkdir()
    return Cluster(tmp_path, postgres.create(uuid.uuid4().hex))
