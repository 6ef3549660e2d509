"""`wan worker list` and what changes the workers of a live server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Wan
from tests.server.serving import Serving, no_workers, serving

DEMO = "t2v-A14B-demo"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    with serving(tmp_path, workers=no_workers) as server:
        monkeypatch.setenv("WANVIDEO_URL", server.url)
        yield server


def test_workers_are_listed_added_limited_and_removed(server: Serving, wan: Wan) -> None:
    assert "no workers" in wan("worker", "list").err
    assert wan("worker", "add", "cpu", "--models", DEMO, "--memory", "8").out.startswith("cpu ")
    limited = wan("worker", "limit", "cpu", "--models", f"{DEMO},i2v-A14B-demo")
    assert f"takes i2v-A14B-demo, {DEMO} alone" in limited.out
    assert wan("worker", "list", "--json").events[0]["models"] == ["i2v-A14B-demo", DEMO]
    assert wan("worker", "return", "cpu").out.startswith("cpu ")
    assert wan("worker", "remove", "cpu", "--now").out == "cpu goes now\n"


def test_a_worker_that_is_not_there_is_named(server: Serving, wan: Wan) -> None:
    ended = wan("worker", "remove", "cuda:3")
    assert (ended.code, "no worker 'cuda:3' here, but none at all" in ended.err) == (1, True)
