import os
import sqlite3
import subprocess
import sys
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import event, inspect, make_url

from tests.jobs.conftest import spec
from tests.jobs.test_relay import until
from tests.postgres import Postgres
from wanvideo.errors import DataFolderInUse, StorageFailed
from wanvideo.jobs.database import Database
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.leases import Leases
from wanvideo.jobs.lock import locked
from wanvideo.jobs.queue import Queue
from wanvideo.jobs.reconcile import Review, reconcile
from wanvideo.jobs.tables import METADATA


def test_migrations_make_the_tables_that_the_code_works_with(database: Database) -> None:
    with database.write() as connection:
        context = MigrationContext.configure(connection, opts={"render_as_batch": True, "include_object": _is_of_both})
        assert compare_metadata(context, METADATA) == []


def _is_of_both(_object: object, name: str | None, *_: object) -> bool:
    """The trigrams of prompts are an index of PostgreSQL's, and tables of SQLite's full-text search."""
    return name is None or not name.startswith("jobs_of_prompt")


def test_migrations_go_up_and_down_with_data(queue: Queue, database: Database) -> None:
    queue.submit(spec())
    database.migrate()
    assert len(queue.page().jobs) == 1
    database.migrate("base")
    with database.read() as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
    database.migrate()
    assert queue.page().jobs == ()


def test_only_one_server_uses_a_database(url: str, database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("its file lies in the data folder, which is locked")
    other = Database(url)
    with database.alone(), pytest.raises(DataFolderInUse, match="another server"), other.alone():
        pass
    with other.alone():
        other.check()
    other.close()


def test_a_store_that_cannot_be_reached_is_said_to_be_so() -> None:
    for url, said in (("nonsense", "is not one"), ("mysql://localhost/wan", "mysql:// is no database")):
        with pytest.raises(StorageFailed, match=said):
            Database(url)
    nobody = Database("postgresql://wan:secret@127.0.0.1:1/wan?connect_timeout=1")
    with pytest.raises(StorageFailed, match="failed") as caught:
        nobody.check()
    assert "secret" not in str(caught.value)
    nobody.close()


def test_commits_reach_the_disk_and_readers_cannot_write(sqlite: Database) -> None:
    with sqlite.write() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    with pytest.raises(StorageFailed, match="readonly"), sqlite.read() as connection:
        connection.exec_driver_sql("DELETE FROM jobs")


def test_a_damaged_database_is_refused_and_nothing_more_is_taken(sqlite: Database, folder: DataFolder) -> None:
    queue = Queue(sqlite, folder, most_waiting=50)
    queue.submit(spec("x" * 2000), count=40)
    queue.database.close()
    with folder.database.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(folder.database.stat().st_size - 4096))
    database = Database(f"sqlite:///{folder.database}")
    with pytest.raises(StorageFailed):
        database.check()
    with pytest.raises(StorageFailed):
        Queue(database, folder).submit(spec())
    database.close()


