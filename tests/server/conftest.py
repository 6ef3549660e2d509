"""Servers for the tests of a module; nothing of this computer's settings."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.serving import Serving, no_workers, serving
from wanvideo.server import logs


@pytest.fixture(autouse=True, scope="session")
def _nothing_of_this_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        tmp = tmp_path_factory.mktemp("home")
        for name in ("WAN_MODELS", "WAN_LORAS", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_ENDPOINT", "HF_TOKEN"):
            patch.delenv(name, raising=False)
        patch.setenv("HF_HOME", str(tmp / "hf"))
        patch.setenv("XDG_DATA_HOME", str(tmp / "data"))
        yield


@pytest.fixture(autouse=True, scope="session")
def _logs_as_served() -> Iterator[None]:
    """structlog's own way to show an error, with every local variable, takes seconds."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    logs.set_up(json=True)
    yield
    root.handlers[:] = before
    root.setLevel(level)


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A demo server without workers: jobs wait."""
    with serving(tmp_path_factory.mktemp("idle"), workers=no_workers) as server:
        yield server


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Serving]:
    """The same, of one test alone."""
    with serving(tmp_path, workers=no_workers) as server:
        yield server
