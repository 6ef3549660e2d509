"""SIGKILL at random moments, under load: of the worker and of the server in turn.

What must hold afterwards: every job that was acknowledged is there once and has one outcome, its video is whole and has
the very bits of an undisturbed run, and nothing half made lies about.
"""

import hashlib
import random
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import av
import httpx2
import psutil

from benchmarks.reliability.record import Row, Tell, at_most, none_of, percentile
from benchmarks.reliability.server import SMALL, Server, kill, running
from benchmarks.reliability.stored import fill

USUAL: Final = 400
STORED: Final = 10_000
SEEDS: Final = (1, 2, 3)
PATIENCE: Final = 300.0  # seconds for jobs to end, on a machine that does much else
ORPHAN_SECONDS: Final = 5.0  # for a worker to notice that its server is dead


@dataclass(slots=True, kw_only=True)
class Asked:
    """One submit of a client."""

    key: str
    seed: int
    job: str | None = None  # once it was acknowledged


@dataclass(slots=True, kw_only=True)
class Scene:
    """A server, what was asked of it, and how the videos ought to be."""

    server: Server
    chance: random.Random
    right: Mapping[int, str]  # digest of the pictures, by seed
    usual: float  # seconds of one job
    ended: set[str] = field(default_factory=set)  # jobs of earlier trials

    @property
    def data(self) -> Path:
        return self.server.folder / "data"


def run(trials: range, tell: Tell, stored: int = STORED) -> None:
    """The even ones are of workers."""
    with scene(trials.start, stored) as there:
        for number in trials:
            victim = "server" if number % 2 else "worker"
            tell({"victim": victim, **(kill_server(there) if number % 2 else kill_worker(there))})


@contextmanager
def scene(chance: int, stored: int) -> Iterator[Scene]:
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server:
        with server.client() as client:
            made = [_submit(client, Asked(key=uuid.uuid4().hex, seed=seed)) for seed in SEEDS]
            jobs = [_ended(client, job) for job in made]
        outputs = server.folder / "data" / "outputs"
        right = {seed: pictures(outputs / job["output_path"]) for seed, job in zip(SEEDS, jobs, strict=True)}
        server.stop()
        fill(server.folder / "data", stored)
        server.start()
        usual = sum(jobs[-1]["result"]["phases"].values())
        yield Scene(server=server, chance=random.Random(chance), right=right, usual=usual, ended=_mp4s(outputs))


def kill_worker(scene: Scene) -> dict[str, Any]:
    """While it has a job, or has just ended one."""
    asked = [Asked(key=uuid.uuid4().hex, seed=scene.chance.choice(SEEDS)) for _ in range(2)]
    with scene.server.client() as client:
        for each in asked:
            _submit(client, each)
        while _state(client, asked[0]) == "queued":
            time.sleep(0.01)
        time.sleep(scene.chance.uniform(0, 1.5 * scene.usual))
        killed = [kill(pid) for pid in workers(scene.server)]
        return {"killed": sum(killed), **checked(scene, client, asked)}


def kill_server(scene: Scene) -> dict[str, Any]:
    """While clients submit and a worker works."""
    asked: list[Asked] = []
    stop = threading.Event()
    clients = [threading.Thread(target=_submit_until, args=(scene, asked, stop)) for _ in range(3)]
    for thread in clients:
        thread.start()
    time.sleep(scene.chance.uniform(0, 2 * scene.usual))
    left = workers(scene.server)
    scene.server.kill()
    stop.set()
    orphan = _seconds_until_gone(left)
    for thread in clients:
        thread.join()
    ready = scene.server.start()
    acknowledged = {each.key: each.job for each in asked if each.job is not None}
    with scene.server.client() as client:
        for each in asked:
            _submit(client, each)  # the same key: what was stored before must come again
        moved = sum(each.job != acknowledged[each.key] for each in asked if each.key in acknowledged)
        found = checked(scene, client, asked)
    found["duplicated"] += moved
    return {"ready_seconds": ready, "orphan_seconds": orphan, "acknowledged": len(acknowledged), **found}


