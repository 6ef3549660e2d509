"""Several machines on one computer: processes that share a PostgreSQL and a storage, each with a folder of its own.

Servers answer behind one address and have no workers; nodes are `wan worker join`. A machine that loses its power is
one whose processes are all killed.
"""

import hashlib
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import av
import httpx2
import psutil

from benchmarks.reliability.record import Row, none_of, percentile
from benchmarks.reliability.server import SMALL, NotReady, environment, kill
from tests.postgres import MISSING, Postgres, programs
from tests.postgres import running as postgres_running
from tests.proxy import balanced
from wanvideo.jobs.storage import storage_of

WAN: Final = (sys.executable, "-c", "import sys; from wanvideo.cli.main import main; sys.exit(main())")
NAME: Final = "video.test"  # of the one address
LEASE_SECONDS: Final = 3
SEEDS: Final = (1, 2, 3)
SHORT, LONG = 2, 24  # steps; the long ones keep their state more than once
PATIENCE: Final = 240.0  # seconds for jobs to end
READY_SECONDS: Final = 90.0
COUNTED: Final = ("jobs", "lost", "duplicated", "half_files", "different", "went_on", "repeated")


@dataclass(slots=True, kw_only=True)
class Machine:
    """A process of ours, and all that it has started."""

    folder: Path
    command: tuple[str, ...]
    environment: Mapping[str, str]
    process: "subprocess.Popen[bytes] | None" = None
    said: Mapping[str, Any] = field(default_factory=dict)  # when it was ready

    @property
    def node(self) -> str:
        """By which the database knows it."""
        return (self.folder / "node").read_text("utf-8").strip()

    def start(self) -> None:
        """Returns before it is ready."""
        self.said = {}
        out = self.folder.with_suffix(".out")
        out.unlink(missing_ok=True)
        with out.open("wb") as said, self.folder.with_suffix(".log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=dict(self.environment), stdout=said, stderr=log, start_new_session=True
            )

    def until_ready(self) -> None:
        """Raises NotReady."""
        ends = time.monotonic() + READY_SECONDS
        out = self.folder.with_suffix(".out")
        while time.monotonic() < ends and self.process is not None and self.process.poll() is None:
            line, newline, _ = out.read_text("utf-8").partition("\n")
            if newline:
                self.said = json.loads(line)
                return
            time.sleep(0.05)
        said = self.folder.with_suffix(".log").read_text("utf-8", "replace")
        raise NotReady(f"{self.folder.name} did not start: {said[-2000:]}")

    def family(self) -> list[int]:
        if self.process is None:
            return []
        try:
            return [self.process.pid, *(each.pid for each in psutil.Process(self.process.pid).children(recursive=True))]
        except psutil.NoSuchProcess:
            return [self.process.pid]

    def lose_power(self) -> None:
        for pid in self.family():
            kill(pid)
        if self.process is not None:
            self.process.wait()
            self.process = None

    def workers(self) -> list[int]:
        """Process ids of those that make videos."""
        return [pid for pid in self.family() if _is_worker(pid)]


@dataclass(slots=True, kw_only=True)
class Asked:
    """One submit of a client; its key makes a second one the same."""

    seed: int
    steps: int
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    job: str = ""

    @property
    def body(self) -> dict[str, Any]:
        return {**SMALL, "seed": self.seed, "steps": self.steps}


