"""Files of jobs on two machines that share a storage."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.jobs.conftest import spec
from wanvideo.jobs.files import Files
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.job import Job, State
from wanvideo.jobs.storage import SharedFolder

JOB = Job(id="0123456789ab", spec=spec(), state=State.RUNNING, attempt=1)


@pytest.fixture
def storage(tmp_path: Path) -> SharedFolder:
    (tmp_path / "shared").mkdir()
    return SharedFolder(tmp_path / "shared")


@pytest.fixture
def here(tmp_path: Path, storage: SharedFolder) -> Files:
    return machine(tmp_path / "here", storage)


@pytest.fixture
def there(tmp_path: Path, storage: SharedFolder) -> Files:
    return machine(tmp_path / "there", storage)


def machine(root: Path, storage: SharedFolder | None) -> Files:
    folder = DataFolder(root)
    folder.make()
    return Files(folder, storage)


def make(files: Files, job: Job, content: bytes = b"a video") -> dict[str, str]:
    name = f"a-heron-{job.id}.mp4"
    (files.folder.outputs / name).write_bytes(content)
    files.folder.thumbnail(job.id).write_bytes(b"a picture")
    return {"file": name}


def test_an_attempt_goes_on_on_another_machine_from_what_was_kept_last(here: Files, there: Files) -> None:
    (here.prepare(JOB) / "state").write_bytes(b"step 3")
    here.save(JOB)
    second = replace(JOB, attempt=2)
    assert (there.prepare(second) / "state").read_bytes() == b"step 3"
    (there.folder.job(JOB.id) / "state").write_bytes(b"step 5")
    there.save(second)
    here.save(JOB)  # of an attempt that was given up, and does not know it
    assert (here.prepare(replace(JOB, attempt=3)) / "state").read_bytes() == b"step 5"
    here.remove_state(JOB.id)
    assert not (here.folder.jobs / JOB.id).exists()
    there.leave(second)
    assert list(there.prepare(replace(JOB, attempt=4)).iterdir()) == []


def test_pictures_follow_the_job(here: Files, there: Files) -> None:
    (here.folder.inputs / "a.png").write_bytes(b"a picture")
    here.share_picture("a.png")
    request = replace(JOB.spec.request, image="a.png")
    there.prepare(replace(JOB, spec=replace(JOB.spec, request=request)))
    assert (there.folder.inputs / "a.png").read_bytes() == b"a picture"
    assert here.old_pictures(60.0) == []
    assert here.old_pictures(-60.0) == ["a.png"]
    here.remove_picture("a.png")
    assert here.old_pictures(-60.0) == []


def test_a_video_that_was_published_is_read_everywhere_and_leaves_its_machine(here: Files, there: Files) -> None:
    result = here.publish(JOB, make(here, JOB))
    here.leave(JOB)
    name = str(result["file"])
    assert not here.video(name).exists()
    assert there.video_bytes(name) == 7
    assert b"".join(there.read_video(name, 2, 5)) == b"video"
    assert there.thumbnail(JOB.id).read_bytes() == b"a picture"
    assert there.finder()(name, 0.0)
    there.remove_video(JOB.id, name)
    assert not there.finder()(name, 0.0)


def test_an_attempt_that_does_not_count_takes_back_its_own_video_alone(here: Files, there: Files) -> None:
    late, second = JOB, replace(JOB, attempt=2)
    counts = there.publish(second, make(there, second, b"the one that counts"))
    withdrawn = here.publish(late, make(here, late))
    here.withdraw(withdrawn)
    is_there = here.finder()
    assert is_there(str(counts["file"]), 0.0)
    assert not is_there(str(withdrawn["file"]), 0.0)
    assert there.video_bytes(str(counts["file"])) == 19


def test_a_video_that_is_made_after_the_storage_was_listed_is_found(here: Files, there: Files) -> None:
    is_there = there.finder()
    name = str(here.publish(JOB, make(here, JOB))["file"])
    assert is_there(name, time.time())
    assert not is_there(name, time.time() - 86_400)


def test_without_a_storage_nothing_is_copied(tmp_path: Path) -> None:
    files = machine(tmp_path / "alone", None)
    (files.prepare(JOB) / "state").write_bytes(b"step 3")
    made = make(files, JOB)
    files.save(JOB)
    assert files.publish(JOB, made) is made
    files.leave(JOB)
    files.withdraw(made)
    assert files.video(made["file"]).read_bytes() == b"a video"
    assert (files.prepare(replace(JOB, attempt=2)) / "state").read_bytes() == b"step 3"
    assert [path.name for path in tmp_path.iterdir()] == ["alone"]
