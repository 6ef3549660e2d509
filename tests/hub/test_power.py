"""The power fails at any moment: what was not synced is gone, and what is claimed afterwards is true."""

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.hub.loopback import LoopbackHub
from tests.hub.scene import OPTIONS, REPO, contents, plan, shard, snapshot
from wanvideo.errors import CacheNotWritable
from wanvideo.weights.download.disk import Disk
from wanvideo.weights.download.run import download
from wanvideo.weights.variants import RemoteFiles

FILES = {"config.json": b"{}", "vae/model.safetensors": shard(1, 100)}
WANTED = (RemoteFiles(repo_id=REPO, paths=("*.json", "*/*.safetensors")),)
OFTEN = replace(OPTIONS, segment_bytes=30_000, commit_bytes=10_000)


class PowerCut(Disk):
    """Remembers what was synced of every file; dead after so many syncs."""

    def __init__(self, syncs: int) -> None:
        self.left = syncs
        self.synced: dict[int, bytes] = {}  # by inode

    def _live(self) -> None:
        if self.left <= 0:
            raise OSError(errno.EIO, "the power is off")

    def write(self, descriptor: int, data: bytes | memoryview, offset: int) -> None:
        self._live()
        super().write(descriptor, data, offset)

    def truncate(self, descriptor: int, nbytes: int) -> None:
        self._live()
        super().truncate(descriptor, nbytes)

    def sync(self, descriptor: int) -> None:
        self._live()
        self.left -= 1
        status = os.fstat(descriptor)
        self.synced[status.st_ino] = os.pread(descriptor, status.st_size, 0)

    def replace(self, source: Path, target: Path) -> None:
        self._live()
        super().replace(source, target)

    def point(self, path: Path, target: Path) -> None:
        self._live()
        super().point(path, target)

    def lose(self, cache: Path) -> None:
        """What is left of the files: as long as they were, and zeros where nothing had been synced. Of a journal, all:
        nothing stops a system from writing it first."""
        for path in cache.rglob("blobs/*"):
            if path.suffix != ".wan-journal":
                kept = self.synced.get(path.stat().st_ino, b"")
                path.write_bytes(kept.ljust(path.stat().st_size, b"\0"))


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What says when the computer was started."""
    monkeypatch.setattr("wanvideo.weights.download.disk.BOOT_ID", tmp_path / "boot_id")
    (tmp_path / "boot_id").write_text("today")
    return tmp_path / "boot_id"


def _caches(folder: Path) -> Iterator[tuple[int, Path]]:
    return ((syncs, folder / str(syncs)) for syncs in range(1000))


def test_whenever_the_power_fails_the_next_download_ends_with_the_right_bytes(
    loopback: LoopbackHub, tmp_path: Path, started: Path
) -> None:
    loopback.add(REPO, FILES)
    resumed = 0
    for syncs, cache in _caches(tmp_path):
        started.write_text("today")
        disk = PowerCut(syncs)
        with suppress(CacheNotWritable):
            list(download(plan(loopback, cache, wanted=WANTED), options=OFTEN, disk=disk))
            break
        disk.lose(cache)
        started.write_text("tomorrow")
        again, before = plan(loopback, cache, wanted=WANTED), loopback.sent_bytes
        resumed += again.missing_bytes < again.total_bytes
        list(download(again, options=OFTEN))
        assert contents(snapshot(loopback, cache)) == FILES
        # No hash was wrong, and so nothing came twice: what the journal claimed was true.
        assert loopback.sent_bytes - before == again.missing_bytes
    assert syncs > 10
    assert resumed > 2
