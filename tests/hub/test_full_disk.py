"""The disk is full at any moment: nothing that is not whole is ever published, and the download can go on later."""

import errno
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.hub.loopback import LoopbackHub
from tests.hub.scene import OPTIONS, REPO, contents, plan, shard, snapshot
from wanvideo.errors import DownloadDiskFull
from wanvideo.weights.download.disk import Disk
from wanvideo.weights.download.run import download
from wanvideo.weights.download.transfer import Options
from wanvideo.weights.variants import RemoteFiles

FILES = {"config.json": b"{}", "vae/model.safetensors": shard(1, 30), "text/model.safetensors": shard(2, 10)}
WANTED = (RemoteFiles(repo_id=REPO, paths=("*.json", "*/*.safetensors")),)
ONE_BY_ONE = Options(
    patience=OPTIONS.patience, connections=1, connections_per_file=1, files=1, segment_bytes=12_000, tick_seconds=0.01
)


class FullDisk(Disk):
    """Takes so many calls that need space, and is full then; every write before takes half of what it is given."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def _spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write(self, descriptor: int, data: bytes | memoryview, offset: int) -> None:
        half = len(data) // 2
        super().write(descriptor, data[:half], offset)
        self._spend()
        super().write(descriptor, data[half:], offset + half)

    def sync(self, descriptor: int) -> None:
        self._spend()  # and do not wait for the disk, which is what takes the time here

    def sync_folder(self, folder: Path) -> None:
        """Nor here."""

    def replace(self, source: Path, target: Path) -> None:
        self._spend()
        super().replace(source, target)

    def point(self, path: Path, target: Path) -> None:
        self._spend()
        super().point(path, target)


def _check(hub: LoopbackHub, cache: Path, caught: DownloadDiskFull) -> None:
    """What is published is right, and the message has both numbers."""
    folder = snapshot(hub, cache)
    assert all(FILES[path] == data for path, data in contents(folder).items())
    for blob in (cache / folder.parts[-3] / "blobs").glob("*"):
        assert blob.suffix or blob.read_bytes() in FILES.values()
    needed, free = re.findall(r"\((\d+) bytes\)", caught.message)
    assert int(needed) <= sum(map(len, FILES.values()))
    assert int(free) > 0


def test_whichever_write_finds_the_disk_full_nothing_wrong_is_published(loopback: LoopbackHub, tmp_path: Path) -> None:
    loopback.add(REPO, FILES)
    wanted = plan(loopback, tmp_path, wanted=WANTED).files
    assert len(wanted) == 3
    for calls in range(10_000):
        cache = tmp_path / str(calls)
        try:
            list(download(plan(loopback, cache, wanted=WANTED), options=ONE_BY_ONE, disk=FullDisk(calls)))
        except DownloadDiskFull as caught:
            _check(loopback, cache, caught)
            before = loopback.sent_bytes
            missing = plan(loopback, cache, wanted=WANTED).missing_bytes
            list(download(plan(loopback, cache, wanted=WANTED), options=ONE_BY_ONE, disk=FullDisk(10_000)))
            assert contents(snapshot(loopback, cache)) == FILES
            assert loopback.sent_bytes - before == missing
        else:
            break
    assert calls > 30  # every one of them failed once


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system may be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full_keeps_what_has_arrived(loopback: LoopbackHub, small_disk: Path) -> None:
    loopback.add(REPO, FILES | {"vae/model.safetensors": shard(1, 2000)})
    too_much = plan(loopback, small_disk, wanted=WANTED)
    unaware = replace(too_much, free_bytes=1 << 40)
    with pytest.raises(DownloadDiskFull, match="are free"):
        list(download(unaware, options=ONE_BY_ONE))
    assert plan(loopback, small_disk, wanted=WANTED).present_bytes > 400_000
    assert not list(snapshot(loopback, small_disk).glob("vae/*"))
