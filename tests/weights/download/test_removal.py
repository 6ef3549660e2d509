"""Removing says what it frees, frees that, and leaves what something else needs."""

from pathlib import Path

import pytest

from tests.hub.loopback import LoopbackHub
from tests.hub.scene import REPO, WANTED, plan, pull, repository, shard, snapshot, wanted_files
from wanvideo.errors import DownloadError
from wanvideo.weights.download.cache import repository as repository_cache
from wanvideo.weights.download.health import Health, check
from wanvideo.weights.download.removal import plan_removal, remove
from wanvideo.weights.variants import RemoteFiles

TRANSFORMER = (RemoteFiles(repo_id=REPO, paths=("transformer/*",)),)
VAE = (RemoteFiles(repo_id=REPO, paths=("vae/*", "model_index.json")),)


@pytest.fixture
def cache(loopback: LoopbackHub, tmp_path: Path) -> Path:
    loopback.add(REPO, repository())
    pull(loopback, tmp_path)
    return tmp_path


def used(folder: Path) -> int:
    """Bytes on disk, each file once."""
    found = {path.lstat().st_ino: path.lstat().st_blocks * 512 for path in folder.rglob("blobs/*")}
    return sum(found.values())


def test_everything_goes_and_frees_what_was_said(cache: Path) -> None:
    removal = plan_removal(WANTED, cache)
    assert removal.frees_bytes == used(cache) >= sum(map(len, wanted_files(repository()).values()))
    remove(removal)
    assert not list(cache.glob("models--*"))
    assert check(WANTED, cache).health is Health.MISSING


def test_what_another_variant_needs_stays(loopback: LoopbackHub, cache: Path) -> None:
    removal = plan_removal(WANTED, cache, keep=VAE)
    assert {path.name for path in removal.shared} == {"model.safetensors", "model_index.json"}
    before = used(cache)
    remove(removal)
    assert before - used(cache) == removal.frees_bytes
    assert check(VAE, cache).health is Health.READY
    assert check(TRANSFORMER, cache).health is Health.MISSING


def test_bytes_that_another_repository_has_too_are_not_freed(loopback: LoopbackHub, cache: Path) -> None:
    loopback.add("Wan-AI/Other", {"text/model.safetensors": shard(1)})
    other = (RemoteFiles(repo_id="Wan-AI/Other", paths=("text/*",)),)
    pull(loopback, cache, wanted=other)
    removal = plan_removal(other, cache)
    assert removal.frees_bytes == 0
    remove(removal)
    assert check(WANTED, cache, deep=True).health is Health.READY


def test_a_blob_that_an_older_commit_still_has_stays(loopback: LoopbackHub, cache: Path) -> None:
    old = snapshot(loopback, cache)
    loopback.add(REPO, repository() | {"transformer/config.json": b'{"dim": 9}'})
    pull(loopback, cache)
    assert (old / "vae/model.safetensors").resolve() == (snapshot(loopback, cache) / "vae/model.safetensors").resolve()
    remove(plan_removal(TRANSFORMER, cache))
    assert check(VAE, cache, deep=True).health is Health.READY
    assert not (old / "transformer").exists()


def test_an_unfinished_download_is_removed_too(loopback: LoopbackHub, tmp_path: Path) -> None:
    from tests.hub.loopback import Drop

    loopback.add(REPO, repository())
    loopback.fail_always("transformer/*.safetensors", Drop(after=0))
    loopback.fail("transformer/*.safetensors", Drop(after=50_000))
    with pytest.raises(DownloadError):
        pull(loopback, tmp_path)
    remove(plan_removal(WANTED, tmp_path))
    assert not list(tmp_path.rglob("*.wan-part"))


def test_what_is_being_downloaded_is_not_removed(loopback: LoopbackHub, cache: Path) -> None:
    file = plan(loopback, cache).files[-1].file
    removal = plan_removal(WANTED, cache)
    with (
        repository_cache(cache, REPO).lock(file.digest),
        pytest.raises(DownloadError, match="being downloaded"),
    ):
        remove(removal)
    assert check(WANTED, cache).health is Health.READY
