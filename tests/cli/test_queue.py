"""`wan queue`, against a live server."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Wan
from tests.server.serving import Serving, no_workers, serving

QUEUE = (sys.executable, "-c", "import sys; from wanvideo.cli.main import main; sys.exit(main())", "queue")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    """Without workers: jobs wait."""
    with serving(tmp_path, workers=no_workers) as server:
        monkeypatch.setenv("WANVIDEO_URL", server.url)
        yield server


def test_without_a_server_it_says_how_to_start_one(wan: Wan) -> None:
    ended = wan("queue")
    assert (ended.code, "wan serve" in ended.err) == (1, True)


def test_jobs_are_listed_in_the_order_in_which_they_run(server: Serving, wan: Wan) -> None:
    first, second, third = server.submit(count=3)["task_ids"]
    assert wan("queue", "move", third[:10], "first").code == 0
    assert wan("queue", "hold", first[:10]).code == 0
    lines = wan("queue", "list").out.splitlines()
    assert [line[:8] for line in lines] == [third[:8], second[:8], first[:8]]
    head, *jobs = wan("queue", "list", "--json").events
    assert (head["pending"], head["held"], head["paused"]) == (3, 1, False)
    assert [(job["id"], job["state"]) for job in jobs] == [(third, "queued"), (second, "queued"), (first, "held")]
    assert wan("queue", "release", first).code == 0
    assert wan("queue", "move", first, "before", third).out.startswith(f"{first[:8]}  waits, 1.")


def test_jobs_are_cancelled_tried_again_and_cleared(server: Serving, wan: Wan) -> None:
    one, two = server.submit(count=2)["task_ids"]
    assert wan("queue", "cancel", one, "zzzz").code == 1
    assert server.get(f"/api/v1/queue/{one}")["state"] == "queued", "a wrong name changes nothing"
    assert [event["job"]["state"] for event in wan("queue", "cancel", one, two, "--json").events] == ["cancelled"] * 2
    assert wan("queue", "retry", one).code == 0
    refused = wan("queue", "clear")
    assert (refused.code, "delete 1 job that ended, and 0 videos" in refused.err) == (2, True)
    assert wan("queue", "clear", "--yes", "--json").events == [{"event": "cleared", "removed": 1}]
    assert wan("queue", "list", "--status", "pending").out.startswith(one[:8])


def test_favourites_are_made_and_unmade(server: Serving, wan: Wan) -> None:
    one, two = server.submit(count=2)["task_ids"]
    (event,) = wan("queue", "favour", one[:8], "--json").events
    assert (event["job"], event["favourite"]) == (one, True)
    assert [task["id"] for task in server.get("/api/v1/queue", favourite=True)["tasks"]] == [one]
    assert wan("queue", "favour", one, two, "--off").code == 0
    assert server.get("/api/v1/queue", favourite=True)["tasks"] == []


def test_the_queue_is_paused_and_goes_on(server: Serving, wan: Wan) -> None:
    assert wan("queue", "pause", "--json").events == [{"event": "paused", "paused": True}]
    assert "paused" in wan("queue").err
    assert wan("queue", "resume").code == 0
    assert server.get("/api/v1/queue")["paused"] is False


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("move", "abc", "up"), "first"),
        (("move", "abc", "after"), "after OTHER"),
        (("list", "--status", "ready"), "pending"),
    ],
)
def test_what_cannot_be_meant_is_wrong_input(server: Serving, wan: Wan, arguments: tuple[str, ...], said: str) -> None:
    ended = wan("queue", *arguments)
    assert (ended.code, said in ended.err) == (2, True)


def test_one_job_is_watched_to_its_end(server: Serving, wan: Wan) -> None:
    job = server.submit()["task_id"]
    server.parts.queue.cancel(job)
    ended = wan("queue", "watch", job[:8])
    assert ended.code == 1
    assert ended.out.splitlines()[-1].split()[3] == "cancelled"


def test_in_a_pipe_changes_are_lines(server: Serving) -> None:
    job = server.submit()["task_id"]
    with watching() as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(job[:8])
        server.parts.queue.cancel(job)
        assert "cancelled" in process.stdout.readline()
        other = server.submit()["task_id"]
        assert process.stdout.readline().startswith(other[:8])
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


def test_as_json_every_frame_is_an_event(server: Serving) -> None:
    server.submit()
    with watching("--json") as process:
        assert process.stdout is not None
        events = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        process.wait(20)
    assert [event["event"] for event in events] == ["connection_established", "snapshot"]
    assert len(events[1]["tasks"]) == 1


def test_on_a_terminal_it_is_a_live_table(server: Serving) -> None:
    job = server.submit(prompt="a very visible prompt")["task_id"]
    ours, theirs = pty.openpty()
    process = subprocess.Popen((*QUEUE, "watch"), stdin=theirs, stdout=theirs, stderr=theirs, env=surroundings())
    os.close(theirs)
    try:
        shown = until_shown(ours, "a very visible prompt")
        assert job[:8] in shown
        server.parts.queue.cancel(job)
        until_shown(ours, "cancelled")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)
        os.close(ours)


def watching(*options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen((*QUEUE, "watch", *options), stdout=subprocess.PIPE, text=True, env=surroundings())


def surroundings() -> dict[str, str]:
    return {**os.environ, "TERM": "xterm", "COLUMNS": "140", "PYTHONUNBUFFERED": "1"}


def until_shown(terminal: int, text: str, seconds: float = 30.0) -> str:
    shown, end = "", time.monotonic() + seconds
    while text not in shown:
        assert time.monotonic() < end, shown
        if select.select([terminal], [], [], 0.2)[0]:
            shown += os.read(terminal, 65536).decode(errors="replace")
    return shown
