"""A store that has been in use for a year: finished jobs with their events and measurements, and some that wait."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import Connection, text

from wanvideo.failure.values import Failure
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.job import DONE, State
from wanvideo.jobs.leases import Leases
from wanvideo.jobs.queue import Queue
from wanvideo.jobs.rows import dumped
from wanvideo.jobs.spec import JobSpec
from wanvideo.request import GenerationRequest

PROMPTS: Final = 2000  # different ones
RARE: Final = "zeppelin"  # a word of one prompt in 2000
NEVER: Final = "quicksilver"  # and of none
RARE_MODEL: Final = "wan2.1-t2v-1.3B"  # one prompt in 100
QUEUED: Final = 300
RUNNING: Final = 20
HELD: Final = 10
BORN: Final = 1.7e9  # the time of the first job
APART: Final = 30.0  # seconds between two
_CHUNK: Final = 20_000  # jobs of one transaction
FAILURE: Final = Failure(
    category="memory", code="OUT_OF_MEMORY", title="Not enough GPU memory", phase="denoise",
    message="31.2 GiB of GPU memory needed, 23.6 GiB free: lower the resolution",
)  # fmt: skip
_RESULT: Final[Mapping[str, Any]] = {
    "file": "a-heron-lands-on-a-frozen-lake-7-NUMBER.mp4", "sha256": "0" * 64, "bytes": 4_711_000, "frames": 81,
    "fps": 16, "width": 832, "height": 480, "steps": 40, "seconds": 300.0,
    "phases": {"load": 20.0, "encode": 2.0, "denoise": 250.0, "decode": 20.0, "write": 8.0},
}  # fmt: skip
_MEASURED: Final = {name: _RESULT[name] for name in ("phases", "seconds", "width", "height", "frames", "steps")}
_PHASES: Final = ("load", "encode", "denoise", "decode", "write")
_SUBJECTS: Final = ("heron", "fox", "lighthouse", "tram", "baker", "glacier", "kite", "violin", "harbour", "comet")
_PLACES: Final = ("on a frozen lake", "in the old town", "above the clouds", "by the river", "under a red sky")
_MANNERS: Final = ("slow pan", "handheld", "time lapse", "close-up")

# By the database itself, to which a million rows are a matter of minutes.
_NUMBERS: Final = {
    True: "WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last)",
    False: "WITH n(i) AS (SELECT generate_series(CAST(:first AS bigint), CAST(:last AS bigint)))",
}
_ID: Final = {True: "printf('%032x', {0})", False: "lpad(to_hex({0}), 32, '0')"}
_JOBS: Final = """INSERT INTO jobs (id, state, model, prompt, spec, priority, rank, attempt, deaths, cancelling,
    created, started, finished, failure, result, bytes, favourite, key, key_digest)
{numbers} SELECT {id}, ending.state, mould.model, mould.prompt, mould.spec, 0, i * 1024.0, 1, 0, 0,
    {born} + i * {apart}, {born} + i * {apart} + 2, {born} + i * {apart} + 302, ending.failure,
    replace(ending.result, 'NUMBER', {id}), ending.bytes, CASE i % 50 WHEN 3 THEN 1 ELSE 0 END, {id}, {id} || {id}
