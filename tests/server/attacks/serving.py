"""A server as users start it, and what attackers have: sockets, pages' headers, and patience."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

WAN = (sys.executable, "-c", "import sys; from wanvideo.cli.main import main; sys.exit(main())")
HUB_TOKEN = "hf_canaryCanaryCanaryCanaryCanary"
FOREIGN = "http://evil.example"
ID = "0" * 26  # of a job that does not exist


@dataclass(frozen=True, kw_only=True)
class Attacked:
    """A server process, seen from outside and from its disk."""

    url: str
    process: "subprocess.Popen[str]"
    home: Path  # everything that it may write lies below
    client: httpx2.Client  # of programs such as curl: it says nothing of pages

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def data(self) -> Path:
        return self.home / "server"

    @property
    def log(self) -> str:
        return (self.home / "log").read_text("utf-8")

    def submit(self, **fields: Any) -> httpx2.Response:
        """A job that waits for ever, unless it is asked for otherwise."""
        usual = {"model_type": "t2v-A14B-demo", "prompt": "a circle", "steps": 2, "frames": 5, "held": True}
        return self.client.post("/api/v1/generation/submit", json=usual | fields)

    def stored(self) -> list[Any]:
        """Everything that requests can change: the database, and what lies beside it."""
        with closing(sqlite3.connect(f"file:{self.data / 'wanvideo.db'}?mode=ro", uri=True)) as database:
            tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            rows = [sorted(map(repr, database.execute(f"SELECT * FROM {name}"))) for name in tables]
        return [rows, sorted(map(str, self.files())), self.settings()]

    def settings(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(self.data.glob("*.json"))]

    def files(self) -> list[Path]:
        """All but logs and the database's own."""
        return [
            path
            for path in self.home.rglob("*")
            if path.is_file() and not path.is_relative_to(self.data / "logs") and "wanvideo.db" not in path.name
        ]

    def operations(self) -> list[tuple[str, str]]:
        """Method and path of every address, with ids of things that do not exist."""
        document = self.client.get("/openapi.json").json()
        return [
            (method.upper(), filled(path, operation.get("parameters", ())))
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        ]

    def raw(self, request: bytes, *, most: int = 65536, seconds: float = 5.0) -> bytes:
        """The answer to bytes as they are, until the connection ends or falls silent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            connection.sendall(request)
            return received(connection, most)

    def status(self, request: bytes) -> int:
        answer = self.raw(request)
        return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def received(connection: socket.socket, most: int = 65536) -> bytes:
    """What comes until all of the head and its length of body are there, or the connection ends."""
    data = b""
    while len(data) < most and not _is_whole(data):
        try:
            block = connection.recv(65536)
        except (TimeoutError, ConnectionResetError):
            break
        if not block:
            break
        data += block
    return data


def _is_whole(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(end) and len(body) >= (int(lengths[0]) if lengths else 0)


def filled(path: str, parameters: Sequence[Mapping[str, Any]]) -> str:
    for parameter in parameters:
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", ID)
    return path


@contextmanager
def attacked(home: Path, *options: str, **environment: str) -> Iterator[Attacked]:
    """`wan serve` under the loosest of umasks, with secrets in its environment."""
    command = [*WAN, "serve", "--port", "0", "--data-dir", str(home / "server"), "--json", *options]
    own = {name: value for name, value in os.environ.items() if not name.startswith(("WAN", "HF_", "HUGGING"))}
    (home / "tmp").mkdir()
    places = {
        "TMPDIR": str(home / "tmp"),
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "XDG_DATA_HOME": str(home / "share"),
    }
    usual = {"HF_TOKEN": HUB_TOKEN, "HF_ENDPOINT": "http://127.0.0.1:9", "WANVIDEO_MIN_FREE_BYTES": "0"}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, umask=0, env=own | places | usual | environment
        )
    assert process.stdout is not None
    with process.stdout:
        try:
            url = json.loads(process.stdout.readline())["url"]
            with httpx2.Client(base_url=url, timeout=30) as client:
                yield Attacked(url=url, process=process, home=home, client=client)
            assert process.poll() is None, (home / "log").read_text("utf-8")[-4000:]
        finally:
            process.terminate()
            process.wait(30)
