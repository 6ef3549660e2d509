import hashlib
import json
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.jobs.conftest import spec
from wanvideo.errors import StorageFailed
from wanvideo.jobs.backup import MANIFEST, backup, restore
from wanvideo.jobs.database import Database
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.job import Job, State
from wanvideo.jobs.leases import Leases
from wanvideo.jobs.queue import Queue


def made(queue: Queue, content: bytes = b"video") -> Job:
    job = Leases(queue).start(queue.submit(spec())[0].id, "gpu")
    assert job is not None
    path = queue.folder.outputs / f"{job.id}.mp4"
    path.write_bytes(content)
    queue.folder.thumbnail(job.id).write_bytes(b"picture")
    result = {"file": path.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert Leases(queue).succeed(job, result)
    return queue.get(job.id)


@pytest.fixture
def queue(sqlite: Database, folder: DataFolder) -> Queue:
    return Queue(sqlite, folder)


@pytest.fixture
def filled(queue: Queue, folder: DataFolder) -> Queue:
    (folder.inputs / f"{'a' * 64}.png").write_bytes(b"input")
    (folder.root / "limits.json").write_text("{}")
    (folder.outputs / ".wan-0123.part").write_bytes(b"half")
    for content in (b"first", b"second"):
        made(queue, content)
    queue.submit(spec())
    return queue


def contents(root: Path) -> dict[str, bytes]:
    """Without the database, whose pages may lie in another order."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.name.startswith("wanvideo.db")
    }


def jobs_in(folder: DataFolder) -> tuple[Job, ...]:
    database = Database(f"sqlite:///{folder.database}")
    database.migrate()
    try:
        return Queue(database, folder).page().jobs
    finally:
        database.close()


@pytest.mark.parametrize("name", ["kept.tar", "kept"])
def test_what_is_restored_is_what_there_was(filled: Queue, folder: DataFolder, tmp_path: Path, name: str) -> None:
    backup(folder, tmp_path / name)
    back = DataFolder(tmp_path / "back")
    manifest = restore(tmp_path / name, back)
    assert jobs_in(back) == filled.page().jobs
    there = contents(folder.root)
    del there["outputs/.wan-0123.part"]
    assert contents(back.root) == there
    assert len(manifest.files) == len(there) + 1
    assert back.root.stat().st_mode & 0o777 == 0o700


def test_a_backup_is_of_one_moment_while_jobs_come_and_end(filled: Queue, folder: DataFolder, tmp_path: Path) -> None:
    stop, ids, before = threading.Event(), list[str](), list[set[str]]()

    def work() -> None:
        while not stop.is_set():
            ids.append(made(filled, len(ids).to_bytes(4)).id)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for number in range(5):
            before.append(set(ids))
            backup(folder, tmp_path / f"{number}.tar")
    finally:
        stop.set()
        thread.join()
    for number in range(5):
        back = DataFolder(tmp_path / f"back-{number}")
        manifest = restore(tmp_path / f"{number}.tar", back)
        assert not manifest.missing
        assert not manifest.changed
        for job in jobs_in(back):
            assert job.state is not State.SUCCEEDED or (back.outputs / f"{job.id}.mp4").is_file()
        assert {job.id for job in jobs_in(back)} >= before[number]


def test_videos_may_be_left_out_and_what_is_gone_or_changed_is_named(
    filled: Queue, folder: DataFolder, tmp_path: Path
) -> None:
    newest, oldest = filled.page().jobs[1:]
    (folder.outputs / f"{newest.id}.mp4").unlink()
    (folder.outputs / f"{oldest.id}.mp4").write_bytes(b"edited")
    manifest = backup(folder, tmp_path / "all.tar")
    assert (manifest.missing, manifest.changed) == ((f"{newest.id}.mp4",), (f"{oldest.id}.mp4",))
    assert not any(each.path.startswith("outputs") for each in backup(folder, tmp_path / "few", videos=False).files)


def test_videos_go_to_the_chosen_folder_and_never_over_another_one(
    filled: Queue, folder: DataFolder, tmp_path: Path
) -> None:
    backup(folder, tmp_path / "kept")
    elsewhere = DataFolder(tmp_path / "back", tmp_path / "videos")
    (tmp_path / "videos").mkdir()
    name = f"{filled.page().jobs[1].id}.mp4"
    (tmp_path / "videos" / name).write_bytes(b"another")
    with pytest.raises(StorageFailed, match="is another video"):
        restore(tmp_path / "kept", elsewhere)
    assert not elsewhere.root.exists()
    (tmp_path / "videos" / name).unlink()
    restore(tmp_path / "kept", elsewhere)
    assert len(list((tmp_path / "videos").iterdir())) == 2


def test_a_folder_that_holds_something_is_refused(filled: Queue, folder: DataFolder, tmp_path: Path) -> None:
    backup(folder, tmp_path / "kept.tar")
    with pytest.raises(StorageFailed, match="is not empty"):
        restore(tmp_path / "kept.tar", folder)
    with pytest.raises(StorageFailed, match="exists"):
        backup(folder, tmp_path / "kept.tar")
    with pytest.raises(StorageFailed, match="no server's data"):
        backup(DataFolder(tmp_path / "nowhere"), tmp_path / "x.tar")


def _flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def _name_another_place(kept: Path) -> None:
    manifest = json.loads((kept / MANIFEST).read_text())
    (kept.parent / "outside").write_bytes(b"x")
    manifest["files"][0]["path"] = "../outside"
    (kept / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "damage",
    [
        lambda kept: _flip(next(kept.glob("outputs/*")), 0),
        lambda kept: _flip(kept / "wanvideo.db", 5000),
        lambda kept: next(kept.glob("inputs/*")).unlink(),
        lambda kept: (kept / MANIFEST).unlink(),
        lambda kept: (kept / MANIFEST).write_text("{}"),
        _name_another_place,
    ],
)
def test_a_damaged_backup_is_refused_and_leaves_nothing(
    filled: Queue, folder: DataFolder, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    backup(folder, tmp_path / "kept")
    damage(tmp_path / "kept")
    with pytest.raises(StorageFailed, match=r"damaged|cannot be read"):
        restore(tmp_path / "kept", DataFolder(tmp_path / "back"))
    assert not list(tmp_path.glob("*back*"))


def test_half_a_tar_file_is_refused_wherever_it_ends(filled: Queue, folder: DataFolder, tmp_path: Path) -> None:
    whole = tmp_path / "whole.tar"
    backup(folder, whole)
    with tarfile.open(whole) as tar:
        manifest = tar.getmember(MANIFEST)
    data, half = whole.read_bytes(), tmp_path / "half.tar"
    for length in (
        *range(0, manifest.offset_data, 4096),
        manifest.offset_data,
        manifest.offset_data + manifest.size - 1,
    ):
        half.write_bytes(data[:length])
        with pytest.raises(StorageFailed, match=r"damaged|cannot be read"):
            restore(half, DataFolder(tmp_path / "back"))
        assert not (tmp_path / "back").exists()


# Kills itself at the n-th thing that it does with a file, for every n.
KILLED = """
import os, signal, sys
from pathlib import Path
from wanvideo.jobs.backup import backup, restore
from wanvideo.jobs.folder import DataFolder

what, source, target = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
for n in range(1, 1000):
    pid = os.fork()
    if pid == 0:
        done = 0
        def count(event, _):
            global done
            if event in ("open", "os.rename", "os.mkdir", "os.remove", "sqlite3.connect", "os.chmod"):
                done += 1
                if done == n:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(count)
        backup(DataFolder(source), target) if what == "backup" else restore(source, DataFolder(target))
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0:
        print(n)
        break
    if target.exists():  # it had got its name, and so it is whole
        target.rename(target.with_name(f"{n}-{target.name}"))
"""


@pytest.mark.parametrize("name", ["kept.tar", "kept"])
def test_a_backup_that_is_killed_is_whole_or_not_there(
    filled: Queue, folder: DataFolder, tmp_path: Path, name: str
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", KILLED, "backup", folder.root, tmp_path / name],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(ran.stdout) > 15
    whole = list(tmp_path.glob(f"*{name}"))
    assert whole
    for number, kept in enumerate(whole):
        restore(kept, DataFolder(tmp_path / f"back-{number}"))
        assert jobs_in(DataFolder(tmp_path / f"back-{number}")) == filled.page().jobs
    assert not list(tmp_path.glob(".*.part*"))


def test_a_restore_that_is_killed_is_whole_or_not_there(filled: Queue, folder: DataFolder, tmp_path: Path) -> None:
    backup(folder, tmp_path / "kept.tar")
    ran = subprocess.run(
        [sys.executable, "-c", KILLED, "restore", tmp_path / "kept.tar", tmp_path / "back"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(ran.stdout) > 15
    for path in tmp_path.glob("*back"):
        assert jobs_in(DataFolder(path)) == filled.page().jobs
    assert not list(tmp_path.glob(".*.part*"))
