"""PostgreSQL is started again every 5 to 40 s, without any warning, while clients keep the queue full."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from benchmarks.reliability.cluster import LONG, SEEDS, SHORT, Asked, Scene, checked, planned, rows_of, scene
from benchmarks.reliability.record import Row, Tell, percentile

USUAL: Final = 60
LEAST, MOST = 5.0, 40.0  # seconds between two restarts
WAITING: Final = 3  # jobs at a time, one of them long
AT_ONCE: Final = 5  # restarts, after which everything is counted


def run(trials: range, tell: Tell) -> None:
    with planned() as plan:
        servers, nodes = [plan.server(f"server-{each}") for each in "ab"], [plan.node(f"node-{each}") for each in "ab"]
        with scene(plan, servers, nodes, trials.start) as there:
            done = 0
            while done < len(trials):
                number = min(AT_ONCE, len(trials) - done)
                found = _tried(there, number)
                for _ in range(number - 1):  # a line for each restart; what was counted stands in the last
                    tell({"restarts": 1})
                tell({"restarts": 1, **found})
                done += number


def _tried(there: Scene, restarts: int) -> dict[str, Any]:
    asked: list[Asked] = []
    pauses = [there.chance.uniform(LEAST, MOST) for _ in range(restarts)]
    for pause in pauses:
        until = time.monotonic() + pause
        while time.monotonic() < until:
            _fill(there, asked)
            time.sleep(min(0.5, max(0.0, until - time.monotonic())))
        there.postgres.restart()
    return {"pause_seconds": [round(pause, 1) for pause in pauses], **checked(there, asked)}


def _fill(there: Scene, asked: list[Asked]) -> None:
    waiting = there.ask("GET", "/api/v1/queue?limit=1")["pending_tasks"]
    for _ in range(WAITING - waiting):
        each = Asked(seed=there.chance.choice(SEEDS), steps=LONG if len(asked) % WAITING == 0 else SHORT)
        each.job = there.submit(each)
        asked.append(each)


def rows(lines: Sequence[Mapping[str, Any]]) -> list[Row]:
    counted = [line for line in lines if "jobs" in line]
    pauses = [pause for line in counted for pause in line["pause_seconds"]]
    return [
        Row("restarts", f"{len(lines)}, {percentile(pauses, 50):.0f} s apart (median)"),
        *rows_of(counted),
    ]
