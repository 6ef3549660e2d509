"""The benchmark of growth runs, goes on where it was, and finds leases that are wrong."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.queue_growth import crew, report, stored
from benchmarks.queue_growth.__main__ import main
from benchmarks.queue_growth.crew import WRONG, Worked, judged
from benchmarks.reliability.record import Record
from tests.jobs.conftest import spec
from tests.postgres import Postgres
from wanvideo.jobs.database import Database
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.job import DONE
from wanvideo.jobs.leases import Leases
from wanvideo.jobs.queue import Queue


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[str]:
    """The address of a database."""
    name = uuid.uuid4().hex
    yield postgres.create(name)
    postgres.drop(name)


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    folder = DataFolder(tmp_path / "data")
    folder.make()
    database = Database(f"sqlite:///{folder.database}")
    database.migrate()
    yield Queue(database, folder, most_waiting=1000)
    database.close()


def test_every_part_runs_and_is_not_run_again(empty: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines, page = tmp_path / "growth.jsonl", tmp_path / "page.md"
    parts = ("calls", "chores", "nodes", "workers")
    marks = [f"<!-- growth: {name} -->\n<!-- end of growth: {name} -->\n" for name in parts]
    page.write_text("".join(marks))
    arguments = ["--tiny", "--parts", ",".join(parts), "--json", str(lines), "--report", str(page)]
    main([*arguments, "--database", empty])
    found = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [line["proof"] for line in found] == ["calls", "chores", "calls", "chores", "nodes", "workers", "workers"]
    assert {line[name] for line in found[5:] for name in WRONG} == {0}
    assert all(line["jobs"] > 0 for line in found[5:])
    assert "| queue: first page |" in page.read_text()
    before = lines.read_text()
    main([*arguments, "--database", "postgresql://nobody@127.0.0.1:1/is-asked"])
    assert lines.read_text() == before
    assert "SQLite | PostgreSQL" in capsys.readouterr().out


@pytest.mark.slow
def test_a_server_answers_with_such_a_store(empty: str, tmp_path: Path) -> None:
    lines = tmp_path / "growth.jsonl"
    main(["--tiny", "--stores", "postgres", "--parts", "served", "--json", str(lines), "--database", empty])
    (found,) = Record(lines).lines("served")
    assert found["submits_per_second"] > 0
    assert found["refused"] == 0


def test_a_store_is_filled_once_and_its_jobs_can_be_read(queue: Queue) -> None:
    for _ in range(2):
        queue.pause()
        stored.fill(queue, 100)
        assert not queue.paused
        counts = queue.counts()
        assert sum(counts[state] for state in DONE) == 100
        assert sum(counts.values()) == 100 + stored.QUEUED + stored.RUNNING + stored.HELD
    job = queue.get(stored.job_id(21))
    assert [event.kind for event in queue.events(job.id)][-1] == job.state == "succeeded"
    assert len(queue.page(limit=1000).jobs) == sum(counts.values())
    for made in (each for videos in queue.videos() for each in videos):
        assert queue.job_files.video(made.file).is_file()


def test_leases_that_are_wrong_are_found(queue: Queue) -> None:
    queue.submit(spec(), count=3)
    leases = Leases(queue)
    seen = crew.work(leases, "gpu", until=0.0)
    assert seen == Worked()
    jobs = [leases.claim("gpu") for _ in range(3)]
    claims = [(job.id, job.attempt, "gpu") for job in jobs if job is not None]
    for job in jobs[:2]:
        assert job is not None
        leases.succeed(job, {"worker": "gpu"})
    right = judged(queue, 0, Worked(claims=claims, ends=claims[:2]))
    assert {name for name, count in right.items() if count} == {"jobs_left_running"}
    assert judged(queue, 0, Worked(claims=claims[1:], ends=claims[:2]))["leases_lost"] == 1
    assert judged(queue, 0, Worked(claims=[*claims, claims[0]], ends=claims[:2]))["leases_doubled"] == 1
    stranger = ("0" * 32, 1, "gpu")
    assert judged(queue, 0, Worked(claims=[*claims, stranger], ends=claims[:2]))["leases_unknown"] == 1
    other = [(job, attempt, "another") for job, attempt, _ in claims]
    assert judged(queue, 0, Worked(claims=claims, ends=other[:2]))["results_of_another"] == 2


def test_goals_that_are_missed_are_named(tmp_path: Path) -> None:
    record = Record(tmp_path / "growth.jsonl")
    call = {"call": "claim", "goal": True, "p50_ms": 3.0, "p99_ms": 21.0}
    record.add("calls", {"store": "sqlite", "found": [call, call | {"p99_ms": 20.0}, call | {"goal": False}]})
    record.add("workers", {"workers": 7, **dict.fromkeys(WRONG, 0), "leases_lost": 2})
    for store, submits, ready in (("sqlite", 301, 2.1), ("postgres", 299, 1.9)):
        record.add("served", {"store": store, "submits_per_second": submits, "ready_seconds": ready})
    slow, wrong, few, late = report.broken(record)
    assert "claim: 21.0 ms" in slow
    assert "leases_lost is 2" in wrong
    assert "postgres: 299" in few
    assert "sqlite: ready after 2.1 s" in late
