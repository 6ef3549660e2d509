"""The disk is full, or fails, at the n-th write or sync of a run from start to finished video; for every n.

A library that is loaded before the C library's own lets that call fail, in the server and in its worker. With ENOSPC
all later calls fail too, as on a disk that is full; EIO comes once. Afterwards the server is started on a sound disk:
what it had acknowledged must be there and must end in a video.
"""

import errno
import hashlib
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx2

from benchmarks.reliability.record import Row, Tell, none_of
from benchmarks.reliability.server import SMALL, NotReady, Server, kill, running

USUAL: Final = 1_000_000  # all
PATIENCE: Final = 180.0  # seconds for a job to end
FAILING: Final = 15.0  # the same on the failing disk, where it may have to wait for room
SOURCE: Final = Path(__file__).with_name("fault.c")
CODES: Final = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO}
REFUSALS: Final = (503, 507)  # how a submit may be refused


def run(trials: range, tell: Tell) -> None:
    """Every call fails in two of them; there are no more."""
    with tempfile.TemporaryDirectory() as folder:
        library = compiled(Path(folder))
        calls = count(library)
        every = [(name, nth) for nth in range(1, calls + 1) for name in CODES]
        for name, nth in every[trials.start : trials.stop]:
            tell({"error": name, "nth": nth, "calls": calls, **trial(library, name, nth)})


def compiled(folder: Path) -> Path:
    """Raises CalledProcessError, and FileNotFoundError without a C compiler."""
    target = folder / "fault.so"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", str(target), str(SOURCE), "-ldl"], check=True)
    return target


def count(library: Path) -> int:
    """Calls of the process that makes most of them, from its start to one finished video and a stop."""
    with tempfile.TemporaryDirectory() as folder:
        place, said = Path(folder), Path(folder) / "calls"
        with running(place, _environment(library, place, said, nth=0, code=0)) as server:
            with server.client() as client:
                job = client.post("/api/v1/generation/submit", json=dict(SMALL) | {"seed": 1}).json()["task_id"]
                _ended(client, server, job)
            server.stop()
        return max(int(line.split()[2]) for line in said.read_text().splitlines() if line.startswith("calls"))


def trial(library: Path, name: str, nth: int) -> dict[str, Any]:
    """What came of it: see `rows` for what counts as broken."""
    found: dict[str, Any] = {"hit": "", "refused": None, "lost": 0, "died": 0, "untyped": 0, "half_files": 0}
    with tempfile.TemporaryDirectory() as folder:
        place, said = Path(folder), Path(folder) / "calls"
        key, job = uuid.uuid4().hex, None
        shim = _environment(library, place, said, nth=nth, code=CODES[name])
        server = Server(folder=place, environment=shim)
        try:
            server.start()
            with server.client() as client:
                job = _submitted(client, key, found)
                state = None if job is None else _ended(client, server, job, FAILING)
                found["failed_with"] = None if state is None else (state.get("failure") or {}).get("code")
            assert server.process is not None
            found["died"] = int(server.process.poll() is not None)
        except NotReady:
            found["refused"] = "start"
        finally:
            left = server.workers()
            server.kill()
            for pid in left:
                kill(pid)
        found["hit"] = _hits(place, said)
        found |= _afterwards(place, key, job)
        return found


def _submitted(client: httpx2.Client, key: str, found: dict[str, Any]) -> str | None:
    try:
        answer = client.post(
            "/api/v1/generation/submit", json=dict(SMALL) | {"seed": 1}, headers={"idempotency-key": key}
        )
    except httpx2.HTTPError:
        return None
    if answer.status_code == 200:
        return str(answer.json()["task_id"])
    found["refused"] = answer.json()["code"]
    found["untyped"] = int(answer.status_code not in REFUSALS)
    return None


def _afterwards(folder: Path, key: str, job: str | None) -> dict[str, Any]:
    """On a sound disk: the same submit once more, and the job to its end."""
    with running(folder) as server, server.client() as client:
        again = client.post(
            "/api/v1/generation/submit", json=dict(SMALL) | {"seed": 1}, headers={"idempotency-key": key}
        ).json()["task_id"]
        ended = _ended(client, server, again)
        if ended is not None and ended["state"] == "failed":
            client.post(f"/api/v1/queue/{again}/retry", json={})
            ended = _ended(client, server, again)
        outputs = folder / "data" / "outputs"
        video = None if ended is None or ended["state"] != "succeeded" else outputs / ended["output_path"]
        whole = (
            video is not None
            and video.is_file()
            and ended is not None
            and hashlib.sha256(video.read_bytes()).hexdigest() == ended["result"]["sha256"]
        )
        more = len(list(outputs.glob("*.mp4"))) - 1
        drafts = sum(len(list((folder / "data" / name).glob("*.part"))) for name in ("outputs", "thumbnails", "inputs"))
        return {
            "lost": int(not whole or (job is not None and again != job)),
            "half_files": max(0, more) + drafts,
        }


def rows(lines: Sequence[Mapping[str, Any]]) -> list[Row]:
    tried = len(lines)
    found = [Row("calls that failed, of writes and syncs", f"{tried} of {2 * max(line['calls'] for line in lines)}")]
    for name, what in (
        ("lost", "acknowledged jobs that were lost, or did not end in a video"),
        ("died", "deaths of the server's process"),
        ("untyped", "refusals that do not say that the disk is the reason"),
        ("half_files", "half files"),
    ):
        found.append(none_of(what, sum(line[name] for line in lines), tried))
    refused = sum(line["refused"] is not None for line in lines)
    return [*found, Row("starts and submits that were refused", str(refused))]


def _environment(library: Path, folder: Path, said: Path, *, nth: int, code: int) -> dict[str, str]:
    return {
        "LD_PRELOAD": str(library),
        "FAULT_FOLDER": str(folder / "data"),
        "FAULT_COUNT": str(said),
        "FAULT_NTH": str(nth),
        "FAULT_ERRNO": str(code),
        "FAULT_STICKY": str(int(code == errno.ENOSPC)),
    }


def _hits(folder: Path, said: Path) -> str:
    """Which file it was."""
    if not said.is_file():
        return ""
    paths = [line.split(" ", 3)[3] for line in said.read_text().splitlines() if line.startswith("hit")]
    return ", ".join(Path(path).relative_to(folder / "data").as_posix() for path in paths)


def _ended(client: httpx2.Client, server: Server, job: str, patience: float = PATIENCE) -> Any:
    """The job, once it has ended. None: the server has, or the job does not, or nobody can say."""
    ends = time.monotonic() + patience
    while time.monotonic() < ends:
        if server.process is None or server.process.poll() is not None:
            return None
        answer = client.get(f"/api/v1/queue/{job}")
        if answer.status_code != 200:
            return None
        if answer.json()["state"] not in ("queued", "held", "running"):
            return answer.json()
        time.sleep(0.1)
    return None
