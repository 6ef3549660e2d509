"""The cache is the standard one: other programs find what we put there, and we find what they did."""

from pathlib import Path

import pytest
from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download, try_to_load_from_cache

from tests.hub.loopback import LoopbackHub
from tests.hub.scene import REPO, WANTED, contents, plan, pull, repository, snapshot, wanted_files
from wanvideo.weights.download.health import Health, check


@pytest.fixture
def cache(loopback: LoopbackHub, tmp_path: Path) -> Path:
    loopback.add(REPO, repository())
    pull(loopback, tmp_path)
    return tmp_path


def test_huggingface_hub_finds_every_file(cache: Path) -> None:
    for path, data in wanted_files(repository()).items():
        found = try_to_load_from_cache(REPO, path, cache_dir=cache)
        assert isinstance(found, str)
        assert Path(found).read_bytes() == data
        assert hf_hub_download(REPO, path, cache_dir=cache, local_files_only=True) == found


def test_huggingface_hub_takes_the_snapshot_for_its_own(loopback: LoopbackHub, cache: Path) -> None:
    assert Path(snapshot_download(REPO, cache_dir=cache, local_files_only=True)) == snapshot(loopback, cache)


def test_huggingface_hub_sees_a_cache_without_faults(cache: Path) -> None:
    info = scan_cache_dir(cache)
    assert info.warnings == []
    (repo,) = info.repos
    (revision,) = repo.revisions
    assert repo.repo_id == REPO
    assert revision.refs == {"main"}
    assert repo.nb_files == len(wanted_files(repository()))


def test_a_model_that_another_program_downloaded_is_used_and_verified(loopback: LoopbackHub, cache: Path) -> None:
    for own in (cache / f"models--{REPO.replace('/', '--')}" / "wanvideo").iterdir():
        own.unlink()  # now there is nothing that huggingface_hub would not have put there
    assert check(WANTED, cache).health is Health.PRESENT
    before = loopback.sent_bytes
    again = plan(loopback, cache)
    assert again.missing_bytes == 0
    assert not again.done
    pull(loopback, cache)
    assert loopback.sent_bytes == before
    assert check(WANTED, cache).health is Health.READY


def test_what_another_program_put_there_wrongly_is_fetched_again(loopback: LoopbackHub, tmp_path: Path) -> None:
    loopback.add(REPO, repository())
    data = bytearray(repository()["vae/model.safetensors"])
    (file,) = [planned.file for planned in plan(loopback, tmp_path).files if planned.file.path.startswith("vae")]
    blob = tmp_path / f"models--{REPO.replace('/', '--')}" / "blobs" / file.digest
    blob.parent.mkdir(parents=True)
    data[-1] ^= 1
    blob.write_bytes(data)
    pull(loopback, tmp_path)
    assert contents(snapshot(loopback, tmp_path)) == wanted_files(repository())