def checked(scene: Scene, client: httpx2.Client, asked: Sequence[Asked]) -> dict[str, Any]:
    """What became of the jobs, once all have ended."""
    found = {"jobs": len(asked), "lost": 0, "duplicated": 0, "half_files": 0, "different": 0, "resumed": 0}
    outputs = scene.data / "outputs"
    for each in asked:
        assert each.job is not None
        job = _ended(client, each.job)
        if job is None or job["state"] != "succeeded":
            found["lost"] += 1
            continue
        events = client.get(f"/api/v1/queue/{each.job}/events").json()["events"]
        kinds = [event["type"] for event in events]
        found["duplicated"] += kinds.count("succeeded") - 1
        found["resumed"] += "resumed" in kinds
        video = outputs / job["output_path"]
        whole = video.is_file() and hashlib.sha256(video.read_bytes()).hexdigest() == job["result"]["sha256"]
        found["half_files"] += not whole
        found["different"] += whole and pictures(video) != scene.right[each.seed]
    made = _mp4s(outputs) - scene.ended
    scene.ended |= made
    found["duplicated"] += abs(len(made) - (len(asked) - found["lost"]))
    found["half_files"] += sum(1 for place in ("outputs", "thumbnails", "inputs") for _ in _parts(scene.data / place))
    return found


def rows(lines: Sequence[Mapping[str, Any]]) -> list[Row]:
    victims = {name: [line for line in lines if line["victim"] == name] for name in ("worker", "server")}
    jobs = sum(line["jobs"] for line in lines)
    ready = [line["ready_seconds"] for line in victims["server"]]
    found = [Row("kills", f"{len(victims['worker'])} of workers, {len(victims['server'])} of servers")]
    for name, what in (
        ("lost", "jobs lost"),
        ("duplicated", "jobs duplicated"),
        ("half_files", "half files"),
        ("different", "videos with other bits"),
    ):
        found.append(none_of(what, sum(line[name] for line in lines), jobs))
    found.append(Row("jobs that went on from a checkpoint", str(sum(line["resumed"] for line in lines))))
    if ready:
        orphans = [line["orphan_seconds"] for line in victims["server"]]
        found += [
            at_most("ready again with 10,000 stored jobs, median", percentile(ready, 50), 3, " s"),
            Row("the same, fastest and slowest", f"{min(ready):.1f} and {max(ready):.1f} s"),
            at_most("a worker outlives its server, at most", max(orphans), ORPHAN_SECONDS, " s"),
        ]
    return found


def pictures(video: Path) -> str:
    """A digest of the coded pictures; what else is in the file, such as how long it took, may differ."""
    digest = hashlib.sha256()
    with av.open(str(video)) as container:
        for packet in container.demux(video=0):
            digest.update(bytes(packet))
    return digest.hexdigest()


def workers(server: Server) -> list[int]:
    """Process ids of those that make videos."""
    found = []
    for pid in server.workers():
        try:
            if "wanvideo.worker" in psutil.Process(pid).cmdline():
                found.append(pid)
        except psutil.NoSuchProcess:
            continue
    return found


def _submit(client: httpx2.Client, asked: Asked) -> str:
    answer = client.post(
        "/api/v1/generation/submit", json={**SMALL, "seed": asked.seed}, headers={"idempotency-key": asked.key}
    )
    assert answer.status_code == 200, answer.text
    asked.job = answer.json()["task_id"]
    return asked.job


def _submit_until(scene: Scene, asked: list[Asked], stop: threading.Event) -> None:
    """One client, until its server dies."""
    with scene.server.client() as client:
        while not stop.wait(scene.chance.uniform(0.2, 0.8) * scene.usual):
            each = Asked(key=uuid.uuid4().hex, seed=scene.chance.choice(SEEDS))
            asked.append(each)
            try:
                _submit(client, each)
            except httpx2.HTTPError:
                return


def _state(client: httpx2.Client, asked: Asked) -> str:
    return str(client.get(f"/api/v1/queue/{asked.job}").json()["state"])


def _ended(client: httpx2.Client, job: str) -> Any:
    """The job, once it has ended. None: there is none, or it does not end."""
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        answer = client.get(f"/api/v1/queue/{job}")
        if answer.status_code == 404:
            return None
        if answer.json()["state"] not in ("queued", "held", "running"):
            return answer.json()
        time.sleep(0.1)
    return None


def _seconds_until_gone(pids: Sequence[int]) -> float:
    """Kills what is left after a while, so that the next trial does not find it."""
    began = time.monotonic()
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() - began < 4 * ORPHAN_SECONDS:
        time.sleep(0.02)
    took = time.monotonic() - began
    for pid in pids:
        kill(pid)
    return took


def _mp4s(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.mp4")}


def _parts(folder: Path) -> Iterator[Path]:
    yield from folder.glob("*.part")
    yield from folder.glob(".*.part")
