"""/system/workers of a real server, by its client."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.server.serving import Serving
from wanvideo.client import Client

DEMO = "t2v-A14B-demo"
ADDRESS = "/api/v1/system/workers"


@pytest.fixture
def client(fresh: Serving) -> Iterator[Client]:
    with Client(fresh.url) as client:
        yield client


def until(enough: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not enough():
        assert time.monotonic() < end
        time.sleep(0.05)


def refusal(server: Serving, method: str, path: str, **body: object) -> tuple[int, str]:
    answer = server.client.request(method, f"{ADDRESS}{path}", json=body or None)
    return answer.status_code, answer.json()["message"]


def test_a_worker_is_added_makes_a_video_and_goes(fresh: Serving, client: Client) -> None:
    assert client.workers() == ()
    task = fresh.submit(steps=2, frames=5)["task_id"]
    worker = client.add_worker(["cpu"], models=["T2V-A14B"])
    assert (worker.name, worker.devices, worker.models) == ("cpu", ("cpu",), (DEMO,))  # what the type means here
    fresh.until(task, "completed")
    until(lambda: client.workers()[0].loaded == (DEMO,))
    ram = client.workers()[0].ram_mb
    assert ram is not None
    assert 100 < ram < 4000
    assert (client.workers()[0].state, client.workers()[0].restarts) == ("idle", 0)
    metrics = fresh.client.get("/metrics").text
    assert 'wanvideo_worker_ready{worker="cpu"} 1.0' in metrics
    assert client.add_worker(["cpu"]).name == "cpu-2"
    client.remove_worker("cpu")
    client.remove_worker("cpu-2", now=True)
    until(lambda: not client.workers())


def test_limits_hold_from_the_next_job_on_and_are_taken_away(fresh: Serving, client: Client) -> None:
    client.add_worker(["cpu"])
    limited = client.limit_worker("cpu", models=["i2v-A14B-demo", DEMO], memory_limit_gb=10)
    assert (limited.models, limited.memory_limit_gb) == (("i2v-A14B-demo", DEMO), 10)
    assert client.limit_worker("cpu").models == ()
    assert client.return_worker("cpu").out is None


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "", {"devices": ["cuda:7"]}, 422, "there is no device cuda:7: this computer has 0 GPUs"),
        ("POST", "", {"devices": ["tpu"]}, 422, "no device is called 'tpu'"),
        ("POST", "", {"devices": ["none"]}, 422, "a worker needs a device"),
        ("POST", "", {"devices": ["cpu"], "models": ["sora"]}, 422, "sora"),
        ("POST", "", {"devices": ["cpu"], "memory_limit_gb": 0.1}, 422, "memory_limit_gb"),
        ("PUT", "/cuda:0/limits", {"models": []}, 404, "there is no worker 'cuda:0' here, but none at all"),
        ("POST", "/cuda:0/return", {}, 404, "there is no worker"),
        ("DELETE", "/cuda:0", {}, 404, "there is no worker"),
    ],
)
def test_what_cannot_be_is_refused(
    idle: Serving, method: str, path: str, body: dict[str, object], status: int, said: str
) -> None:
    code, message = refusal(idle, method, path, **body)
    assert code == status
    assert said in message
