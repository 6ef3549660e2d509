"""`wan serve`: a process of its own, as users start it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.cli.conftest import Wan

SERVE = (sys.executable, "-c", "import sys; from wanvideo.cli.main import main; sys.exit(main())", "serve")


@contextmanager
def served(tmp: Path, *options: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A server with demo models, and its address; its log is `tmp / "log"`."""
    command = [*SERVE, "--demo", "--port", "0", "--data-dir", str(tmp / "server"), "--json", *options]
    with (tmp / "log").open("ab") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    with process.stdout:
        try:
            yield process, json.loads(process.stdout.readline())["url"]
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(30)


def test_it_starts_in_seconds_without_torch_and_drains(tmp_path: Path) -> None:
    with served(tmp_path) as (process, url), httpx2.Client(base_url=url) as client:
        assert client.get("/healthz").status_code == 200
        used = psutil.Process(process.pid).cpu_times()  # whatever else runs; three seconds on a slow core
        assert used.user + used.system < 10
        assert "libtorch" not in Path(f"/proc/{process.pid}/maps").read_text()
        body = {"model_type": "T2V-A14B", "prompt": "a circle", "steps": 300}
        task = client.post("/api/v1/generation/submit", json=body).json()["task_id"]
        while client.get(f"/api/v1/queue/{task}").json().get("step", 0) < 8:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    said = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [(line["event"], line["attempt"]) for line in said if line.get("job") == task] == [
        ("job started", 1),
        ("job requeued", 1),
    ]
    with served(tmp_path) as (process, url), httpx2.Client(base_url=url) as client:
        found = client.get(f"/api/v1/queue/{task}").json()
        assert found["status"] in ("pending", "processing")
        client.post(f"/api/v1/queue/{task}/cancel", json={})


def test_a_server_that_starts_well_logs_nothing(tmp_path: Path) -> None:
    command = [*SERVE, "--demo", "--port", "0", "--data-dir", str(tmp_path / "server")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http://")
        process.terminate()
        _, logged = process.communicate(timeout=30)
    assert [line for line in logged.splitlines() if "info" in line or "alembic" in line or "uvicorn" in line] == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--host", "0.0.0.0"), "there is no token"),
        (("--host", "no.such.host.invalid", "--insecure"), "is no address"),
        (("--token", "short"), "at least"),
        (("--compat-origin", "*"), "is no origin"),
        (("--port", "70000"), "65535"),
        (("--name-template", "{date}/{seed}"), "holds '/'"),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_reason(wan: Wan, options: tuple[str, ...], said: str) -> None:
    ended = wan("serve", *options)
    assert ended.code == 2
    assert said in ended.err


@pytest.mark.parametrize("option", ["--data-dir", "--outputs-dir"])
def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path, wan: Wan, option: str) -> None:
    (tmp_path / "file").touch()
    folders = {"--data-dir": str(tmp_path / "server"), option: str(tmp_path / "file" / "folder")}
    ended = wan("serve", "--port", "0", *(word for pair in folders.items() for word in pair))
    assert ended.code == 1
    assert f"{tmp_path / 'file' / 'folder'} cannot be used: Not a directory" in ended.err


def test_a_port_that_is_taken_is_named(tmp_path: Path, wan: Wan) -> None:
    with served(tmp_path) as (_, url):
        ended = wan("serve", "--port", url.rpartition(":")[2], "--data-dir", str(tmp_path / "other"))
    assert ended.code == 1
    assert "--port" in ended.err


def test_a_second_server_on_the_same_folder_says_whose_it_is(tmp_path: Path) -> None:
    with served(tmp_path) as (process, _):
        command = [*SERVE, "--port", "0", "--data-dir", str(tmp_path / "server")]
        second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=os.environ)
    assert second.returncode == 1
    assert str(process.pid) in second.stderr
    assert "Traceback" not in second.stderr
