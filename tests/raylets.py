"""A Ray cluster of the tests: raylets on this computer, with GPUs that are only numbers."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

RAY = (sys.executable, "-m", "ray.scripts.scripts")


@dataclass
class RayCluster:
    """Raylets, each in a process group of its own."""

    folder: Path
    environment: dict[str, str]
    port: int
    raylets: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def start(self, gpus: int = 1) -> None:
        """One more raylet; the first is the head."""
        head = ("--head", "--port", str(self.port), "--include-dashboard", "false", "--temp-dir", str(self.folder))
        where = ("--address", f"127.0.0.1:{self.port}") if self.raylets else head
        options = ("--block", "--num-gpus", str(gpus), "--num-cpus", "2", "--object-store-memory", "80000000")
        with (self.folder.parent / f"raylet-{len(self.raylets)}").open("w") as log:
            command = [*RAY, "start", *where, *options]
            process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, start_new_session=True)
        self.raylets.append(process)

    def until_it_answers(self) -> None:
        command = [*RAY, "health-check", "--address", f"127.0.0.1:{self.port}"]
        end = time.monotonic() + 60
        while subprocess.run(command, env=self.environment, capture_output=True, check=False).returncode != 0:
            assert time.monotonic() < end, (self.folder.parent / "raylet-0").read_text()

    def kill(self, number: int) -> None:
        """With all that it has started, as a machine that loses its power."""
        for process in _family(self.raylets[number].pid):
            _kill(process)
        self.raylets[number].wait()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _family(pid: int) -> list[int]:
    """A process and all that descend from it, the eldest first."""
    import psutil

    process = psutil.Process(pid)
    return [pid, *(child.pid for child in process.children(recursive=True))]


@contextmanager
def ray_cluster(environment: Mapping[str, str], *, token: bool = True, gpus: int = 1) -> Iterator[RayCluster]:
    """environment: of all that it runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = Path(tempfile.mkdtemp(prefix="wanray"))  # names of sockets are short
    (place / "token").write_text(secrets.token_hex(32))
    auth = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(place / "token")} if token else {}
    environment = dict(environment) | auth | {
        "RAY_AUTH_MODE": "token" if token else "disabled", "RAY_ADDRESS": f"127.0.0.1:{port}",
        "RAY_USAGE_STATS_ENABLED": "0",
    }  # fmt: skip
    found = RayCluster(place / "t", environment, port)
    try:
        found.start(gpus)
        found.until_it_answers()
        yield found
    finally:
        for number, process in enumerate(found.raylets):
            if process.poll() is None:
                found.kill(number)
        shutil.rmtree(place, ignore_errors=True)
