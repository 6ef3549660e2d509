"""Models that jobs lack, on the machines of `wan worker join`: real processes, and a hub on this computer."""

import signal
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.hub.loopback import LoopbackHub
from tests.hub.scene import SMALL_5B, SMALL_5B_REPO, SMALL_5B_VARIANT
from tests.machines import Cluster, submit, until

pytestmark = pytest.mark.slow


@pytest.fixture
def hub(loopback: LoopbackHub, tiny: Path) -> LoopbackHub:
    """It has a small checkpoint in the place of TI2V-5B."""
    model = tiny / "ti2v"
    there = {path.relative_to(model).as_posix(): path.read_bytes() for path in model.rglob("*") if path.is_file()}
    described = {path: data for path, data in SMALL_5B.items() if not path.endswith(".safetensors")}
    loopback.add(SMALL_5B_REPO, described | there)
    return loopback


def server(cluster: Cluster) -> Any:
    """Without workers, and with a cache that is as empty as the machines' are."""
    folders = ("--data-dir", str(cluster.root / "server"), "--storage", str(cluster.root / "shared"))
    return cluster.process(
        "serve", "--port", "0", *folders, WANVIDEO_DEVICE="none", HF_HOME=str(cluster.root / "hf-server")
    )


def node(cluster: Cluster, name: str, endpoint: str) -> Any:
    """A machine with a cache of its own."""
    here = {"HF_HOME": str(cluster.root / f"hf-{name}"), "HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0"}
    return cluster.process("worker", "join", "--data-dir", str(cluster.root / name), **here)


def lacking(client: httpx2.Client) -> str:
    """A job whose model no machine has."""
    return submit(client, model_type="ti2v-5B", variant=SMALL_5B_VARIANT, force=True)


def said_of(client: httpx2.Client, task: str, kind: str, what: str) -> list[str]:
    found = client.get(f"/api/v1/queue/{task}/events").json()["events"]
    return [str(each["data"][what]) for each in found if each["type"] == kind]


def until_fetched(client: httpx2.Client, task: str) -> None:
    until(client, task, lambda _: "its files are here" in said_of(client, task, "requeued", "reason"))


def test_what_arrived_on_a_machine_that_died_is_not_fetched_again(cluster: Cluster, hub: LoopbackHub) -> None:
    hub.bytes_per_second = 300_000
    total = hub.total_bytes(SMALL_5B_REPO)
    with ExitStack() as running:
        _, said = running.enter_context(server(cluster))
        client = running.enter_context(httpx2.Client(base_url=said["url"], timeout=30))
        first, _ = running.enter_context(node(cluster, "a", hub.endpoint))
        task = lacking(client)
        found = until(client, task, lambda task: (task.get("received_bytes") or 0) > total // 2)
        assert found["phase"] == "download"  # which a server shows that fetches nothing
        assert abs(found["total_bytes"] - total) < 10
        first.send_signal(signal.SIGKILL)
        first.wait()
        running.enter_context(node(cluster, "a", hub.endpoint))
        until_fetched(client, task)
    assert hub.sent_bytes < 1.1 * total


def test_a_machine_that_reaches_no_hub_leaves_the_job_to_one_that_does(cluster: Cluster, hub: LoopbackHub) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, ExitStack() as running:
        _, said = running.enter_context(server(cluster))
        client = running.enter_context(httpx2.Client(base_url=said["url"], timeout=30))
        _, cut = running.enter_context(node(cluster, "a", f"http://127.0.0.1:{silent.getsockname()[1]}"))
        task = lacking(client)
        until(client, task, lambda task: task.get("phase") == "download")
        _, other = running.enter_context(node(cluster, "b", hub.endpoint))
        until(client, task, lambda _: client.get("/api/v1/system/health").json()["workers"] == 2)
        silent.close()
        until_fetched(client, task)
        assert said_of(client, task, "requeued", "reason")[0].startswith(f"{socket.gethostname()}: ")
        begun = said_of(client, task, "started", "worker")
        assert begun[:2] == [f"{cut['node']}/downloader", f"{other['node']}/downloader"]
