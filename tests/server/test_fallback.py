"""What stands in for a model that cannot make a video, and where that is said."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.faulty import faulty_family
from tests.server.serving import Serving, serving
from wanvideo.media.video import read_video


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with (
        faulty_family(tmp_path_factory.mktemp("site")),
        serving(tmp_path_factory.mktemp("fallback"), device="cpu", demo=False) as server,
    ):
        yield server


def made(server: Serving, prompt: str, **asked: Any) -> Any:
    """What becomes of a job of a model that fails as its prompt says."""
    task = server.submit(model_type="faulty-large", prompt=prompt, **asked)["task_id"]
    return server.until(task, "completed", "failed")


def announced(server: Serving, task: Any) -> list[tuple[str, str]]:
    """From what to what, by the events of a job."""
    events = server.get(f"/api/v1/queue/{task['id']}/events")["events"]
    return [(each["data"]["from"], each["data"]["to"]) for each in events if each["type"] == "fallback"]


@pytest.mark.parametrize(
    ("prompt", "policy", "model"),
    [
        ("large load planned", "auto", "faulty-small"),
        ("large load planned", "demo", "faulty-small"),
        ("any load planned", "demo", "t2v-A14B-demo"),
    ],
)
def test_what_stands_in_is_said_in_the_job_by_events_and_in_the_file(
    server: Serving, prompt: str, policy: str, model: str
) -> None:
    told: list[dict[str, Any]] = []
    with connect(f"{server.url.replace('http', 'ws')}/ws", proxy=None) as socket:
        socket.send(json.dumps({"type": "subscribe", "data": {"topic": "fallback_notifications"}}))
        task = made(server, prompt, fallback=policy)
        while not told or told[-1]["data"].get("status") != "completed":
            told.append(json.loads(socket.recv(timeout=30)))
    # the job
    assert (task["model"], task["replaces"]) == ("faulty-large", "faulty-large")
    changes = [each for each in task["adjustments"] if each["field"] == "model"]
    assert changes[0]["asked"] == "faulty-large"
    assert changes[-1]["used"].startswith(model)
    assert any(warning.startswith(f"made with {model}") for warning in task["warnings"])
    # events
    steps = announced(server, task)
    assert (steps[0][0], steps[-1][1]) == ("faulty-large", changes[-1]["used"])
    assert sum(frame["type"] == "fallback_strategy" for frame in told) == len(steps)
    # the file
    settings = read_video(server.parts.folder.outputs / task["output_path"]).settings
    assert settings is not None
    assert settings["params"]["model"] == model  # type: ignore[index]
    inside = [each for each in settings["adjustments"] if each["field"] == "model"]  # type: ignore[attr-defined]
    assert [each["used"] for each in inside] == [each["used"] for each in changes]


@pytest.mark.parametrize(("prompt", "policy"), [("large load planned", "off"), ("any load planned", "auto")])
def test_nothing_stands_in_that_may_not(server: Serving, prompt: str, policy: str) -> None:
    task = made(server, prompt, fallback=policy)
    assert (task["status"], task["failure"]["code"]) == ("failed", "VRAM_PREFLIGHT")
    assert task.get("replaces") is None
    last = announced(server, task)[-1:]
    assert last == ([] if policy == "off" else [("faulty-large (fp8)", "faulty-small (bf16)")])
