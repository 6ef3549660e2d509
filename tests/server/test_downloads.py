"""Downloads by a real child from a hub on this computer."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.hub.loopback import LoopbackHub
from tests.hub.scene import REPO, WANTED, repository
from wanvideo.families.obtain import Offer
from wanvideo.server.downloads import Download, Downloads, DownloadState
from wanvideo.server.errors import Conflict, NotFound
from wanvideo.weights.catalog import TI2V_5B
from wanvideo.weights.download.hub import Hub
from wanvideo.weights.places import Places
from wanvideo.weights.variants import Variant

MODEL = "ti2v-5B"


def offer(model: str, variant: str | None) -> Offer:
    chosen = Variant(id=variant or "fp16", title="small", extra=WANTED)
    return Offer(entry=replace(TI2V_5B, id=model, variants=(chosen,)), variants=(chosen,), reason="as asked")


@contextmanager
def downloading(loopback: LoopbackHub, tmp: Path, *, jobs_ask_again: bool = False) -> Iterator[Downloads]:
    downloads = Downloads(
        tmp / "downloads.json", Places(hub_cache=tmp / "hub"), (Hub(endpoint=loopback.endpoint),), offer,
        jobs_ask_again=jobs_ask_again,
    )  # fmt: skip
    downloads.start()
    try:
        yield downloads
    finally:
        downloads.stop()


def until(downloads: Downloads, is_so: Callable[[Download], bool], model: str = MODEL) -> Download:
    end = time.monotonic() + 20
    while not is_so(found := downloads.known(model)):
        assert time.monotonic() < end, found
        time.sleep(0.02)
    return found


@pytest.fixture
def hub(loopback: LoopbackHub) -> LoopbackHub:
    loopback.add(REPO, repository())
    return loopback


def test_a_model_is_fetched_and_its_progress_told(hub: LoopbackHub, tmp_path: Path) -> None:
    with downloading(hub, tmp_path) as downloads:
        told: list[Download] = []
        downloads.subscribe(lambda _before, after: told.append(after))
        assert downloads.add(MODEL).state is DownloadState.DOWNLOADING
        assert downloads.add(MODEL).variant == "fp16"  # one transfer for all who want it
        done = until(downloads, lambda each: each.state is DownloadState.DONE)
        assert done.percent == 100
        assert done.done_bytes == done.total_bytes
        assert told[-1].state is DownloadState.DONE
        with pytest.raises(NotFound):
            downloads.pause("t2v-A14B")
    assert list((tmp_path / "hub").rglob("*.safetensors"))


def test_pauses_and_priorities_outlive_the_server(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.bytes_per_second = 200_000
    with downloading(hub, tmp_path) as downloads:
        downloads.add(MODEL)
        downloads.add("t2v-A14B", priority=3)
        assert downloads.known("t2v-A14B").state is DownloadState.WAITING
        assert downloads.pause(MODEL).state is DownloadState.PAUSED
        until(downloads, lambda each: each.state is not DownloadState.WAITING, "t2v-A14B")
        with pytest.raises(Conflict, match="as fp16"):
            downloads.add(MODEL, "fp8")
    hub.bytes_per_second = None
    with downloading(hub, tmp_path) as downloads:
        until(downloads, lambda each: each.state is DownloadState.DONE, "t2v-A14B")
        assert downloads.known(MODEL).state is DownloadState.PAUSED
        downloads.resume(MODEL)
        until(downloads, lambda each: each.state is DownloadState.DONE)


def test_a_child_that_is_killed_is_started_again(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.bytes_per_second = 300_000
    with downloading(hub, tmp_path) as downloads:
        downloads.add(MODEL)
        until(downloads, lambda each: each.done_bytes > 0)
        child = downloads.pid
        assert child is not None
        os.kill(child, signal.SIGKILL)
        hub.bytes_per_second = None
        until(downloads, lambda each: each.state is DownloadState.DONE)
        assert downloads.pid != child


def test_a_failure_is_told_and_can_be_gone_on_from(loopback: LoopbackHub, tmp_path: Path) -> None:
    with downloading(loopback, tmp_path) as downloads:
        downloads.add(MODEL)
        failed = until(downloads, lambda each: each.state.over)
        assert failed.fault is not None
        assert failed.fault.code == "DOWNLOAD_NOT_FOUND"
        assert str(tmp_path) not in failed.fault.message
        loopback.add(REPO, repository())
        downloads.resume(MODEL)
        until(downloads, lambda each: each.state is DownloadState.DONE)


def test_cancelling_keeps_what_has_arrived(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.bytes_per_second = 200_000
    with downloading(hub, tmp_path) as downloads:
        downloads.add(MODEL)
        until(downloads, lambda each: each.done_bytes > 0)
        assert downloads.cancel(MODEL).state is DownloadState.CANCELLED
        assert downloads.cancel(MODEL).state is DownloadState.CANCELLED
    assert list((tmp_path / "hub").rglob("*.wan-part")) or list((tmp_path / "hub").rglob("blobs/*"))


def test_a_list_that_cannot_be_kept_costs_no_download(hub: LoopbackHub, tmp_path: Path) -> None:
    with downloading(hub, tmp_path / "data") as downloads:
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / ".downloads.json.part").mkdir()  # as on a full disk, nothing can be written there
        downloads.add(MODEL)
        until(downloads, lambda each: each.state is DownloadState.DONE)


def test_a_machine_of_several_goes_on_alone_with_what_users_want(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.bytes_per_second = 100_000
    with downloading(hub, tmp_path) as downloads:
        downloads.add(MODEL, for_job=True)
        downloads.add("t2v-A14B")
    with downloading(hub, tmp_path, jobs_ask_again=True) as downloads:
        assert [each.model for each in downloads.list()] == ["t2v-A14B"]
