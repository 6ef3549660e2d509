"""Damage of every kind is found, named and repaired; nothing else is fetched."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hub.loopback import LoopbackHub
from tests.hub.scene import OPTIONS, REPO, WANTED, contents, pull, repository, shard, snapshot, wanted_files
from wanvideo.errors import DownloadError
from wanvideo.weights.download.health import Health, check, repair
from wanvideo.weights.download.hub import Hub

SHARD = "transformer/model-00001-of-00002.safetensors"
OTHER = "transformer/model-00002-of-00002.safetensors"


@pytest.fixture
def cache(loopback: LoopbackHub, tmp_path: Path) -> Path:
    loopback.add(REPO, repository())
    pull(loopback, tmp_path)
    return tmp_path


def truncate(folder: Path) -> None:
    os.truncate(folder / SHARD, 1000)


def flip(folder: Path) -> None:
    """A bit of a tensor, as a disk does it: the time of the last change stays."""
    path = (folder / SHARD).resolve()
    times = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def flip_header(folder: Path) -> None:
    data = bytearray((folder / SHARD).read_bytes())
    data[9] ^= 1
    (folder / SHARD).write_bytes(data)


def exchange(folder: Path) -> None:
    """The contents of two shards of one length."""
    one, two = (folder / SHARD).read_bytes(), (folder / OTHER).read_bytes()
    (folder / SHARD).write_bytes(two)
    (folder / OTHER).write_bytes(one)


def exchange_links(folder: Path) -> None:
    one, two = (folder / SHARD).readlink(), (folder / OTHER).readlink()
    for path, target in ((SHARD, two), (OTHER, one)):
        (folder / path).unlink()
        (folder / path).symlink_to(target)


def delete(folder: Path) -> None:
    (folder / SHARD).resolve().unlink()


@pytest.mark.parametrize(
    ("damage", "deep", "health", "damaged"),
    [
        (truncate, False, Health.CORRUPT, [SHARD]),
        (flip, True, Health.CORRUPT, [SHARD]),
        (flip_header, False, Health.CORRUPT, [SHARD]),
        (exchange, False, Health.CORRUPT, [SHARD, OTHER]),
        (exchange_links, False, Health.CORRUPT, [SHARD, OTHER]),
        (delete, False, Health.INCOMPLETE, [SHARD]),
    ],
)
def test_damage_is_found_named_and_repaired(
    loopback: LoopbackHub,
    cache: Path,
    damage: Callable[[Path], None],
    deep: bool,
    health: Health,
    damaged: list[str],
) -> None:
    folder = snapshot(loopback, cache)
    damage(folder)
    report = check(WANTED, cache, deep=deep)
    assert report.health is health
    assert [fault.path.relative_to(folder).as_posix() for fault in report.faults] == damaged
    before = loopback.sent_bytes
    list(repair(WANTED, report, Hub(endpoint=loopback.endpoint), cache, options=OPTIONS))
    assert loopback.sent_bytes - before <= sum(len(repository()[path]) for path in damaged)
    assert contents(folder) == wanted_files(repository())
    assert check(WANTED, cache, deep=True).health is Health.READY


def test_a_flipped_bit_is_seen_by_nothing_but_the_hash(loopback: LoopbackHub, cache: Path) -> None:
    flip(snapshot(loopback, cache))
    assert check(WANTED, cache).health is Health.READY
    assert check(WANTED, cache, deep=True).health is Health.CORRUPT


def test_a_file_that_was_touched_is_believed_again_only_after_it_was_hashed(loopback: LoopbackHub, cache: Path) -> None:
    os.utime(snapshot(loopback, cache) / SHARD)
    assert check(WANTED, cache).health is Health.PRESENT
    assert check(WANTED, cache, deep=True).health is Health.READY
    assert check(WANTED, cache).health is Health.READY


def test_nothing_here_is_missing(tmp_path: Path) -> None:
    report = check(WANTED, tmp_path)
    assert (report.health, report.files, report.nbytes) == (Health.MISSING, 0, 0)


def test_an_unfinished_download_is_incomplete(loopback: LoopbackHub, tmp_path: Path) -> None:
    from tests.hub.loopback import Status

    loopback.add(REPO, repository())
    loopback.fail_always("transformer/*.safetensors", Status(code=500))
    with pytest.raises(DownloadError):
        pull(loopback, tmp_path)
    report = check(WANTED, tmp_path)
    assert report.health is Health.INCOMPLETE
    assert {fault.path.name for fault in report.faults} >= {Path(SHARD).name, Path(OTHER).name}


def test_a_newer_commit_on_the_hub_makes_it_outdated(loopback: LoopbackHub, cache: Path) -> None:
    assert check(WANTED, cache, latest={REPO: loopback.commit(REPO)}).health is Health.READY
    loopback.add(REPO, repository() | {"vae/model.safetensors": shard(9)})
    assert check(WANTED, cache, latest={REPO: loopback.commit(REPO)}).health is Health.OUTDATED


def test_repair_stays_with_the_commit_that_is_here(loopback: LoopbackHub, cache: Path) -> None:
    folder = snapshot(loopback, cache)
    truncate(folder)
    report = check(WANTED, cache)
    assert set(report.commits.values()) == {folder.name}


def test_without_a_record_the_names_of_the_blobs_are_the_hashes(loopback: LoopbackHub, cache: Path) -> None:
    for own in (cache / f"models--{REPO.replace('/', '--')}" / "wanvideo").iterdir():
        own.unlink()
    flip(snapshot(loopback, cache))
    assert check(WANTED, cache).health is Health.PRESENT
    report = check(WANTED, cache, deep=True)
    assert report.health is Health.CORRUPT
    assert [fault.path.name for fault in report.faults] == [Path(SHARD).name]


def test_without_a_record_a_shard_that_the_index_names_is_missed(loopback: LoopbackHub, cache: Path) -> None:
    for own in (cache / f"models--{REPO.replace('/', '--')}" / "wanvideo").iterdir():
        own.unlink()
    (snapshot(loopback, cache) / OTHER).unlink()
    report = check(WANTED, cache)
    assert report.health is Health.INCOMPLETE
    assert [fault.path.name for fault in report.faults] == [Path(OTHER).name]


def test_a_record_that_is_damaged_is_as_good_as_none(loopback: LoopbackHub, cache: Path) -> None:
    (record,) = (cache / f"models--{REPO.replace('/', '--')}" / "wanvideo").glob("*.json")
    for text in ("", "{", "[]", '{"version": 1}', record.read_text()[:-40], '{"version": 2, "commit": "x"}'):
        record.write_text(text)
        assert check(WANTED, cache).health is Health.PRESENT