@dataclass(slots=True, kw_only=True)
class Scene:
    """All machines, and how the videos ought to be."""

    postgres: Postgres
    storage: str
    chance: random.Random
    servers: list[Machine]
    nodes: list[Machine]
    client: httpx2.Client
    right: dict[tuple[int, int], str] = field(default_factory=dict)  # digest of the pictures, by seed and steps
    usual: float = 1.0  # seconds of a long job
    made: int = 0  # videos that there ought to be

    def machine_of(self, job: str) -> Machine:
        """Where a job is made now, or was made last."""
        workers = [each["data"]["worker"] for each in self.events(job) if each["type"] == "started"]
        found = [node for node in self.nodes if workers and workers[-1].startswith(f"{node.node}/")]
        return found[0] if found else self.chance.choice(self.nodes)

    def events(self, job: str) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = self.ask("GET", f"/api/v1/queue/{job}/events?limit=500")["events"]
        return found

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """What one of the servers answers. A client whose connection is cut, or that is told to come back, does."""
        ends = time.monotonic() + PATIENCE
        while True:
            try:
                answer = self.client.request(method, path, **more)
            except httpx2.TransportError as error:
                said = str(error)
            else:
                if answer.status_code == 200:
                    return answer.json() if "json" in answer.headers["content-type"] else answer.content
                said = f"{answer.status_code} {answer.text[:300]}"
                if answer.status_code < 500:
                    raise NotReady(said)
            if time.monotonic() > ends:
                raise NotReady(f"nobody answers {method} {path}: {said}")
            time.sleep(0.2)

    def submit(self, asked: Asked) -> str:
        headers = {"Idempotency-Key": asked.key}
        said = self.ask("POST", "/api/v1/generation/submit", json=asked.body, headers=headers)
        return str(said["task_id"])

    def submit_some(self) -> list[Asked]:
        """One long job first, and a few short ones."""
        some = [Asked(seed=self.chance.choice(SEEDS), steps=steps) for steps in (LONG, SHORT, SHORT)]
        for each in some:
            each.job = self.submit(each)
        return some

    def until_started(self, job: str) -> None:
        self._until(job, lambda found: found["state"] != "queued")

    def ended(self, job: str) -> Any:
        return self._until(job, lambda found: found["state"] not in ("queued", "held", "running"))

    def _until(self, job: str, enough: Callable[[Any], bool]) -> Any:
        ends = time.monotonic() + PATIENCE
        while not enough(found := self.ask("GET", f"/api/v1/queue/{job}")):
            if time.monotonic() > ends:
                return found
            time.sleep(0.1)
        return found


def checked(scene: Scene, asked: Sequence[Asked]) -> dict[str, Any]:
    """What became of the jobs, once all have ended; the clients repeat their submits first."""
    found: dict[str, Any] = dict.fromkeys(COUNTED, 0) | {"jobs": len(asked)}
    began = time.monotonic()
    for each in asked:
        found["duplicated"] += scene.submit(each) != each.job
    for each in asked:
        job = scene.ended(each.job)
        if job["state"] != "succeeded":
            found["lost"] += 1
            found.setdefault("why", []).append(job.get("failure") or job["state"])
            continue
        events = scene.events(each.job)
        found["duplicated"] += [event["type"] for event in events].count("succeeded") - 1
        again = list(repeated(events))
        found["went_on"] += len(again)
        found["repeated"] = max([found["repeated"], *again])
        video = scene.ask("GET", f"/api/v1/outputs/{each.job}/download")
        whole = hashlib.sha256(video).hexdigest() == job["result"]["sha256"]
        found["half_files"] += not whole
        found["different"] += whole and pictures(video) != scene.right[each.seed, each.steps]
    scene.made += len(asked) - found["lost"]
    there = sum(stored.name.endswith(".mp4") for stored in storage_of(scene.storage).list("outputs/"))
    found["duplicated"] += abs(there - scene.made)
    scene.made = there  # what is counted once is not counted again
    return {**found, "seconds": round(time.monotonic() - began, 2)}


def repeated(events: Sequence[Mapping[str, Any]]) -> Iterator[int]:
    """States that were kept and had to be made again, for each time that an attempt did not end the job."""
    kept: set[int] = set()
    begins = False
    for event in events:
        if event["type"] == "started" and event["data"]["attempt"] > 1:
            begins = True
        elif event["type"] == "resumed":
            yield sum(step > event["data"]["step"] for step in kept)
            begins = False
        elif event["type"] == "checkpoint":
            if begins:  # it began anew
                yield len(kept)
                begins = False
            kept.add(event["data"]["step"])


def rows_of(lines: Sequence[Mapping[str, Any]]) -> list[Row]:
    """What all proofs with several machines count."""
    jobs = sum(line["jobs"] for line in lines)
    went_on = sum(line["went_on"] for line in lines)
    most = max(line["repeated"] for line in lines)
    return [
        none_of("jobs lost", sum(line["lost"] for line in lines), jobs),
        none_of("jobs duplicated", sum(line["duplicated"] for line in lines), jobs),
        none_of("half files", sum(line["half_files"] for line in lines), jobs),
        none_of("videos with other bits", sum(line["different"] for line in lines), jobs),
        Row("attempts that others went on from", str(went_on)),
        Row("checkpoints that were made again, at most", str(most), "≤ 1", most <= 1),
        Row(
            "until all jobs were done, p50 and p99",
            f"{percentile([line['seconds'] for line in lines], 50):.1f} and "
            f"{percentile([line['seconds'] for line in lines], 99):.1f} s",
        ),
    ]  # fmt: skip


