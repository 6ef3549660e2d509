import json
from pathlib import Path

import pytest

from tests.cli.conftest import Wan
from tests.jobs.conftest import spec
from wanvideo.jobs.database import Database
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.leases import Leases
from wanvideo.jobs.queue import Queue


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Of a server that has made two videos."""
    folder = DataFolder(tmp_path / "data")
    folder.make()
    database = Database(f"sqlite:///{folder.database}")
    database.migrate()
    queue = Queue(database, folder)
    for size in (2**30, 2**30):
        job = Leases(queue).start(queue.submit(spec())[0].id, "gpu")
        assert job is not None
        Leases(queue).succeed(job, {"file": f"{job.id}.mp4", "bytes": size})
    database.close()
    return folder.root


def test_it_says_what_rules_would_remove_and_removes_nothing(data: Path, wan: Wan) -> None:
    plain = wan("outputs", "--data-dir", data, "--quota", "1GiB")
    assert plain.code == 0
    assert plain.out.startswith("2.0 GiB of videos\n")
    assert "quota_bytes  not announced yet" in plain.out
    assert "1 finished job with 1.0 GiB would go" in plain.out
    events = [
        json.loads(line) for line in wan("outputs", "--data-dir", data, "--quota", "0GiB", "--json").out.splitlines()
    ]
    assert [event["event"] for event in events] == ["stored", "due", "due"]


def test_without_rules_it_says_that_nothing_goes(data: Path, wan: Wan, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no rule removes any" in wan("outputs", "--data-dir", data).err
    monkeypatch.setenv("WANVIDEO_QUOTA_BYTES", str(2**30))
    assert "would go" in wan("outputs", "--data-dir", data).out


def test_a_folder_without_a_server_is_named(tmp_path: Path, wan: Wan) -> None:
    ended = wan("outputs", "--data-dir", tmp_path)
    assert ended.code == 1
    assert f"no server's data in {tmp_path}" in ended.err
