"""/ws: a snapshot, what was missed, what happens."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.server.serving import Serving, no_workers, serving
from wanvideo.server.events import replay
from wanvideo.server.events.hub import FRAMES
from wanvideo.server.events.replay import OUT_OF_ORDER
from wanvideo.server.events.socket import COMMANDS


@contextmanager
def talking(server: Serving, query: str = "", **options: Any) -> Iterator[ClientConnection]:
    with connect(f"{server.url.replace('http', 'ws')}/ws{query}", proxy=None, **options) as socket:
        yield socket


def frame(socket: ClientConnection, kind: str) -> Any:
    """The next one of this kind."""
    while (found := json.loads(socket.recv(timeout=10)))["type"] != kind:
        pass
    assert isinstance(found["data"], dict)
    assert isinstance(found["seq"], int)
    return found


def test_who_connects_is_greeted_with_all_there_is(fresh: Serving) -> None:
    task = fresh.submit()["task_id"]
    with talking(fresh) as socket:
        assert frame(socket, "connection_established")["data"]["connection_id"]
        snapshot = frame(socket, "snapshot")["data"]
        assert snapshot["counts"]["queued"] == 1
        assert [each["id"] for each in snapshot["tasks"]] == [task]


def test_jobs_are_told_without_being_asked_for(fresh: Serving) -> None:
    with talking(fresh) as socket:
        frame(socket, "snapshot")
        task = fresh.submit()["task_id"]
        assert frame(socket, "task_update")["data"] == {
            "task_id": task, "status": "pending", "state": "queued", "progress": 0,
        }  # fmt: skip
        assert frame(socket, "queue_update")["data"]["task_id"] == task
        fresh.post(f"/api/v1/queue/{task}/cancel")
        ended = frame(socket, "task_update")["data"]
        assert (ended["status"], ended["message"]) == ("cancelled", "the job is cancelled")


def test_what_was_missed_is_told_again(fresh: Serving) -> None:
    with talking(fresh) as socket:
        last = frame(socket, "snapshot")["seq"]
    task = fresh.submit()["task_id"]
    fresh.post(f"/api/v1/queue/{task}/cancel")
    with talking(fresh, f"?since={last}") as socket:
        assert frame(socket, "connection_established")["data"]["replayed"] is True
        assert frame(socket, "task_update")["data"]["status"] == "cancelled"
    with talking(fresh, f"?since={last + 10**12}") as socket:
        assert frame(socket, "connection_established")["data"]["replayed"] is False


def test_what_was_missed_is_told_after_a_restart_of_the_server(tmp_path: Path) -> None:
    with serving(tmp_path, workers=no_workers) as server:
        old = [server.submit()["task_id"] for _ in range(OUT_OF_ORDER + 1)]
        with talking(server) as socket:
            before = frame(socket, "snapshot")["seq"]
        new, gone = server.submit()["task_id"], server.submit()["task_id"]
    with serving(tmp_path, workers=no_workers) as server:
        server.post(f"/api/v1/queue/{new}/cancel")
        server.post(f"/api/v1/queue/{gone}/cancel")
        assert server.client.delete(f"/api/v1/queue/{gone}").status_code == 200
        with talking(server) as socket:
            now = frame(socket, "snapshot")["seq"]
        with talking(server, f"?since={before}") as socket:
            assert frame(socket, "connection_established")["data"]["replayed"] is True
            frame(socket, "snapshot")
            told: list[Any] = []
            while not told or told[-1]["seq"] < now - FRAMES:
                told.append(json.loads(socket.recv(timeout=10)))
    tasks = {each["data"]["task_id"]: each for each in told}
    assert tasks[new]["data"]["message"] == "the job is cancelled"
    assert tasks[gone]["type"] == "task_deleted"
    assert old[0] not in tasks
    assert [each["seq"] for each in told] == sorted(each["seq"] for each in told)
    assert before < tasks[new]["seq"] < tasks[gone]["seq"] <= now


def test_who_was_away_for_too_long_gets_a_snapshot_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "MOST", 3)
    with serving(tmp_path, workers=no_workers) as server:
        for _ in range(4):
            server.submit()
    with serving(tmp_path, workers=no_workers) as server, talking(server, "?since=0") as socket:
        assert frame(socket, "connection_established")["data"]["replayed"] is False


def test_topics_are_subscribed_to(idle: Serving) -> None:
    with talking(idle) as socket:
        frame(socket, "snapshot")
        socket.send(json.dumps({"type": "subscribe", "data": {"topic": "system_stats"}}))
        assert frame(socket, "subscription_response")["data"]["subscribed"] is True
        stats = frame(socket, "system_stats_update")["data"]
        assert stats["ram_total_gb"] > 0
        socket.send(json.dumps({"type": "subscribe", "data": {"topic": "secrets"}}))
        assert frame(socket, "subscription_response")["data"]["subscribed"] is False
        socket.send(json.dumps({"type": "ping"}))
        assert frame(socket, "pong")["data"]["timestamp"]
        socket.send(json.dumps({"type": "get_status"}))
        assert frame(socket, "status_response")["data"]["subscriptions"]["system_stats"] is True
        assert idle.get("/api/v1/ws/stats")["active_connections"] == 1


@pytest.mark.parametrize("text", ["", "nope", "[]", '{"type": "rm"}', '{"type": "subscribe", "data": 3}'])
def test_what_is_not_understood_is_said(idle: Serving, text: str) -> None:
    with talking(idle) as socket:
        frame(socket, "snapshot")
        socket.send(text)
        assert "not understood" in frame(socket, "error")["data"]["message"]


def test_a_client_that_talks_too_much_is_sent_away(idle: Serving) -> None:
    with talking(idle) as socket:
        for _ in range(COMMANDS + 1):
            socket.send('{"type": "ping"}')
        with pytest.raises(ConnectionClosedError, match="1008"):
            list(socket)


def test_pages_of_others_are_not_let_in(idle: Serving) -> None:
    with pytest.raises(InvalidStatus) as caught, talking(idle, origin="http://evil.example"):
        pass
    assert caught.value.response.status_code == 403
    with talking(idle, origin=idle.url) as socket:
        frame(socket, "connection_established")


def test_one_job_is_followed_as_server_sent_events(fresh: Serving) -> None:
    task = fresh.submit()["task_id"]
    with fresh.client.stream("GET", f"/api/v1/queue/{task}/stream") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert next(line for line in lines if line.startswith("event:")) == "event: submitted"
        fresh.post(f"/api/v1/queue/{task}/cancel")
        events = [line.removeprefix("event: ") for line in lines if line.startswith("event:")]
    assert events[-2:] == ["cancelled", "task"]  # and the stream ends
    headers = {"Last-Event-ID": "1"}
    with fresh.client.stream("GET", f"/api/v1/queue/{task}/stream", headers=headers) as answer:
        assert "event: submitted" not in "".join(answer.iter_lines())
