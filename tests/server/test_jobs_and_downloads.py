"""Jobs whose model has to come first, with a real downloader and a hub on this computer."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.hub.loopback import LoopbackHub
from tests.hub.scene import SMALL_5B, SMALL_5B_REPO, SMALL_5B_VARIANT
from tests.server.serving import Serving, serving
from wanvideo.server.downloads import DownloadState
from wanvideo.server.preparing import Preparing
from wanvideo.weights.download.hub import Hub

MODEL = "ti2v-5B"


@pytest.fixture
def server(tmp_path: Path, loopback: LoopbackHub) -> Iterator[Serving]:
    loopback.add(SMALL_5B_REPO, SMALL_5B)
    loopback.bytes_per_second = 20_000
    with serving(tmp_path, demo=False, device="cpu", hubs=(Hub(endpoint=loopback.endpoint),)) as server:
        yield server


def waiting_job(server: Serving) -> str:
    """One that waits for its model."""
    body = {"model_type": MODEL, "prompt": "a circle", "force": True, "variant": SMALL_5B_VARIANT}
    task: str = server.post("/api/v1/generation/submit", body)["task_id"]
    until(lambda: server.parts.downloads.list() != () and state(server) is DownloadState.DOWNLOADING)
    until(lambda: server.parts.downloads.known(MODEL).done_bytes > 0)
    until(lambda: server.get(f"/api/v1/queue/{task}").get("phase") == "download")
    return task


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def state(server: Serving) -> DownloadState:
    return server.parts.downloads.known(MODEL).state


def cancel(server: Serving, task: str) -> None:
    server.post(f"/api/v1/queue/{task}/cancel")
    server.until(task, "cancelled")


def test_a_download_ends_with_the_last_job_that_wants_it(server: Serving) -> None:
    first, second = waiting_job(server), waiting_job(server)
    cancel(server, first)
    assert not state(server).over
    cancel(server, second)
    assert state(server) is DownloadState.CANCELLED


def test_what_a_user_wanted_too_goes_on(server: Serving) -> None:
    task = waiting_job(server)
    server.post("/api/v1/models/download", {"model_type": MODEL, "variant": SMALL_5B_VARIANT})
    cancel(server, task)
    assert not state(server).over


def test_jobs_run_while_a_model_is_on_its_way(server: Serving) -> None:
    task = waiting_job(server)
    other = server.submit(model_type="t2v-A14B-demo")["task_id"]
    assert server.until(other, "completed", "failed")["status"] == "completed"
    waits = server.get(f"/api/v1/queue/{task}")
    assert waits.get("phase") == "download", waits


def test_an_attempt_that_was_given_up_takes_nothing_from_the_next_one(server: Serving) -> None:
    job = server.parts.queue.get(waiting_job(server))
    parts, ends = server.parts, []
    preparing = Preparing(parts.catalog, parts.downloads, parts.node.loras)
    give_up = preparing.prepare(job, lambda *_: None, lambda _: ends.append(job.attempt))
    again = replace(job, attempt=job.attempt + 1)
    preparing.prepare(again, lambda *_: None, lambda _: ends.append(again.attempt))
    give_up(False)
    assert not state(server).over
    preparing.changed(replace(server.parts.downloads.known(MODEL), state=DownloadState.CANCELLED))
    assert ends == [again.attempt]
