"""Words of prompts are found the same with an index and without, and rare ones by it."""

import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import Connection, text

from tests.jobs.conftest import spec
from wanvideo.jobs import queries
from wanvideo.jobs.database import Database
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.job import State
from wanvideo.jobs.queries import Filter, few_with_text, newest
from wanvideo.jobs.queue import Queue

PROMPTS = (
    'A "red" Heron, 50% off',
    "a fox's den",
    "NEAR the fox",
    "Ünder_the ÄPFEL",
    "apfel * AND fox",
    "鷺が降りる湖",
    "",
)
TEXTS = (
    "heron", "HERON", '"red"', '"', "50% o", "%", "fox", "fox's", "NEAR the", "*", "* AND", "_the", "ÄPFEL", "äpfel",
    "の", "降りる", "鷺が降りる湖", "fo", "nowhere", "den, but not", "x" * 200, "\0fox", "\0",
)  # fmt: skip


def found(queue: Queue, searched: str) -> list[str]:
    return [job.spec.request.prompt for job in queue.page(Filter(text=searched)).jobs]


def test_texts_are_found_where_they_stand(queue: Queue) -> None:
    for prompt in PROMPTS:
        queue.submit(spec(prompt))
    for searched in ("heron", "50% o", "fox", "* AND", "降りる", "nowhere", "fo"):
        expected = [prompt for prompt in reversed(PROMPTS) if searched.lower() in prompt.lower()]
        assert found(queue, searched) == expected, searched
        assert queue.counts(Filter(text=searched))[State.QUEUED] == len(expected)


def test_an_index_finds_what_reading_all_prompts_finds(sqlite: Database, folder: DataFolder) -> None:
    queue = Queue(sqlite, folder)
    for prompt in PROMPTS:
        queue.submit(spec(prompt))
    by_index = {searched: found(queue, searched) for searched in TEXTS}
    with sqlite.read() as connection:
        indexed = {searched for searched in TEXTS if few_with_text(connection, Filter(text=searched)) is not None}
    assert indexed == {searched for searched in TEXTS if len(searched) >= 3 and "\0" not in searched}
    sqlite.migrate("0007")  # as where SQLite has no full-text search
    assert {searched: found(queue, searched) for searched in TEXTS} == by_index
    sqlite.migrate()  # what is there already gets into the index
    with sqlite.read() as connection:
        assert few_with_text(connection, Filter(text="降りる")) == "[6]"


def test_an_index_is_made_anew_where_rows_have_moved(sqlite: Database, folder: DataFolder) -> None:
    queue = Queue(sqlite, folder)
    for prompt in ("a heron", "a fox"):
        queue.submit(spec(prompt))
    with closing(sqlite3.connect(folder.database)) as connection:
        connection.execute("UPDATE jobs SET rowid = rowid + 7")
        connection.commit()
        assert found(queue, "heron") == []
        connection.execute("VACUUM")
    sqlite.migrate()
    assert (found(queue, "heron"), found(queue, "fox")) == (["a heron"], ["a fox"])
    with sqlite.read() as reading:
        assert few_with_text(reading, Filter(text="fox")) == "[9]"


def test_an_index_follows_what_becomes_of_jobs(queue: Queue) -> None:
    kept, edited, deleted = (queue.submit(spec(f"a heron, {name}"))[0] for name in ("kept", "edited", "deleted"))
    queue.edit(edited.id, {"request": {"prompt": "a glacier"}})
    queue.edit(kept.id, {"request": {"seed": 8}})
    queue.cancel(deleted.id)
    queue.delete(deleted.id)
    assert found(queue, "heron") == ["a heron, kept"]
    assert found(queue, "glacier") == ["a glacier"]
    if queue.database.is_sqlite:
        with queue.database.read() as connection:
            assert few_with_text(connection, Filter(text="heron")) == "[1]"
            assert few_with_text(connection, Filter(text="deleted")) == "[]"


def test_an_index_still_fits_when_somebody_has_made_the_file_smaller(sqlite: Database, folder: DataFolder) -> None:
    queue = Queue(sqlite, folder)
    first, _ = queue.submit(spec("a fox"))[0], queue.submit(spec("a heron"))
    queue.cancel(first.id)
    queue.delete(first.id)
    with sqlite._writer.connect() as connection:
        connection.connection.cursor().execute("VACUUM")
    assert found(queue, "heron") == ["a heron"]


def test_the_few_are_read_and_not_all_in_a_state(sqlite: Database, folder: DataFolder) -> None:
    queue = Queue(sqlite, folder)
    queue.submit(spec("a heron"), count=20)
    which = Filter(text="heron", states=frozenset({State.QUEUED}), model="t2v-A14B-demo")
    with sqlite.read() as connection:
        few = few_with_text(connection, which)
        assert any("INTEGER PRIMARY KEY" in line for line in plan(connection, which, few))
        assert any("jobs_of_model_and_state" in line for line in plan(connection, which, None))
    page = queue.page(which, limit=15)
    rest = queue.page(which, limit=15, cursor=page.next)
    assert page.jobs + rest.jobs == queue.page(limit=20).jobs


def plan(connection: Connection, which: Filter, few: str | None) -> list[str]:
    query = newest(which, 10, None, few).compile(connection, compile_kwargs={"literal_binds": True})
    return [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}")]


def test_what_many_have_is_looked_for_from_the_newest_job_on(
    sqlite: Database, folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "FEW", 2)
    queue = Queue(sqlite, folder)
    queue.submit(spec("a heron"), count=2)
    for expected in ("[1,2]", None):
        with sqlite.read() as connection:
            assert few_with_text(connection, Filter(text="heron")) == expected
        queue.submit(spec("a heron"))


def test_postgres_knows_hundreds_of_prompts(database: Database, folder: DataFolder) -> None:
    if database.is_sqlite:
        pytest.skip("it looks which are rare")
    queue = Queue(database, folder)
    for number in range(300):
        queue.submit(spec(f"a heron, take {number}"))
    with database.write() as connection:
        connection.execute(text("ANALYZE jobs"))
        bounds = text(
            "SELECT cardinality(CAST(CAST(histogram_bounds AS text) AS text[])) FROM pg_stats "
            "WHERE tablename = 'jobs' AND attname = 'prompt'"
        )
        assert connection.execute(bounds).scalar_one() == 300
