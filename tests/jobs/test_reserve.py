"""On a disk that is really full, what makes room works all the same."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.jobs.conftest import spec
from wanvideo.errors import DiskFull, JobNotFound
from wanvideo.jobs.database import Database
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.job import State
from wanvideo.jobs.lock import Address, announced, locked
from wanvideo.jobs.queue import Queue
from wanvideo.jobs.reserve import Reserve


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[DataFolder]:
    """A data folder on a file system of 4 MiB."""
    root = tmp_path / "small"
    root.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(root)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system may be mounted here")
    folder = DataFolder(root)
    folder.make()
    yield folder
    subprocess.run(["umount", str(root)], check=True)


def fill(folder: DataFolder) -> None:
    """To the last byte, as some other program might."""
    with (folder.root / "of somebody else").open("ab", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    assert shutil.disk_usage(folder.root).free == 0


def fill_journal(queue: Queue) -> None:
    """It has some room of its own."""
    with suppress(DiskFull):
        while queue.submit(spec("one more")):
            pass


@pytest.fixture
def queue(small_disk: DataFolder) -> Iterator[Queue]:
    database = Database(f"sqlite:///{small_disk.database}")
    database.migrate()
    yield Queue(database, small_disk)
    database.close()


@pytest.mark.parametrize("way", ["delete", "discard", "clear"])
def test_a_job_can_be_deleted_on_a_full_disk(queue: Queue, way: str) -> None:
    (job,) = queue.submit(spec())
    queue.cancel(job.id)
    queue.reserve.fill()
    fill(queue.folder)
    fill_journal(queue)
    if way == "clear":
        queue.clear([State.CANCELLED])
    else:
        getattr(queue, way)(job.id)
    with pytest.raises(JobNotFound):
        queue.get(job.id)


def test_without_the_room_that_is_kept_it_could_not(queue: Queue) -> None:
    (job,) = queue.submit(spec())
    queue.cancel(job.id)
    fill(queue.folder)
    fill_journal(queue)
    with pytest.raises(DiskFull):
        queue.delete(job.id)
    assert queue.get(job.id).state is State.CANCELLED


def test_a_server_starts_on_a_full_disk(small_disk: DataFolder) -> None:
    Reserve(small_disk.reserve).fill()
    fill(small_disk)
    with locked(small_disk), announced(small_disk, Address(url="http://localhost:9000")):
        with closing(Database(f"sqlite:///{small_disk.database}")) as database:
            database.migrate()
        assert small_disk.address.is_file()


def test_it_takes_half_of_the_room_at_most_and_none_of_no_room(small_disk: DataFolder) -> None:
    reserve = Reserve(small_disk.reserve)
    fill(small_disk)
    reserve.fill()
    assert small_disk.reserve.stat().st_size == 0
    reserve.spend()
    with (small_disk.root / "of somebody else").open("r+b") as file:
        file.truncate(3 * 2**20)
    reserve.fill()
    assert 400_000 < small_disk.reserve.stat().st_size <= 600_000
