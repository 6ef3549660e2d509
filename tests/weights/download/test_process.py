"""Downloads in a process of their own, as a server uses it."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hub.loopback import LoopbackHub
from tests.hub.scene import REPO, contents, repository, snapshot, wanted_files

SRC = Path(__file__).parents[3] / "src"


class Client:
    """The process, spoken to in JSON."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def ask(self, **request: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def next(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return dict(json.loads(self.process.stdout.readline()))

    def until(self, *events: str) -> dict[str, Any]:
        while (event := self.next())["event"] not in events:
            pass
        return event


@pytest.fixture
def client() -> Iterator[Client]:
    command = [sys.executable, "-m", "wanvideo.weights.download.process"]
    environment = {"PYTHONPATH": str(SRC)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Client(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 0


def download(hub: LoopbackHub, cache: Path, **changes: object) -> dict[str, object]:
    files = [{"repo_id": REPO, "paths": ["model_index.json", "*/*.json", "*/*.safetensors"]}]
    choice = {"title": "small", "endpoint": hub.endpoint, "token": None, "files": files}
    return {"do": "download", "id": "a", "cache": str(cache), "choices": [choice]} | changes


def test_a_download_ends_with_the_files(client: Client, loopback: LoopbackHub, tmp_path: Path) -> None:
    loopback.add(REPO, repository())
    client.ask(**download(loopback, tmp_path))
    assert client.next()["event"] == "planned"
    assert client.until("downloaded", "error")["folders"] == [str(snapshot(loopback, tmp_path))]
    assert contents(snapshot(loopback, tmp_path)) == wanted_files(repository())


def test_a_download_can_be_paused_resumed_and_cancelled(client: Client, loopback: LoopbackHub, tmp_path: Path) -> None:
    loopback.add(REPO, repository())
    loopback.bytes_per_second = 5e4
    client.ask(**download(loopback, tmp_path))
    client.until("progress")
    client.ask(do="pause", id="a")
    while client.until("progress")["state"] != "paused":
        pass
    client.ask(do="resume", id="a")
    while client.until("progress")["state"] != "downloading":
        pass
    client.ask(do="cancel", id="a")
    assert client.until("cancelled", "downloaded")["event"] == "cancelled"


def test_the_end_of_the_input_ends_everything(loopback: LoopbackHub, client: Client, tmp_path: Path) -> None:
    loopback.add(REPO, repository())
    loopback.bytes_per_second = 2e4
    client.ask(**download(loopback, tmp_path))
    client.until("progress")
    began = time.monotonic()
    assert client.process.stdin is not None
    client.process.stdin.close()
    assert client.process.wait(10) == 0
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "request_",
    [
        {"do": "dance", "id": "a"},
        {"do": "pause", "id": "b"},
        {"do": "download", "id": "a"},
        {"do": "download", "id": "a", "cache": "/x", "choices": [{"title": "t", "files": [{"repo_id": "../x"}]}]},
        {"id": "a"},
        {},
    ],
)
def test_a_request_that_is_none_is_answered_and_harms_nothing(client: Client, request_: dict[str, object]) -> None:
    client.ask(**request_)
    assert client.next()["event"] == "error"


def test_an_error_has_its_code(client: Client, loopback: LoopbackHub, tmp_path: Path) -> None:
    client.ask(**download(loopback, tmp_path))
    event = client.until("error")
    assert event["error"]["code"] == "DOWNLOAD_NOT_FOUND"
    assert event["id"] == "a"
