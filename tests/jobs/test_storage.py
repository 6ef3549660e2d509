"""What a storage promises, of a folder and of a real S3 server."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs

from tests.bucket import KEYS, NAME, running
from wanvideo.errors import StorageFailed
from wanvideo.jobs.bucket import Bucket
from wanvideo.jobs.storage import BLOCK, SharedFolder, Storage, fetch, storage_of


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with running() as address, pytest.MonkeyPatch.context() as patch:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": address}.items():
            patch.setenv(name, value)
        yield f"s3://{NAME}"


@pytest.fixture(params=["folder", "bucket"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "bucket":
        return f"{request.getfixturevalue('bucket')}/{tmp_path.name}"
    (tmp_path / "shared").mkdir()
    return str(tmp_path / "shared")


@pytest.fixture
def storage(address: str) -> Storage:
    return storage_of(address)


def file(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "file"
    path.write_bytes(content)
    return path


def test_what_was_put_is_there_for_everybody(storage: Storage, address: str, tmp_path: Path) -> None:
    storage.put("outputs/a heron-é.mp4", file(tmp_path, b"0123456789"))
    another = storage_of(address)
    assert b"".join(another.read("outputs/a heron-é.mp4")) == b"0123456789"
    found = another.stat("outputs/a heron-é.mp4")
    assert found is not None
    assert (found.name, found.bytes) == ("outputs/a heron-é.mp4", 10)
    assert abs(found.changed - (tmp_path / "file").stat().st_mtime) < 60
    assert list(another.list("outputs/")) == [found]


def test_all_below_a_prefix_goes_with_what_was_half_stored(storage: Storage, tmp_path: Path) -> None:
    for name in ("jobs/a/1/state", "jobs/a/2/state", "jobs/ab/1/state"):
        storage.put(name, file(tmp_path, b"x"))
    if isinstance(storage, SharedFolder):  # a machine died while it copied
        (storage.root / "jobs/a/1/.part-1").touch()
    storage.clear("jobs/a/")
    storage.clear("jobs/none/")
    assert [found.name for found in storage.list("jobs/")] == ["jobs/ab/1/state"]
    if isinstance(storage, SharedFolder):
        assert not (storage.root / "jobs/a").exists()


def test_what_a_machine_that_died_was_about_to_store_goes_after_a_while(storage: Storage, tmp_path: Path) -> None:
    storage.put("outputs/whole.mp4", file(tmp_path, b"whole"))
    half_stored(storage, "outputs/half.mp4")
    assert storage.remove_drafts(1e9) == 0  # its writer may be alive; of moto, all began in 2010
    time.sleep(0.05)
    assert storage.remove_drafts(0.01) == 1
    assert storage.remove_drafts(0) == 0
    assert [found.name for found in storage.list("outputs/")] == ["outputs/whole.mp4"]
    if isinstance(storage, SharedFolder):
        assert [path.name for path in storage.root.rglob("*") if path.is_file()] == ["whole.mp4"]


def half_stored(storage: Storage, name: str) -> None:
    """As a power cut leaves it."""
    if isinstance(storage, SharedFolder):
        (storage.root / name).with_name(".part-1").write_bytes(b"half")
        return
    assert isinstance(storage, Bucket)
    bucket, _, prefix = storage.root.partition("/")
    s3 = s3fs.S3FileSystem(skip_instance_cache=True)
    s3.call_s3("create_multipart_upload", Bucket=bucket, Key=f"{prefix}/{name}")


def test_a_draft_that_is_being_written_is_nobodys_to_remove(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shared" / "outputs").mkdir(parents=True)
    storage, draft = SharedFolder(tmp_path / "shared"), tmp_path / "shared" / "outputs" / ".part-1"
    draft.touch()
    monkeypatch.setattr(time, "time", lambda: 4e9)  # this machine's clock is wrong by many years
    assert storage.remove_drafts(60) == 0
    assert draft.exists()


def test_who_stood_still_for_so_long_that_its_draft_is_gone_stores_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shared").mkdir()
    storage = SharedFolder(tmp_path / "shared")
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", lambda _: storage.remove_drafts(-60))
        with pytest.raises(StorageFailed, match="store it again"):
            storage.put("outputs/heron.mp4", file(tmp_path, b"a video"))
    storage.put("outputs/heron.mp4", file(tmp_path, b"a video"))
    assert b"".join(storage.read("outputs/heron.mp4")) == b"a video"


def test_a_range_is_read_without_the_rest(storage: Storage, tmp_path: Path) -> None:
    content = bytes(range(256)) * (BLOCK // 256) + b"the end"
    storage.put("outputs/long.mp4", file(tmp_path, content))
    assert b"".join(storage.read("outputs/long.mp4")) == content
    assert b"".join(storage.read("outputs/long.mp4", BLOCK - 2, 6)) == content[BLOCK - 2 : BLOCK + 4]
    assert b"".join(storage.read("outputs/long.mp4", BLOCK + 4)) == b"end"
    assert b"".join(storage.read("outputs/long.mp4", len(content), 5)) == b""


def test_a_file_is_replaced_and_deleted(storage: Storage, tmp_path: Path) -> None:
    storage.put("jobs/12345678/1/state", file(tmp_path, b"one"))
    storage.put("jobs/12345678/1/state", file(tmp_path, b"another"))
    assert b"".join(storage.read("jobs/12345678/1/state")) == b"another"
    storage.delete("jobs/12345678/1/state")
    storage.delete("jobs/12345678/1/state")
    assert storage.stat("jobs/12345678/1/state") is None
    assert list(storage.list("jobs/")) == []
    with pytest.raises(FileNotFoundError):
        list(storage.read("jobs/12345678/1/state"))


def test_a_reader_sees_the_old_file_or_the_new_one(storage: Storage, tmp_path: Path) -> None:
    versions = [bytes([number]) * 200_000 for number in range(8)]
    storage.put("inputs/picture.png", file(tmp_path, versions[0]))
    seen: set[bytes] = set()
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            seen.add(b"".join(storage.read("inputs/picture.png")))

    reader = threading.Thread(target=read)
    reader.start()
    for version in versions:
        storage.put("inputs/picture.png", file(tmp_path, version))
    over.set()
    reader.join()
    assert seen <= set(versions)


def test_what_cannot_be_put_leaves_nothing(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises((StorageFailed, FileNotFoundError)):
        storage.put("outputs/heron.mp4", tmp_path / "not there")
    assert list(storage.list("outputs/")) == []


def test_a_copy_is_whole_or_not_there(storage: Storage, tmp_path: Path) -> None:
    storage.put("inputs/picture.png", file(tmp_path, b"a picture"))
    assert fetch(storage, "inputs/picture.png", tmp_path / "new" / "copy.png")
    assert (tmp_path / "new" / "copy.png").read_bytes() == b"a picture"
    assert not fetch(storage, "inputs/another.png", tmp_path / "new" / "another.png")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["copy.png"]


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../key", "outputs/../../key", "outputs//a", "outputs/./a", "a/\0"]
)
def test_a_name_leads_nowhere_else(storage: Storage, tmp_path: Path, name: str) -> None:
    for refuses in (
        lambda: storage.put(name, file(tmp_path, b"")),
        lambda: list(storage.read(name)),
        lambda: storage.stat(name),
        lambda: storage.delete(name),
    ):
        with pytest.raises(ValueError, match="no name of a stored file"):
            refuses()


@pytest.mark.parametrize("address", ["shared", "ftp://host/folder", "s3://", "/not/there", "s3://no-such-bucket/x"])
@pytest.mark.usefixtures("bucket")
def test_what_is_no_storage_is_refused_with_the_remedy(address: str) -> None:
    with pytest.raises(StorageFailed, match=r"write|make"):
        storage_of(address)


def test_a_share_that_is_gone_is_not_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    storage = storage_of(str(tmp_path / "shared"))
    (tmp_path / "shared").rmdir()
    for asks in (
        lambda: storage.put("outputs/a.mp4", file(tmp_path, b"")),
        lambda: storage.stat("outputs/a.mp4"),
        lambda: list(storage.list("outputs/")),
    ):
        with pytest.raises(StorageFailed, match="mounted"):
            asks()


def test_a_store_that_is_away_is_not_an_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as address:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": address, "AWS_MAX_ATTEMPTS": "1"}.items():
            monkeypatch.setenv(name, value)
        storage = storage_of(f"s3://{NAME}")
    with pytest.raises(StorageFailed, match="cannot be reached"):
        storage.stat("outputs/a.mp4")
