"""`wan serve --executor ray`: a real Ray cluster of two raylets on this computer, with GPUs that are only numbers."""

import os
import secrets
import signal
import subprocess
import time
from contextlib import ExitStack

import httpx2
import pytest

from tests.machines import WAN, Cluster, submit, until
from tests.raylets import RayCluster, ray_cluster
from wanvideo.server.cluster import groups


def environment(cluster: Cluster, **more: str) -> dict[str, str]:
    return cluster.environment | {"WANVIDEO_DATA_DIR": str(cluster.root / "ray"), **more}


def served(cluster: Cluster, ray: RayCluster) -> tuple[tuple[str, ...], dict[str, str]]:
    folders = ("--data-dir", str(cluster.root / "head"), "--storage", str(cluster.root / "shared"))
    return ("serve", "--demo", "--port", "0", "--executor", "ray", *folders), ray.environment


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_machine_an_actor_and_the_head_may_die(cluster: Cluster) -> None:
    with ExitStack() as running:
        ray = running.enter_context(ray_cluster(environment(cluster)))
        ray.start()
        command, variables = served(cluster, ray)
        _, said = running.enter_context(cluster.process(*command, **variables))
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
        ray = running.enter_context(ray_cluster(environment(cluster, WANVIDEO_DEVICE="cpu,cpu"), gpus=2))
        command, variables = served(cluster, ray)
        _, said = running.enter_context(cluster.process(*command, "--gpus-per-job", "2", **variables))
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
    variables = {name: value for name, value in cluster.environment.items() if not name.startswith("RAY_")}
    command = [*WAN, "serve", "--port", "0", "--executor", "ray", "--data-dir", str(cluster.root / "head")]
    found = subprocess.run(command, capture_output=True, text=True, env=variables, timeout=60)
    assert found.returncode == 2
    assert "RAY_AUTH_MODE=token" in found.stderr


@pytest.mark.long
def test_a_cluster_that_answers_strangers_is_refused(cluster: Cluster) -> None:
    with ray_cluster(environment(cluster), token=False) as ray:
        path = cluster.root / "token"
        path.write_text(secrets.token_hex(32))
        command, variables = served(cluster, ray)
        variables = variables | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(path)}
        found = subprocess.run([*WAN, *command], capture_output=True, text=True, env=variables, timeout=120)
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
