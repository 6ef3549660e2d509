"""Following jobs and fetching their videos, over connections that break."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import httpx2
import pytest

from tests.client.breaking import Breaking
from tests.client.conftest import QUICK
from tests.server.serving import Serving, serving
from wanvideo import GenerationRequest
from wanvideo.client import (
    AsyncClient,
    Client,
    Conflict,
    DownloadDamaged,
    Job,
    JobEvent,
    NotFound,
    NotInTime,
    Options,
    Result,
    State,
    Unreachable,
)
from wanvideo.client.arriving import part_of
from wanvideo.client.watching import Watched
from wanvideo.errors import JobConflict, JobNotFound, OutputNotWritable

CIRCLE = GenerationRequest(prompt="a small red circle moves left", steps=4, frames=5)
DEMO = Options(model="T2V-A14B")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("watching")) as server:
        yield server


@pytest.fixture(scope="module")
def made(server: Serving) -> Job:
    with Client(server.url) as client:
        return client.wait(client.submit(CIRCLE, DEMO).job.id, timeout=120)


def result_of(job: Job) -> Result:
    assert job.result is not None
    return job.result


def test_a_job_is_followed_over_connections_that_break(
    server: Serving, breaking: Callable[..., Breaking], made: Job
) -> None:
    way = breaking(server.url, 100_000, 0, 700, 2000, 3000, 5000)
    with Client(way.url, patience=QUICK) as client:
        job = client.submit(CIRCLE, DEMO).job.id
        client.close()
    with Client(way.url, patience=QUICK) as client:
        said = list(client.watch(job))
    events = [each for each in said if isinstance(each, JobEvent)]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert {"submitted", "started", "succeeded"} <= {event.type for event in events}
    last = said[-1]
    assert isinstance(last, Job)
    assert last.state is State.SUCCEEDED
    assert way.connections >= 6


def test_watching_begins_where_one_left_it(server: Serving, made: Job) -> None:
    with Client(server.url) as client:
        known = client.events(made.id)
        (last, job) = client.watch(made.id, since=known[-2].seq)
    assert last == known[-1]
    assert job == made


def test_waiting_has_an_end(fresh: Serving, client: Client) -> None:
    job = client.submit(CIRCLE, DEMO).job.id
    with pytest.raises(NotInTime, match="goes on"):
        client.wait(job, timeout=0.3)
    with pytest.raises(JobConflict, match="no video yet"):
        client.download(job, "never.mp4")


def test_a_job_that_is_deleted_is_not_waited_for(fresh: Serving, client: Client) -> None:
    job = client.submit(CIRCLE, DEMO).job.id
    fresh.parts.queue.cancel(job)
    fresh.parts.queue.delete(job)
    with pytest.raises(NotFound):
        client.wait(job)
    with pytest.raises(JobNotFound, match="while it was watched"):
        Watched(job).hear(httpx2.ServerSentEvent(event="deleted", data="{}"))


def test_a_server_that_went_away_is_not_waited_for_without_end(
    fresh: Serving, breaking: Callable[..., Breaking]
) -> None:
    job = fresh.submit()["task_id"]
    way = breaking(fresh.url, *[0] * 20)
    with Client(way.url, patience=QUICK) as client, pytest.raises(Unreachable):
        list(client.watch(job))
    assert way.connections == QUICK.reconnects + 1


def test_what_happens_is_told_and_missed_frames_are_made_up(fresh: Serving, breaking: Callable[..., Breaking]) -> None:
    way = breaking(fresh.url, 1200)
    with Client(way.url, patience=QUICK) as client:
        told = client.frames(["system_stats"])
        assert [frame.type for frame in islice(told, 2)] == ["connection_established", "snapshot"]
        jobs = [fresh.submit()["task_id"] for _ in range(12)]
        for job in jobs:
            fresh.parts.queue.cancel(job)
        ends = (frame.data["task_id"] for frame in told if frame.data.get("status") == "cancelled")
        assert list(islice(ends, len(jobs))) == jobs
        told.close()
    assert way.connections >= 2


def test_a_video_comes_whole_over_a_way_that_breaks(
    server: Serving, made: Job, breaking: Callable[..., Breaking], tmp_path: Path
) -> None:
    size = result_of(made).bytes
    way = breaking(server.url, 0, size // 3, size // 3, size // 2)
    with Client(way.url, patience=QUICK) as client:
        path = client.download(made, tmp_path / "x.mp4")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == result_of(made).sha256
    assert way.connections >= 4
    assert way.received < size + 4 * 1000, "what had come was fetched again"
    assert [each.name for each in tmp_path.iterdir() if each.suffix in (".mp4", ".part")] == ["x.mp4"]


def test_what_an_earlier_call_left_is_used_or_thrown_away(server: Serving, made: Job, tmp_path: Path) -> None:
    with Client(server.url) as client:
        content = client.download(made.id, tmp_path / "whole.mp4").read_bytes()
        for number, left in enumerate((content[:4000], content, b"x" * 4000, content + b"x", b"x" * len(content))):
            path = tmp_path / f"{number}.mp4"
            part_of(made.id, path).write_bytes(left)
            assert client.download(made.id, path).read_bytes() == content


def test_damaged_videos_are_no_videos(server: Serving, made: Job, tmp_path: Path) -> None:
    stored = server.parts.folder.outputs / (made.output_path or "")
    content = stored.read_bytes()
    try:
        stored.write_bytes(content[:-1] + b"x")
        with Client(server.url) as client, pytest.raises(DownloadDamaged):
            client.download(made.id, tmp_path / "x.mp4")
    finally:
        stored.write_bytes(content)
    assert not list(tmp_path.glob("*x.mp4*"))


def test_a_place_that_cannot_be_written_is_named(server: Serving, made: Job, tmp_path: Path) -> None:
    with Client(server.url) as client, pytest.raises(OutputNotWritable, match=r"x\.mp4"):
        client.download(made.id, tmp_path / "no" / "x.mp4")


def test_the_asynchronous_client_does_the_same(
    server: Serving, breaking: Callable[..., Breaking], tmp_path: Path
) -> None:
    async def make() -> tuple[Job, Path]:
        way = breaking(server.url, 0, 3000, 2000)
        async with AsyncClient(way.url, patience=QUICK) as client:
            frames = client.frames()
            assert (await anext(frames)).type == "connection_established"
            await frames.aclose()
            made = await client.submit(CIRCLE, DEMO)
            job = await client.wait(made.job.id, timeout=120)
            assert job.id in [each.id async for each in client.jobs()]
            with pytest.raises(Conflict):
                await client.retry(job.id)
            return job, await client.download(job, tmp_path / "x.mp4")

    job, path = asyncio.run(make())
    assert hashlib.sha256(path.read_bytes()).hexdigest() == result_of(job).sha256
