"""`wan serve --executor ray`: a real Ray cluster of two raylets on this computer, with GPUs that are only numbers."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from tests.machines import WAN, Cluster, submit, until
from wanvideo.server.cluster import groups

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
def ray_cluster(cluster: Cluster, *, token: bool = True, gpus: int = 1, **more: str) -> Iterator[RayCluster]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = Path(tempfile.mkdtemp(prefix="wanray"))  # names of sockets are short
    (place / "token").write_text(secrets.token_hex(32))
    auth = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(place / "token")} if token else {}
    environment = cluster.environment | auth | more | {
        "RAY_AUTH_MODE": "token" if token else "disabled", "WANVIDEO_DATA_DIR": str(cluster.root / "ray"),
        "RAY_ADDRESS": f"127.0.0.1:{port}", "RAY_USAGE_STATS_ENABLED": "0",
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


def served(cluster: Cluster, ray: RayCluster) -> tuple[tuple[str, ...], dict[str, str]]:
    folders = ("--data-dir", str(cluster.root / "head"), "--storage", str(cluster.root / "shared"))
    return ("serve", "--demo", "--port", "0", "--executor", "ray", *folders), ray.environment


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_machine_an_actor_and_the_head_may_die(cluster: Cluster) -> None:
    with ExitStack() as running:
        ray = running.enter_context(ray_cluster(cluster))
        ray.start()
        command, environment = served(cluster, ray)
        _, said = running.enter_context(cluster.process(*command, **environment))
        client = running.enter_context(httpx2.Client(base_url=said["url"], timeout=30))
        nodes = _until_workers(client, 2)
        assert nodes
        tasks = [submit(client, steps=30, seed=number) for number in range(8)]
        until(client, tasks[0], lambda task: (task.get("step") or 0) > 5)
        actor = _actors(ray.raylets[0].pid)[0]
        os.kill(actor, signal.SIGKILL)  # Ray starts it again
        time.sleep(10)
        ray.kill(1)  # a machine that loses its power
        for task in tasks[:4]:
            until(client, task, lambda task: task["status"] == "completed", seconds=400)
        ray.start()
        for task in tasks:
            until(client, task, lambda task: task["status"] == "completed", seconds=400)
            events = [each["type"] for each in client.get(f"/api/v1/queue/{task}/events").json()["events"]]
            assert events.count("succeeded") == 1
        _until_workers(client, 2)
        assert len(list((cluster.root / "shared" / "outputs").iterdir())) == 8


@pytest.mark.long
@pytest.mark.timeout(300)
def test_gpus_of_a_machine_make_a_video_together(cluster: Cluster) -> None:
    with ExitStack() as running:
        ray = running.enter_context(ray_cluster(cluster, gpus=2, WANVIDEO_DEVICE="cpu,cpu"))
        command, environment = served(cluster, ray)
        _, said = running.enter_context(cluster.process(*command, "--gpus-per-job", "2", **environment))
        client = running.enter_context(httpx2.Client(base_url=said["url"], timeout=30))
        task = submit(client, steps=2)
        until(client, task, lambda found: found["status"] == "completed", seconds=200)
        nodes = client.get("/api/v1/system/nodes").json()["nodes"]
        workers = [worker["name"] for node in nodes if node["kind"] == "worker" for worker in node["workers"]]
        assert workers == ["cpu+cpu"]


def test_a_group_lives_on_one_machine() -> None:
    machines = [
        {"Alive": True, "Resources": {"GPU": 5.0}}, {"Alive": True, "Resources": {"GPU": 3.0}},
        {"Alive": False, "Resources": {"GPU": 8.0}}, {"Alive": True, "Resources": {"CPU": 2.0}},
    ]  # fmt: skip
    assert [groups(machines, gpus) for gpus in (1, 2, 4, 8)] == [8, 3, 1, 0]


def test_ray_without_its_token_is_refused(cluster: Cluster) -> None:
    environment = {name: value for name, value in cluster.environment.items() if not name.startswith("RAY_")}
    command = [*WAN, "serve", "--port", "0", "--executor", "ray", "--data-dir", str(cluster.root / "head")]
    found = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert found.returncode == 2
    assert "RAY_AUTH_MODE=token" in found.stderr


@pytest.mark.long
def test_a_cluster_that_answers_strangers_is_refused(cluster: Cluster) -> None:
    with ray_cluster(cluster, token=False) as ray:
        path = cluster.root / "token"
        path.write_text(secrets.token_hex(32))
        command, environment = served(cluster, ray)
        environment = environment | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(path)}
        found = subprocess.run([*WAN, *command], capture_output=True, text=True, env=environment, timeout=120)
    assert found.returncode in (1, 2)
    assert "answers without its token" in found.stderr


def _actors(raylet: int) -> list[int]:
    import psutil

    found = psutil.Process(raylet).children(recursive=True)
    return [each.pid for each in found if each.name().startswith("ray::RayGroup")]


def _until_workers(client: httpx2.Client, number: int, seconds: float = 90.0) -> int:
    end = time.monotonic() + seconds
    while (found := client.get("/api/v1/system/health").json()["workers"]) != number:
        assert time.monotonic() < end, found
        time.sleep(0.5)
    return int(found)
