"""The proofs can fail, and, in short, they do not."""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.reliability import contract, faults, kills, load, power, serial
from benchmarks.reliability.power import OnDisk, Step
from benchmarks.reliability.record import Record, at_most, none_of, percentile
from benchmarks.reliability.report import written

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no C compiler")


def test_a_run_that_was_interrupted_goes_on_with_the_next_line(tmp_path: Path) -> None:
    record = Record(tmp_path / "results.jsonl")
    record.add("load", {"value": 1})
    with record.path.open("a") as file:
        file.write('{"proof": "load", "val')  # killed while it wrote
    assert [line["value"] for line in record.lines("load")] == [1]
    assert record.lines("kills") == []


def test_figures_take_the_place_of_older_ones() -> None:
    page = "# Page\n<!-- load -->\nold\n<!-- end of load -->\nrest\n"
    new = written(page, {"load": [at_most("time", 70, 50, " ms")]})
    assert "old" not in new
    assert "| time | 70 ms | ≤ 50 ms **(missed)** |" in new
    assert new.endswith("rest\n")
    with pytest.raises(ValueError, match="no place for kills"):
        written(page, {"kills": []})


def test_numbers_say_what_they_prove() -> None:
    assert percentile(range(1, 101), 99) == 99
    assert none_of("lost", 0, 300).figure == "0 of 300 (rate < 1 % at 95 %)"
    assert not none_of("lost", 1, 300).kept


def test_growth_is_seen_in_the_second_half_alone() -> None:
    grows = [{"jobs": jobs, "server_kib": 1000 + max(0, jobs - 50) * 3} for jobs in range(10, 110, 10)]
    flat = [{"jobs": jobs, "server_kib": 1000 + min(50, jobs) * 3} for jobs in range(10, 110, 10)]
    assert serial.slope(grows, "server_kib") == pytest.approx(3)
    assert serial.slope(flat, "server_kib") == pytest.approx(0)


def test_a_cut_loses_what_was_not_synced() -> None:
    disk, chance = OnDisk(), random.Random(0)
    disk.take(Step(at=1, what="w", path="f", offset=0, data=b"a" * 1024))
    assert len({disk.after_cut(chance) for _ in range(50)}) >= 3  # nothing, half, all
    disk.take(Step(at=2, what="s", path="f", offset=0, data=b""))
    assert {disk.after_cut(chance) for _ in range(50)} == {b"a" * 1024}


@needs_gcc
def test_the_call_that_is_to_fail_fails(tmp_path: Path) -> None:
    library, folder = faults.compiled(tmp_path), tmp_path / "data"
    folder.mkdir()
    shim = {"FAULT_FOLDER": str(folder), "FAULT_NTH": "3", "FAULT_ERRNO": "28"}
    write = (
        f"import os; f = os.open({str(folder / 'f')!r}, os.O_CREAT | os.O_WRONLY); [os.write(f, b'x') for _ in '123']"
    )
    ended = subprocess.run(
        [sys.executable, "-c", write], capture_output=True, text=True, check=False,
        env=os.environ | shim | {"LD_PRELOAD": str(library)},
    )  # fmt: skip
    assert "No space left" in ended.stderr
    assert (folder / "f").read_bytes() == b"xx"


@needs_gcc
@pytest.mark.slow
def test_no_cut_loses_what_was_acknowledged() -> None:
    found: list[Any] = []
    power.run(range(1), found.append)
    assert found[0]["told"] == power.SUBMITS
    assert (found[0]["lost"], found[0]["damaged"]) == (0, 0)


@pytest.mark.slow
def test_kills_lose_nothing() -> None:
    found: list[Any] = []
    kills.run(range(2), found.append, stored=50)
    assert [line["victim"] for line in found] == ["worker", "server"]
    assert all(row.kept for row in kills.rows(found) if "ready" not in row.what and "outlives" not in row.what)


@pytest.mark.slow
def test_many_clients_store_jobs_at_once(tmp_path: Path) -> None:
    from asyncio import run

    from benchmarks.reliability.server import running

    with running(tmp_path) as server:
        with server.client() as client:
            client.post("/api/v1/queue/pause", json={})
        found = run(load.submit_for(server, 2.0, 16))
        with server.client() as client:
            stored = client.get("/api/v1/queue?limit=1").json()["pending_tasks"]
    assert found.refused == 0
    assert found.stored == stored > 20


def test_what_schemathesis_found_is_read() -> None:
    said = "Failures:\n  ❌ ST204 Wrong response to undeclared method: 6\n\nTest cases:\n  5886 generated, 8 found"
    assert contract.summary(said, 1) == {"cases": 5886, "failed": {"ST204 Wrong response to undeclared method": 6}}
    assert contract.summary("Test cases:\n  10 generated, 10 passed", 0) == {"cases": 10, "failed": {}}
    assert contract.summary("another wording", 1)["failed"]  # it cannot pass for want of understanding
