"""A data folder that has been in use for long: many jobs that are done, with their events and files."""

import json
import os
import sqlite3
import uuid
from pathlib import Path
from typing import Any, Final

KINDS: Final = ("submitted", "started", "phase", "checkpoint", "succeeded")


def fill(data: Path, count: int) -> None:
    """Copies of the one job in this folder, which has succeeded; no server may be at work on it."""
    with sqlite3.connect(data / "wanvideo.db") as connection:
        connection.row_factory = sqlite3.Row
        job = dict(connection.execute("SELECT * FROM jobs WHERE state = 'succeeded' LIMIT 1").fetchone())
        video = data / "outputs" / json.loads(job["result"])["file"]
        rows = [_copy(job, number, video) for number in range(count)]
        names = ", ".join(f":{name}" for name in job)
        connection.executemany(f"INSERT INTO jobs ({', '.join(job)}) VALUES ({names})", rows)
        connection.executemany(
            "INSERT INTO events (job, number, at, kind, data) VALUES (?, ?, ?, ?, '{}')",
            [(row["id"], number, row["created"], kind) for row in rows for number, kind in enumerate(KINDS, 1)],
        )
    connection.close()


def _copy(job: dict[str, Any], number: int, video: Path) -> dict[str, Any]:
    made = uuid.uuid4().hex
    target = video.with_name(f"stored-{number}-{made[:8]}.mp4")
    os.link(video, target)
    result = json.loads(job["result"]) | {"file": target.name}
    return job | {"id": made, "key": None, "result": json.dumps(result), "created": job["created"] - 1 - number / 1000}
