"""Downloads that fail: those of jobs, and the downloader alone where the server's patience would take minutes."""

import errno
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from tests.failure.ways.stage import WAYS, Stage, hub_of, way
from tests.hub.loopback import SendTo, Stall, Status, WrongBytes
from tests.hub.scene import REPO, SMALL_5B, SMALL_5B_REPO, SMALL_5B_VARIANT, pull, repository
from tests.server.serving import serving
from wanvideo.errors import WanVideoError
from wanvideo.failure import failure_of
from wanvideo.server.downloads import DownloadState
from wanvideo.weights.download.disk import Disk

SMALLEST: Final = "ti2v-5B"


_HUB: Final = {
    "DOWNLOAD_UNREACHABLE": Status(code=500),
    "DOWNLOAD_STALLED": Stall(after=0, seconds=1.0),
    "DOWNLOAD_HASH_MISMATCH": WrongBytes(),
    "DOWNLOAD_REFUSED": SendTo(url="http://169.254.169.254/latest"),
}
for _code, _fault in _HUB.items():
    WAYS[_code] = lambda stage, fault=_fault: _alone(stage, fault)  # type: ignore[misc]


def _alone(stage: Stage, fault: Any) -> Mapping[str, Any]:
    """What the downloader says of what the hub does."""
    stage.hub.add(REPO, {path: data for path, data in repository().items() if "0000" not in path})
    stage.hub.fail_always("*.safetensors", fault)
    try:
        return _said(stage, stage.tmp / f"alone-{type(fault).__name__}-{id(fault)}")
    finally:
        stage.hub.heal()


def _said(stage: Stage, cache: Path, **more: Any) -> Mapping[str, Any]:
    try:
        pull(stage.hub, cache, **more)
    except WanVideoError as error:
        said = failure_of(error, phase="download", model=SMALLEST, folders=(cache,)).to_json()
        return {**said, "actions": [{**each, "call": None} for each in said["suggestions"]]}
    raise AssertionError("the download succeeded")


def _of_a_job(stage: Stage) -> Mapping[str, Any]:
    return stage.failed(model_type=SMALLEST, force=True)


@way("DOWNLOAD_RATE_LIMITED")
def _(stage: Stage) -> Mapping[str, Any]:
    stage.hub.add(REPO, repository())
    stage.hub.fail_always(f"{REPO}/", Status(code=429))
    try:
        return _said(stage, stage.tmp / "limited")
    finally:
        stage.hub.heal()


@way("DOWNLOAD_NOT_FOUND")
def _(stage: Stage) -> Mapping[str, Any]:
    """The hub has none of its repositories."""
    return _of_a_job(stage)


@way("DOWNLOAD_AUTH")
def _(stage: Stage) -> Mapping[str, Any]:
    stage.hub.token = "secret"
    try:
        return _of_a_job(stage)
    finally:
        stage.hub.token = None


@way("DOWNLOAD_CANCELLED")
def _(stage: Stage) -> Mapping[str, Any]:
    """By its own address, while a job waits for it."""
    stage.hub.add(SMALL_5B_REPO, SMALL_5B)
    stage.hub.bytes_per_second = 10_000
    try:
        task = stage.submit(model_type=SMALLEST, variant=SMALL_5B_VARIANT, force=True, steps=None, frames=None)
        stage.until_download(SMALLEST, DownloadState.DOWNLOADING)
        stage.server.parts.downloads.cancel(SMALLEST)
        failure: dict[str, Any] = stage.server.until(task, "failed")["failure"]
    finally:
        stage.hub.bytes_per_second = None
        del stage.hub.repositories[SMALL_5B_REPO]
    return failure


@way("DOWNLOAD_DISK_FULL")
def _(stage: Stage) -> Mapping[str, Any]:
    class Full(Disk):
        def write(self, descriptor: int, data: bytes | memoryview, offset: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    stage.hub.add(REPO, repository())
    return _said(stage, stage.tmp / "full", disk=Full())


@way("DOWNLOAD_CACHE_NOT_WRITABLE")
def _(stage: Stage) -> Mapping[str, Any]:
    stage.hub.add(REPO, repository())
    (stage.tmp / "no-folder").write_bytes(b"")
    return _said(stage, stage.tmp / "no-folder")


@way("DOWNLOAD_OFFLINE")
def _(stage: Stage) -> Mapping[str, Any]:
    with serving(stage.tmp / "offline", hubs=(replace(hub_of(stage.hub), offline=True),), demo=False) as server:
        body = {"model_type": SMALLEST, "prompt": "a circle", "force": True}
        task = server.post("/api/v1/generation/submit", body)["task_id"]
        failure: dict[str, Any] = server.until(task, "failed")["failure"]
    return {**failure, "actions": []}  # are those of a server that is gone


@way("DOWNLOAD_FAILED", slow=True)
def _(stage: Stage) -> Mapping[str, Any]:
    """The child that downloads ends at once, however often it is started. In a server that has none yet."""
    stage.hub.add(SMALL_5B_REPO, SMALL_5B)
    try:
        with serving(stage.tmp / "failing", hubs=(hub_of(stage.hub),), demo=False) as server:
            server.parts.downloads._command = ("false",)
            body = {"model_type": SMALLEST, "variant": SMALL_5B_VARIANT, "prompt": "a circle", "force": True}
            task = server.post("/api/v1/generation/submit", body)["task_id"]
            failure: dict[str, Any] = server.until(task, "failed")["failure"]
    finally:
        del stage.hub.repositories[SMALL_5B_REPO]
    return {**failure, "actions": []}  # are those of a server that is gone