FROM n JOIN ending ON ending.n = i % 20 JOIN mould ON mould.n = i % {prompts}"""
_EVENTS: Final = """INSERT INTO events (job, number, at, kind, data)
SELECT jobs.id, happened.number, jobs.created + happened.number, happened.kind, happened.data
FROM jobs JOIN happened ON happened.state = jobs.state
WHERE jobs.created BETWEEN {born} + :first * {apart} AND {born} + :last * {apart}
ORDER BY jobs.created, happened.number"""
_RUNS: Final = """INSERT INTO runs (job, model, tier, at, outcome, numbers)
SELECT id, model, 'exact', finished, state, :measured
FROM jobs WHERE state <> 'cancelled' AND created BETWEEN {born} + :first * {apart} AND {born} + :last * {apart}
ORDER BY created"""


def fill(queue: Queue, count: int) -> None:
    """Bring a store to `count` finished jobs, and some that wait or run; those that are there already stay."""
    database = queue.database
    counts = queue.counts()
    there = sum(counts[state] for state in DONE)
    for first in range(there + 1, count + 1, _CHUNK):
        with database.write() as connection:
            _add(connection, first, min(count, first + _CHUNK - 1), sqlite=database.is_sqlite)
    _add_files(queue.folder, count)
    queue.pause(False)  # a server was measured, and that was interrupted
    if not counts[State.QUEUED]:
        _add_active(queue)
    if not database.is_sqlite:  # what PostgreSQL does by itself while a store grows
        with database.read() as connection:
            connection.execute(text("VACUUM (ANALYZE)"))
            connection.execute(text("CHECKPOINT"))


def job_id(number: int) -> str:
    """Of one of the finished jobs, from 1."""
    return f"{number:032x}"


def specs() -> Iterator[JobSpec]:
    """What the jobs were asked for."""
    for number in range(PROMPTS):
        subject, place = _SUBJECTS[number % 10], _PLACES[number // 10 % 5]
        prompt = f"a {subject} {place}, {_MANNERS[number // 50 % 4]}, soft light at dawn, film grain, take {number}"
        prompt = f"{prompt}, a {RARE} far away" if number == PROMPTS - 1 else prompt
        image = f"{number:08x}.png" if number % 4 == 1 else None
        model = RARE_MODEL if number % 100 == 2 else "t2v-A14B" if image is None else "i2v-A14B"
        request = GenerationRequest(prompt=prompt, image=image, seed=number, frames=81)
        yield JobSpec(model=model, request=request)


def _add(connection: Connection, first: int, last: int, *, sqlite: bool) -> None:
    _add_templates(connection)
    values = {
        "numbers": _NUMBERS[sqlite], "id": _ID[sqlite].format("i"), "prompts": PROMPTS, "born": BORN, "apart": APART
    }  # fmt: skip
    for statement in (_JOBS, _EVENTS, _RUNS):
        parameters = {"first": first, "last": last, "measured": dumped(_MEASURED)}
        query = text(statement.format(**values))
        connection.execute(query, {name: parameters[name] for name in query.compile().params})
    for table in ("mould", "ending", "happened"):
        connection.execute(text(f"DROP TABLE {table}"))


def _add_files(folder: DataFolder, count: int) -> None:
    """Videos with nothing in them: how many there are is what a start depends on."""
    made = [ending["result"] is not None for ending in _endings()]
    for number in range(1, count + 1):
        if made[number % len(made)]:
            folder.outputs.joinpath(_RESULT["file"].replace("NUMBER", job_id(number))).touch()


def _add_templates(connection: Connection) -> None:
    """Tables from which the database makes the rows."""
    for table in (
        "mould (n INTEGER PRIMARY KEY, model TEXT, prompt TEXT, spec TEXT)",
        "ending (n INTEGER PRIMARY KEY, state TEXT, failure TEXT, result TEXT, bytes BIGINT)",
        "happened (state TEXT, number INTEGER, kind TEXT, data TEXT)",
    ):
        connection.execute(text(f"CREATE TEMPORARY TABLE {table}"))
    connection.execute(
        text("INSERT INTO mould VALUES (:n, :model, :prompt, :spec)"),
        [
            {"n": n, "model": spec.model, "prompt": spec.request.prompt, "spec": dumped(spec.to_json())}
            for n, spec in enumerate(specs())
        ],
    )
    connection.execute(text("INSERT INTO ending VALUES (:n, :state, :failure, :result, :bytes)"), list(_endings()))
    connection.execute(text("INSERT INTO happened VALUES (:state, :number, :kind, :data)"), list(_events()))


def _endings() -> Iterator[dict[str, Any]]:
    """Of twenty jobs: one is cancelled, two fail."""
    for n in range(20):
        state = "cancelled" if n == 0 else "failed" if n in (7, 14) else "succeeded"
        made = state == "succeeded"
        yield {
            "n": n, "state": state, "failure": dumped(FAILURE.to_json()) if state == "failed" else None,
            "result": dumped(_RESULT) if made else None, "bytes": _RESULT["bytes"] if made else None,
        }  # fmt: skip


def _events() -> Iterator[dict[str, Any]]:
    for state in ("succeeded", "failed", "cancelled"):
        kinds = [("submitted", "{}"), ("started", '{"attempt":1,"worker":"gpu0"}')]
        if state != "cancelled":
            kinds += [("phase", f'{{"phase":"{phase}"}}') for phase in _PHASES]
        for number, (kind, data) in enumerate([*kinds, (state, "{}")], 1):
            yield {"state": state, "number": number, "kind": kind, "data": data}


def _add_active(queue: Queue) -> None:
    """The newest jobs wait or run."""
    chosen, leases = list(specs()), Leases(queue)
    for number in range(QUEUED + RUNNING + HELD):
        queue.submit(chosen[number % PROMPTS], held=number % ((QUEUED + RUNNING + HELD) // HELD) == 0)
    for number in range(RUNNING):
        leases.claim(f"gpu{number}")