def pictures(video: bytes) -> str:
    """A digest of the coded pictures; what else is in the file may differ."""
    digest = hashlib.sha256()
    with av.open(io.BytesIO(video), mode="r") as container:
        for packet in container.demux(video=0):
            digest.update(bytes(packet))
    return digest.hexdigest()


@contextmanager
def postgres(host: str = "127.0.0.1") -> Iterator[Postgres]:
    """host: an address of this computer. Raises NotReady."""
    where = programs()
    if where is None:
        raise NotReady(MISSING)
    with postgres_running(where, host) as server:
        yield server


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How the machines of a scene are started."""

    root: Path
    postgres: Postgres
    database: str
    storage: str
    more: Mapping[str, str] = field(default_factory=dict)  # in the environment of all

    @property
    def environment(self) -> dict[str, str]:
        return environment(self.root) | {
            "WANVIDEO_DATABASE": self.database, "WANVIDEO_LEASE_SECONDS": str(LEASE_SECONDS),
            "WANVIDEO_ALLOWED_HOSTS": NAME, "WANVIDEO_DEVICE": "cpu", "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **self.more,
        }  # fmt: skip

    def server(self, name: str, *options: str, **environment: str) -> Machine:
        folder = self.root / name
        command = (
            *WAN, "serve", "--demo", "--port", "0", "--data-dir", str(folder), "--storage", self.storage, *options,
            "--json",
        )  # fmt: skip
        return Machine(
            folder=folder, command=command, environment=self.environment | {"WANVIDEO_DEVICE": "none"} | environment
        )

    def node(self, name: str, *prefix: str) -> Machine:
        """prefix: a command that runs it."""
        folder = self.root / name
        command = (*prefix, *WAN, "worker", "join", "--data-dir", str(folder), "--json")
        return Machine(folder=folder, command=command, environment=self.environment)


@contextmanager
def scene(plan: Plan, servers: Sequence[Machine], nodes: Sequence[Machine], chance: int) -> Iterator[Scene]:
    """All are ready, every kind of job was made once, and nothing of them is left afterwards."""
    with ExitStack() as closing:
        for machine in servers:
            closing.callback(machine.lose_power)
            machine.start()
            machine.until_ready()
        for machine in nodes:
            closing.callback(machine.lose_power)
            machine.start()
        for machine in nodes:
            machine.until_ready()
        port = closing.enter_context(balanced(lambda: [each.said["port"] for each in servers if each.said]))
        client = closing.enter_context(
            httpx2.Client(
                base_url=f"http://127.0.0.1:{port}", timeout=15, headers={"Host": NAME, "Connection": "close"}
            )
        )
        found = Scene(
            postgres=plan.postgres, storage=plan.storage, chance=random.Random(chance), servers=list(servers),
            nodes=list(nodes), client=client,
        )  # fmt: skip
        _undisturbed(found)
        yield found


def _undisturbed(scene: Scene) -> None:
    for seed in SEEDS:
        for steps in (SHORT, LONG):
            asked = Asked(seed=seed, steps=steps)
            job = scene.ended(scene.submit(asked))
            if job["state"] != "succeeded":
                raise NotReady(f"a job failed with nothing in its way: {job}")
            scene.right[seed, steps] = pictures(scene.ask("GET", f"/api/v1/outputs/{job['id']}/download"))
            scene.usual = sum(job["result"]["phases"].values())
    scene.made = len(scene.right)


@contextmanager
def planned() -> Iterator[Plan]:
    """A PostgreSQL of its own and a shared folder."""
    with tempfile.TemporaryDirectory(prefix="wan-machines-") as folder, postgres() as server:
        root = Path(folder)
        (root / "shared").mkdir()
        yield Plan(root=root, postgres=server, database=server.create("wan"), storage=str(root / "shared"))


def _is_worker(pid: int) -> bool:
    try:
        return "wanvideo.worker" in psutil.Process(pid).cmdline()
    except psutil.Error:
        return False
