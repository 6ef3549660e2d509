"""`wan worker join`: several processes, as several machines run them, with one PostgreSQL and one shared folder."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.postgres import Postgres

WAN = (sys.executable, "-c", "import sys; from wanvideo.cli.main import main; sys.exit(main())")
LEASE = 3  # seconds


@dataclass(frozen=True)
class Cluster:
    """Where everything is, and what starts more of it."""

    root: Path
    database: str

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "WANVIDEO_DATABASE": self.database, "WANVIDEO_LEASE_SECONDS": str(LEASE), "WANVIDEO_DEVICE": "cpu",
            "WANVIDEO_MIN_FREE_BYTES": "0", "OMP_NUM_THREADS": "1",
        }  # fmt: skip

    @contextmanager
    def process(self, *arguments: str, **environment: str) -> Iterator[tuple["subprocess.Popen[str]", dict[str, Any]]]:
        """One of ours, and the first event that it printed."""
        with (self.root / f"log-{uuid.uuid4().hex}").open("w") as log:
            process = subprocess.Popen(
                [*WAN, *arguments, "--json"], stdout=subprocess.PIPE, stderr=log, text=True,
                env=self.environment | environment,
            )  # fmt: skip
        assert process.stdout is not None
        with process.stdout:
            try:
                yield process, json.loads(process.stdout.readline() or "null")
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.wait(30)

    def server(self, name: str) -> Any:
        """One that has no workers."""
        folders = ("--data-dir", str(self.root / name), "--storage", str(self.root / "shared"))
        return self.process("serve", "--demo", "--port", "0", *folders, WANVIDEO_DEVICE="none")

    def worker(self, name: str) -> Any:
        return self.process("worker", "join", "--data-dir", str(self.root / name))


@pytest.fixture
def cluster(tmp_path: Path, postgres: Postgres) -> Cluster:
    (tmp_path / "shared").mkdir()
    return Cluster(tmp_path, postgres.create(uuid.uuid4().hex))


def submit(client: httpx2.Client, **fields: Any) -> str:
    body = {"model_type": "T2V-A14B", "prompt": "a small red circle moves left", "frames": 5, **fields}
    return str(client.post("/api/v1/generation/submit", json=body).json()["task_id"])


def until(client: httpx2.Client, task: str, enough: Any, seconds: float = 120.0) -> Mapping[str, Any]:
    end = time.monotonic() + seconds
    while not enough(found := client.get(f"/api/v1/queue/{task}").json()):
        assert time.monotonic() < end, found
        time.sleep(0.1)
    return dict(found)


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_no_job_and_no_more_than_a_checkpoint(cluster: Cluster) -> None:
    with ExitStack() as running:
        _, said = running.enter_context(cluster.server("server"))
        client = running.enter_context(httpx2.Client(base_url=said["url"], timeout=30))
        first, joined = running.enter_context(cluster.worker("first"))
        assert (joined["event"], joined["workers"]) == ("joined", ["cpu"])
        long = submit(client, steps=60)
        others = [submit(client, steps=2) for _ in range(4)]
        until(client, long, lambda task: (task.get("step") or 0) > 20)
        first.send_signal(signal.SIGKILL)
        running.enter_context(cluster.worker("second"))
        for task in (long, *others):
            until(client, task, lambda task: task["status"] == "completed")
            assert client.get(f"/api/v1/outputs/{task}/download").status_code == 200
        events = client.get(f"/api/v1/queue/{long}/events").json()["events"]
        assert [each["type"] for each in events].count("succeeded") == 1
        kept, repeated = 0, []
        for event in events:
            if event["type"] == "checkpoint":
                kept = event["data"]["step"]
            if event["type"] == "resumed":
                repeated.append(kept - event["data"]["step"])
        assert repeated == [0]  # what was kept, and that is all of it, counts
        assert len(list((cluster.root / "shared" / "outputs").iterdir())) == 5
        assert not list((cluster.root / "shared" / "jobs").glob("*/*/*"))


def test_a_worker_stays_out_of_a_queue_that_is_one_servers_alone(cluster: Cluster) -> None:
    with cluster.process("serve", "--port", "0", "--data-dir", str(cluster.root / "server"), WANVIDEO_DEVICE="none"):
        command = [*WAN, "worker", "join", "--data-dir", str(cluster.root / "worker")]
        found = subprocess.run(command, capture_output=True, text=True, env=cluster.environment, timeout=60)
    assert found.returncode == 1
    assert "start it with --storage" in found.stderr
    command = [*WAN, "worker", "join"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert found.returncode == 2
    assert "WANVIDEO_DATABASE" in found.stderr