def test_a_large_database_is_checked_while_the_server_works(
    sqlite: Database, folder: DataFolder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue(sqlite, folder, most_waiting=50)
    queue.submit(spec("x" * 2000), count=40)
    assert not sqlite.is_large
    monkeypatch.setattr("wanvideo.jobs.database._CHECKED_AT_ONCE", 2**16)
    assert sqlite.is_large
    with sqlite.read() as connection:
        root = connection.exec_driver_sql("SELECT rootpage FROM sqlite_schema WHERE name = 'jobs_of_batch'").scalar()
        page = connection.exec_driver_sql("PRAGMA page_size").scalar()
    sqlite.close()
    assert root is not None
    assert page is not None
    with folder.database.open("r+b") as file:
        file.seek((root - 1) * page)
        file.write(bytes(page))
    database = Database(f"sqlite:///{folder.database}")
    queue = Queue(database, folder, most_waiting=50)
    assert len(queue.page().jobs) == 40
    Review(queue).run()
    assert "the database is damaged" in caplog.text
    with pytest.raises(StorageFailed, match="damaged"):
        queue.page()
    database.close()


def test_what_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "wanvideo.db"
    path.write_bytes(b"not a database" * 1000)
    database = Database(f"sqlite:///{path}")
    with pytest.raises(StorageFailed, match="file is not a database"):
        database.migrate()
    with pytest.raises(StorageFailed, match="start the server again"):
        database.check()
    database.close()


def test_a_second_server_is_kept_out(folder: DataFolder) -> None:
    code = (
        "import sys; from pathlib import Path; from wanvideo.jobs.folder import DataFolder; "
        "from wanvideo.jobs.lock import locked\n"
        f"with locked(DataFolder(Path({str(folder.root)!r}))): pass"
    )
    with locked(folder):
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        with pytest.raises(DataFolderInUse, match=f"process {os.getpid()}"), locked(folder):
            pass
    assert ran.returncode == 1
    assert f"in use by another server (process {os.getpid()})" in ran.stderr
    with locked(folder):
        pass


def test_left_overs_are_removed(queue: Queue, folder: DataFolder) -> None:
    done, failed = queue.submit(spec(), count=2)
    for job in (done, failed):
        folder.job(job.id).mkdir()
        assert Leases(queue).start(job.id, "gpu")
    Leases(queue).succeed(queue.get(done.id), {"file": "gone.mp4"})
    folder.job(done.id).mkdir()
    (folder.jobs / "0123456789").mkdir()
    (folder.outputs / ".wan-0123.part").touch()
    (folder.thumbnails / "0123456789_thumb.part").touch()
    (folder.outputs / "download.part").touch()
    (folder.outputs / "theirs.mp4").touch()
    found = reconcile(queue)
    assert (found.half_files, found.folders) == (2, 2)
    assert folder.job(failed.id).exists()
    assert {path.name for path in folder.outputs.iterdir()} == {"download.part", "theirs.mp4"}


def test_jobs_whose_videos_are_gone_are_named(
    queue: Queue, folder: DataFolder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wanvideo.jobs.queue.AT_ONCE", 2)
    jobs = _succeeded(queue, 5)
    for job in jobs[1:4]:
        (folder.outputs / f"{job}.mp4").touch()
    queue.delete(jobs[3])
    review = Review(queue, after=0.0)
    review.start()
    until(lambda: "videos are gone" in caplog.text)
    review.stop()
    assert f"videos are gone, of 2 jobs: {jobs[0]}, {jobs[4]}" in caplog.text


def test_a_job_that_is_deleted_while_videos_are_looked_for_is_not_named(
    queue: Queue, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, deleted = _succeeded(queue, 2)

    def is_there(_name: str, _made: float) -> bool:
        if queue.find(deleted):
            queue.delete(deleted)
        return False

    monkeypatch.setattr("wanvideo.jobs.files.Files.finder", lambda _: is_there)
    Review(queue).run()
    assert f"videos are gone, of 1 jobs: {gone}" in caplog.text


def test_jobs_are_looked_up_by_their_ids_alone(sqlite: Database, folder: DataFolder) -> None:
    asked: list[tuple[str, tuple[object, ...]]] = []
    queue = Queue(sqlite, folder)
    _succeeded(queue, 30)
    event.listen(sqlite._reader, "before_cursor_execute", lambda *given: asked.append((given[2], given[3])))
    Review(queue).run()
    lookups = [each for each in asked if "jobs.id IN" in each[0]]
    assert len(lookups) == 1
    with sqlite.read() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {lookups[0][0]}", lookups[0][1]).all()
    assert "(id=?)" in plan[0].detail


def test_a_review_ends_when_it_is_stopped(
    queue: Queue, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wanvideo.jobs.queue.AT_ONCE", 1)
    (first, *_), review = _succeeded(queue, 3), Review(queue)
    review.stop()
    review.run()
    assert f"videos are gone, of 1 jobs: {first}" in caplog.text


def _succeeded(queue: Queue, count: int) -> list[str]:
    for job in (jobs := queue.submit(spec(), count=count)):
        assert Leases(queue).start(job.id, "gpu")
        Leases(queue).succeed(queue.get(job.id), {"file": f"{job.id}.mp4"})
    return [job.id for job in jobs]


def test_old_versions_of_sqlite_are_safe_since_one_connection_writes(sqlite: Database) -> None:
    assert sqlite3.sqlite_version_info >= (3, 35)
    assert sqlite._writer.pool.size() == 1  # type: ignore[attr-defined]


def test_a_database_of_an_older_form_is_brought_up_to_date_with_its_data(queue: Queue, database: Database) -> None:
    made, failed, waiting = queue.submit(spec(), count=3)
    for job in (made, failed):
        assert Leases(queue).start(job.id, "gpu")
    Leases(queue).succeed(queue.get(made.id), {"file": "v.mp4", "bytes": 4711})
    Leases(queue).fail(queue.get(failed.id), {"code": "X"})
    before = [queue.get(job.id) for job in (made, failed, waiting)]
    database.migrate("0001")
    with pytest.raises(StorageFailed, match="has the form 0001"):
        database.require_current()
    database.migrate()
    database.require_current()
    assert [queue.get(job.id) for job in (made, failed, waiting)] == before
    assert queue.stored_bytes() == 4711


def test_a_database_of_a_newer_version_is_refused(database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StorageFailed, match="install the newer one"):
        database.require_current()
    with pytest.raises(StorageFailed, match="has the form 9999"):
        database.migrate()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"port": 1}, "port 1 failed"),
        ({"database": "nowhere"}, '"nowhere" does not exist'),
        ({"username": "stranger"}, '"stranger" does not exist'),
        ({"host": "nowhere.invalid"}, "nowhere.invalid"),
    ],
)
def test_a_wrong_address_is_named_with_the_remedy_and_without_its_password(
    postgres: Postgres, change: dict[str, Any], said: str
) -> None:
    address = make_url(postgres.url()).set(password="very-secret").set(**change)
    database = Database(address.render_as_string(hide_password=False))
    with closing(database), pytest.raises(StorageFailed) as found:
        database.check()
    assert said in found.value.message
    assert "WANVIDEO_DATABASE" in found.value.message
    assert "\n" not in found.value.message
    assert "very-secret" not in found.value.message


def test_a_database_that_no_server_has_used_is_no_queue(postgres: Postgres) -> None:
    name = uuid.uuid4().hex
    database = Database(postgres.create(name))
    with closing(database), pytest.raises(StorageFailed, match="start the server once"):
        database.require_current()
    postgres.drop(name)


def test_a_clock_that_is_off_is_noticed_where_others_have_the_database_too(database: Database) -> None:
    ahead = database.clock_ahead(lambda: time.time() + 600)
    assert abs(ahead - (0 if database.is_sqlite else 600)) < 5
