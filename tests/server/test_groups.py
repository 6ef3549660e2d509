"""Jobs that several devices make together: here, processes on the CPU that talk through gloo."""

import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.server.serving import Serving, serving
from wanvideo.errors import InvalidRequest
from wanvideo.jobs.job import JobEvent
from wanvideo.server.settings import Settings
from wanvideo.server.workers import groups_of

LONG = {"steps": 50, "frames": 9, "resolution": "128x128"}


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Two ranks make each video."""
    with serving(tmp_path_factory.mktemp("group"), device="cpu,cpu", gpus_per_job=2) as server:
        yield server


def ranks() -> list[psutil.Process]:
    found = psutil.Process().children(recursive=True)
    return [each for each in found if "wanvideo.pipelines.rank" in _command(each)]


def _command(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):  # it has just ended
        return [*process.cmdline()]
    return []


def events(server: Serving, task: str) -> list[JobEvent]:
    return list(server.parts.queue.events(task))


def kinds(server: Serving, task: str) -> list[str]:
    return [event.kind for event in events(server, task)]


def until(enough: Callable[[], Any], seconds: float = 60.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := enough()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def at_work(server: Serving) -> tuple[str, list[psutil.Process]]:
    """A long job, once some of it is kept, and the ranks that make it."""
    task = str(server.submit(**LONG)["task_id"])
    until(lambda: "checkpoint" in kinds(server, task))
    found = ranks()
    assert len(found) == 2
    return task, found


def check_goes_on(server: Serving, task: str, before: list[psutil.Process], within: float) -> None:
    """The group has ended soon, and another one makes the rest."""
    began = time.monotonic()
    requeued = until(lambda: [event for event in events(server, task) if event.kind == "requeued"], within)
    until(lambda: not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in before), 5)
    assert time.monotonic() - began < within
    assert "rank 1 of 2" in requeued[0].data["reason"]
    server.until(task, "completed")
    (resumed,) = [event for event in events(server, task) if event.kind == "resumed"]
    assert resumed.data["step"] > 0
    assert kinds(server, task).count("requeued") == 1


def test_two_devices_make_one_video(group: Serving) -> None:
    task = group.submit()["task_id"]
    found = group.until(task, "completed")
    (together,) = [event for event in events(group, task) if event.kind == "together"]
    assert together.data["devices"] == ["cpu", "cpu"]
    assert found["status"] == "completed"
    assert len(ranks()) == 2  # they stay for the next one


def test_a_rank_that_is_killed_costs_steps_and_not_the_job(group: Serving) -> None:
    task, found = at_work(group)
    os.kill(found[1].pid, signal.SIGKILL)
    check_goes_on(group, task, found, within=10)


@pytest.mark.long
def test_a_rank_without_memory_costs_steps_and_not_the_job(group: Serving) -> None:
    """It gets no more than it has, which is too little at the latest for the frames, of which it has made none yet."""
    group.parts.release_memory()
    task, found = at_work(group)
    held = found[1].memory_info().vms
    found[1].rlimit(resource.RLIMIT_AS, (held, held))
    check_goes_on(group, task, found, within=60)


@pytest.mark.long
def test_a_rank_that_hangs_is_not_waited_for_for_long(group: Serving) -> None:
    task, found = at_work(group)
    os.kill(found[1].pid, signal.SIGSTOP)
    check_goes_on(group, task, found, within=8)


@pytest.mark.long
def test_no_rank_outlives_its_worker_even_if_it_is_stopped(group: Serving) -> None:
    task, found = at_work(group)
    os.kill(found[1].pid, signal.SIGSTOP)
    os.kill(found[0].ppid(), signal.SIGKILL)
    until(lambda: not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in found), 5)
    group.until(task, "completed")
    assert "resumed" in kinds(group, task)


@pytest.mark.slow
def test_idle_devices_help_while_few_jobs_wait(tmp_path: Path) -> None:
    with serving(tmp_path, device="cpu,cpu", gpus_per_job="auto") as server:
        until(lambda: [each.state for each in server.parts.supervisor.workers()] == ["idle", "idle"])
        alone = server.submit(**LONG)["task_id"]
        until(lambda: "checkpoint" in kinds(server, alone))
        assert sorted(each.state for each in server.parts.supervisor.workers()) == ["busy", "lent"]
        several = server.submit(count=2)["task_ids"]
        server.until(alone, "completed")
        for task in several:
            server.until(task, "completed")
        assert "together" in kinds(server, alone)
        assert "together" not in kinds(server, several[0])  # another one waited
        until(lambda: [each.state for each in server.parts.supervisor.workers()] == ["idle", "idle"])


@pytest.mark.parametrize(
    ("each", "groups"),
    [
        (1, [("a",), ("b",), ("c",)]),
        (2, [("a", "b"), ("c",)]),
        (3, [("a", "b", "c")]),
        ("auto", [("a",), ("b",), ("c",)]),
    ],
)
def test_devices_are_grouped_in_order(each: Any, groups: list[tuple[str, ...]]) -> None:
    assert groups_of(["a", "b", "c"], each) == groups


def test_more_devices_than_there_are_cannot_make_a_video() -> None:
    with pytest.raises(InvalidRequest, match="there are 2: cuda:0, cuda:1"):
        groups_of(["cuda:0", "cuda:1"], 4)


@pytest.mark.parametrize("each", ["none", "0", "17", ""])
def test_a_policy_that_means_nothing_is_refused(each: str) -> None:
    with pytest.raises(ValueError, match="gpus_per_job"):
        Settings.model_validate({"gpus_per_job": each})
