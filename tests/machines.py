"""Processes of ours that work on one queue, as several machines run them."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

WAN = (sys.executable, "-c", "import sys; from wanvideo.cli.main import main; sys.exit(main())")
NAME = "video.test"  # of the one address in front of several servers
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
            "WANVIDEO_MIN_FREE_BYTES": "0", "WANVIDEO_ALLOWED_HOSTS": NAME, "OMP_NUM_THREADS": "1",
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


def submit(client: httpx2.Client, **fields: Any) -> str:
    body = {"model_type": "T2V-A14B", "prompt": "a small red circle moves left", "frames": 5, **fields}
    return str(client.post("/api/v1/generation/submit", json=body).json()["task_id"])


def until(client: httpx2.Client, task: str, enough: Any, seconds: float = 120.0) -> Mapping[str, Any]:
    end = time.monotonic() + seconds
    while not enough(found := client.get(f"/api/v1/queue/{task}").json()):
        assert time.monotonic() < end, found
        time.sleep(0.1)
    return dict(found)
