"""A server as users start it: a process of its own, which may be killed at any moment."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import httpx2
import psutil

COMMAND: Final = (sys.executable, "-c", "import sys; from wanvideo.cli.main import main; sys.exit(main())", "serve")
SMALL: Final[Mapping[str, Any]] = {
    "model_type": "T2V-A14B", "prompt": "a small red circle moves left", "resolution": "64x64", "steps": 2, "frames": 5,
}  # fmt: skip
READY_SECONDS: Final = 60.0  # after which a server counts as one that does not start


class NotReady(Exception):
    """The server did not answer in time, or has ended."""


@dataclass(slots=True, kw_only=True)
class Server:
    """One data folder, and the process that serves it now, if there is one."""

    folder: Path
    port: int = field(default_factory=lambda: free_port())
    environment: Mapping[str, str] = field(default_factory=dict)
    demo: bool = True  # names of models mean the demo models
    prefix: tuple[str, ...] = ()  # a command that runs the server's: strace, nice
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What all its processes said."""
        return self.folder / "server.log"

    def start(self) -> float:
        """Seconds until it is ready for work. Raises NotReady."""
        self.folder.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        with self.log.open("ab") as log:
            where = ["--port", str(self.port), "--data-dir", str(self.folder / "data")]
            self.process = subprocess.Popen(
                [*self.prefix, *COMMAND, *(["--demo"] if self.demo else []), *where],
                env=environment(self.folder) | dict(self.environment),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while time.monotonic() - began < READY_SECONDS:
            if self.process.poll() is not None:
                break
            if self.answers("/healthz"):
                return time.monotonic() - began
            time.sleep(0.02)
        raise NotReady(f"the server is not ready: {self.log.read_text('utf-8', 'replace')[-2000:]}")

    def answers(self, path: str) -> bool:
        try:
            return httpx2.get(f"{self.url}{path}", timeout=2).status_code == 200
        except httpx2.HTTPError:
            return False

    def kill(self) -> None:
        """With SIGKILL, and nothing but the server itself: its workers have to notice."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> int:
        """With SIGTERM; the exit code."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(30)
        finally:
            self.kill()

    def workers(self) -> list[int]:
        """Process ids of what it has started, the sandbox's children included."""
        if self.process is None:
            return []
        try:
            return [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def client(self) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, timeout=60)


@contextmanager
def running(
    folder: Path,
    environment: Mapping[str, str] = MappingProxyType({}),
    *,
    demo: bool = True,
    prefix: tuple[str, ...] = (),
) -> Iterator[Server]:
    """A server on a folder, and nothing of it left afterwards."""
    server = Server(folder=folder, environment=dict(environment), demo=demo, prefix=prefix)
    try:
        server.start()
        yield server
    finally:
        left = server.workers()
        server.kill()
        for pid in left:
            kill(pid)


def kill(pid: int) -> bool:
    """With SIGKILL. False: it was gone."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def environment(folder: Path) -> dict[str, str]:
    """Nothing of this computer's models and settings, and room for every load."""
    # With bytecode, as an installed server has it: else every start would compile the sources again.
    other = ("WAN", "HF_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(other)}
    return kept | {
        "HF_HOME": str(folder / "hub"),
        "WAN_LORAS": str(folder / "loras"),
        "WANVIDEO_MIN_FREE_BYTES": "0",
        "WANVIDEO_MAX_QUEUED": "1000000",
        "OMP_NUM_THREADS": "1",  # of networks as small as these, more only get in one another's way
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
