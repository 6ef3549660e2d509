"""`wan worker join`: several processes with one PostgreSQL and one shared folder."""

import json
import signal
import subprocess
import time
from contextlib import ExitStack

import httpx2
import pytest

from tests.machines import WAN, Cluster, submit, until


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


def test_workers_of_other_machines_are_listed_with_what_they_do(cluster: Cluster) -> None:
    with ExitStack() as running:
        _, said = running.enter_context(cluster.server("server"))
        _, joined = running.enter_context(cluster.worker("first"))
        client = running.enter_context(httpx2.Client(base_url=said["url"], timeout=30))
        task = submit(client, steps=200)
        until(client, task, lambda task: task["status"] == "processing")
        where = {"WANVIDEO_URL": said["url"]}
        end = time.monotonic() + 20
        while "busy" not in (listed := run(cluster, "worker", "list", **where).stdout):
            assert time.monotonic() < end, listed
        assert f"worker {joined['node']} of version" in listed
        assert f"cpu busy with job {task[:8]}" in listed
        found = json.loads(run(cluster, "worker", "list", "--json", **where).stdout)
        assert (found["event"], found["id"], found["workers"][0]["task_id"]) == ("machine", joined["node"], task)


def run(cluster: Cluster, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    variables = cluster.environment | environment
    return subprocess.run([*WAN, *arguments], capture_output=True, text=True, env=variables, timeout=60)


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
