"""A worker for each device; here with two of them on one CPU."""

from pathlib import Path

import pytest

from tests.server.serving import serving
from wanvideo.errors import InvalidRequest
from wanvideo.server.workers import devices_of


def test_two_workers_make_two_videos_at_the_same_time(tmp_path: Path) -> None:
    with serving(tmp_path, device="cpu,cpu") as server:
        tasks = server.submit(steps=30, count=2)["task_ids"]
        for task in tasks:
            server.until(task, "processing")
        views = server.parts.supervisor.workers()
        assert [view.name for view in views] == ["cpu", "cpu-2"]
        assert {view.job for view in views} == set(tasks)
        assert len(set(server.parts.worker_pids())) == 2
        made = [server.until(task, "completed", "failed", seconds=120) for task in tasks]
        assert [(each["status"], each["attempt"]) for each in made] == 2 * [("completed", 1)]


def test_devices_are_named_as_pytorch_names_them() -> None:
    assert devices_of("cuda:0, cuda:2") == ["cuda:0", "cuda:2"]
    with pytest.raises(InvalidRequest, match="'tpu'"):
        devices_of("cpu,tpu")
