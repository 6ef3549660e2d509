"""The power fails: what was acknowledged must be in the database that the disk then holds.

A library writes down every write and sync of the server while clients submit. For each of many moments the files are
built again as a disk might have them: what was synced, and of what was not, any part, cut at sectors. SQLite opens
them as it would after a reboot, and every job that a client had been told of by then must be there.
"""

import random
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.reliability.record import Row, Tell, none_of
from benchmarks.reliability.server import SMALL, Server, running

USUAL: Final = 10  # recordings
CHUNK: Final = 100  # cuts of one
SECTOR: Final = 512
SUBMITS: Final = 120
SOURCE: Final = Path(__file__).with_name("recorder.c")
DATABASE: Final = "wanvideo.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that was done to a file."""

    at: int  # nanoseconds, of the monotonic clock
    what: str  # w, t or s
    path: str
    offset: int
    data: bytes


@dataclass(slots=True)
class OnDisk:
    """A file: what is sure, and what may or may not be there yet."""

    sure: bytearray = field(default_factory=bytearray)
    open: list[Step] = field(default_factory=list)

    def take(self, step: Step) -> None:
        if step.what == "s":
            for each in self.open:
                _apply(self.sure, each)
            self.open.clear()
        else:
            self.open.append(step)

    def after_cut(self, chance: random.Random) -> bytes:
        """Each open write is there, or not, or in part; in any order."""
        found = bytearray(self.sure)
        for each in self.open:
            if chance.random() < 0.5:
                continue
            whole = each.what == "t" or chance.random() < 0.7
            kept = len(each.data) if whole else SECTOR * chance.randrange(1 + len(each.data) // SECTOR)
            _apply(found, Step(at=each.at, what=each.what, path=each.path, offset=each.offset, data=each.data[:kept]))
        return bytes(found)


def run(trials: range, tell: Tell) -> None:
    for number in trials:
        with tempfile.TemporaryDirectory() as folder:
            steps, told = recorded(Path(folder))
            tell(cut(steps, told, random.Random(number), CHUNK))


def recorded(folder: Path) -> tuple[list[Step], dict[str, int]]:
    """What a server did to its database, and when clients were told of which job."""
    library, record = folder / "record.so", folder / "record"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl", "-lpthread"], check=True)
    shim = {"LD_PRELOAD": str(library), "RECORD_FOLDER": str(folder / "data"), "RECORD_TO": str(record)}
    told: dict[str, int] = {}
    with running(folder, shim) as server:
        with ThreadPoolExecutor(8) as clients:
            for part in clients.map(lambda number: _submits(server, number), range(8)):
                told |= part
        server.kill()
    return list(steps_of(record)), told


def _submits(server: Server, first: int) -> dict[str, int]:
    told = {}
    with server.client() as client:
        for number in range(SUBMITS // 8):
            body = dict(SMALL) | {"seed": 1000 * first + number, "held": True}
            answer = client.post("/api/v1/generation/submit", json=body)
            told[str(answer.json()["task_id"])] = time.monotonic_ns()
    return told


def steps_of(record: Path) -> Iterator[Step]:
    """Of the database and its journal; the index beside them is made anew after a reboot."""
    data, at = record.read_bytes(), 0
    while at < len(data):
        end = data.index(b"\n", at)
        when, what, _inode, offset, size, path = data[at:end].decode().split(" ", 5)
        at = end + 1
        held = data[at : at + int(size)] if what == "w" else b""
        at += len(held)
        if Path(path).name in (DATABASE, f"{DATABASE}-wal"):
            yield Step(at=int(when), what=what, path=Path(path).name, offset=int(offset), data=held)


def cut(steps: Sequence[Step], told: Mapping[str, int], chance: random.Random, cuts: int) -> dict[str, Any]:
    """At so many moments, spread evenly from the first submit that was answered to the end."""
    first = next(number for number, step in enumerate(steps) if step.at > min(told.values()))
    moments = sorted(chance.sample(range(first, len(steps)), min(cuts, len(steps) - first)))
    files: dict[str, OnDisk] = {}
    found = {"cuts": len(moments), "told": len(told), "lost": 0, "damaged": 0}
    place = 0
    for moment in moments:
        for step in steps[place:moment]:
            files.setdefault(step.path, OnDisk()).take(step)
        place = moment
        acknowledged = {job for job, when in told.items() if when <= steps[moment].at}
        with tempfile.TemporaryDirectory() as folder:
            for name, file in files.items():
                (Path(folder) / name).write_bytes(file.after_cut(chance))
            there = jobs_in(Path(folder) / DATABASE)
        found["damaged"] += there is None
        found["lost"] += len(acknowledged - (there or set()))
    return found


def jobs_in(database: Path) -> set[str] | None:
    """None: it is damaged."""
    connection = sqlite3.connect(database)
    try:
        if connection.execute("PRAGMA quick_check").fetchone() != ("ok",):
            return None
        return {job for (job,) in connection.execute("SELECT id FROM jobs")}
    except sqlite3.DatabaseError:
        return None
    finally:
        connection.close()


def rows(lines: Sequence[Mapping[str, Any]]) -> list[Row]:
    cuts = sum(line["cuts"] for line in lines)
    return [
        none_of("cuts after which an acknowledged job was lost", sum(line["lost"] for line in lines), cuts),
        none_of("cuts after which the database was damaged", sum(line["damaged"] for line in lines), cuts),
    ]


def _apply(content: bytearray, step: Step) -> None:
    if step.what == "t":
        del content[step.offset :]
        content.extend(bytes(step.offset - len(content)))
        return
    if step.offset > len(content):
        content.extend(bytes(step.offset - len(content)))
    content[step.offset : step.offset + len(step.data)] = step.data
