"""Servers, workers and the database die at random, and every job is made once.

With `--log-cli-level=INFO` it shows the figures.
"""

import logging
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx2
import pytest

from tests.machines import NAME, Cluster
from tests.postgres import Postgres
from tests.proxy import balanced

log = logging.getLogger(__name__)
SECONDS = float(os.environ.get("MACHINES_SECONDS", "120"))  # in which something dies
JOBS = 12  # at first; as long as something dies, as many wait


class Machines:
    """Processes by name, each started again after it was killed."""

    def __init__(self, cluster: Cluster, running: ExitStack) -> None:
        self.cluster, self.running = cluster, running
        self.ports: dict[str, int] = {}
        self.processes: dict[str, subprocess.Popen[str]] = {}

    def start(self, name: str) -> None:
        make = self.cluster.server if name.startswith("server") else self.cluster.worker
        process, said = self.running.enter_context(make(name))
        self.processes[name] = process
        if said is not None and "port" in said:
            self.ports[name] = said["port"]

    def kill(self, name: str) -> None:
        self.ports.pop(name, None)
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait()


@contextmanager
def machines(cluster: Cluster) -> Iterator[Machines]:
    with ExitStack() as running:
        found = Machines(cluster, running)
        for name in ("server-a", "server-b", "worker-a", "worker-b"):
            found.start(name)
        yield found


def asked(client: httpx2.Client, method: str, path: str, **body: Any) -> Any:
    """Until one of the servers answers: a client whose connection is cut asks again."""
    end = time.monotonic() + 60
    while True:
        try:
            answer = client.request(method, path, **body)
            if answer.status_code == 200:
                return answer.json()
            assert answer.status_code in (500, 503), answer.text  # the database is away
        except httpx2.TransportError:
            pass
        assert time.monotonic() < end
        time.sleep(0.3)


def repeated(events: list[Mapping[str, Any]]) -> Iterator[int]:
    """Checkpoints that were made again, for each time that a job went on."""
    kept: list[int] = []
    for event in events:
        if event["type"] == "checkpoint":
            kept.append(event["data"]["step"])
        elif event["type"] == "resumed":
            yield sum(step > event["data"]["step"] for step in set(kept))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_whatever_dies_every_job_is_made_once(cluster: Cluster, postgres: Postgres) -> None:
    dice, deaths = random.Random(7), Counter[str]()
    with machines(cluster) as there, balanced(lambda: sorted(there.ports.values())) as port:
        one_address = f"http://127.0.0.1:{port}"
        with httpx2.Client(base_url=one_address, timeout=15, headers={"Connection": "close", "Host": NAME}) as client:
            body = {"model_type": "T2V-A14B", "prompt": "a small red circle moves left", "frames": 5, "steps": 100}
            tasks: list[str] = []

            def one_more() -> None:
                number = len(tasks)
                headers = {"Idempotency-Key": f"job-{number}"}
                said = asked(
                    client, "POST", "/api/v1/generation/submit", json={**body, "seed": number}, headers=headers
                )
                tasks.append(said["task_id"])

            for _ in range(JOBS):
                one_more()
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                time.sleep(dice.uniform(5, 15))
                while asked(client, "GET", "/api/v1/queue")["pending_tasks"] < JOBS:  # on a fast machine they end soon
                    one_more()
                name = dice.choice([*there.processes, "worker-a", "worker-b", "database"])
                deaths[name.partition("-")[0]] += 1
                if name == "database":
                    postgres.restart()
                else:
                    there.kill(name)
                    there.start(name)
            until = time.monotonic() + 500
            for task in tasks:
                while (found := asked(client, "GET", f"/api/v1/queue/{task}"))["status"] not in ("completed", "failed"):
                    assert time.monotonic() < until, found
                    time.sleep(0.5)
                if found["status"] == "failed":  # its machine died three times with it, which is a result and no loss
                    deaths["job"] += 1
                    asked(client, "POST", f"/api/v1/queue/{task}/retry", json={})
            for task in tasks:
                while (found := asked(client, "GET", f"/api/v1/queue/{task}"))["status"] != "completed":
                    assert time.monotonic() < until, found
                    time.sleep(0.5)
            lists = [asked(client, "GET", f"/api/v1/queue/{task}/events")["events"] for task in tasks]
            shown = {each["type"] for each in lists[0]}
            assert {"submitted", "started", "succeeded"} <= shown
            again = [count for events in lists for count in repeated(events)]
            log.info("%s died; %d jobs went on %d times", dict(deaths), len(tasks), len(again))
            log.info("of checkpoints, made again: %s", dict(Counter(again)))
            assert len(set(tasks)) == len(tasks)
            assert [[each["type"] for each in events].count("succeeded") for events in lists] == [1] * len(tasks)
            assert again, "nothing was killed while it had something to lose"
            assert max(again) <= 1
            assert asked(client, "GET", "/api/v1/outputs?limit=100")["total_count"] == len(tasks)
