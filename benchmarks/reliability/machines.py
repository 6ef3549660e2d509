"""Servers, machines, workers and the database die in turn, with SIGKILL, while jobs are made.

What must hold afterwards: every job that was acknowledged is there once, whichever of the servers is asked, and has one
whole video with the very bits of an undisturbed run; no more than one checkpoint of work was done again.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from benchmarks.reliability.cluster import Asked, Machine, Scene, checked, planned, rows_of, scene
from benchmarks.reliability.record import Row, Tell
from benchmarks.reliability.server import kill

USUAL: Final = 200


def run(trials: range, tell: Tell) -> None:
    with planned() as plan:
        servers, nodes = [plan.server(f"server-{each}") for each in "ab"], [plan.node(f"node-{each}") for each in "ab"]
        with scene(plan, servers, nodes, trials.start) as there:
            for number in trials:
                victim = list(VICTIMS)[number % len(VICTIMS)]
                tell({"victim": victim, **tried(there, VICTIMS[victim])})


def tried(there: Scene, happens: Callable[[Scene, Asked], None]) -> dict[str, Any]:
    asked = there.submit_some()
    there.until_started(asked[0].job)
    time.sleep(there.chance.uniform(0, there.usual))
    happens(there, asked[0])
    return checked(there, asked)


def _server(scene: Scene, _asked: Asked) -> None:
    _restarted(scene.chance.choice(scene.servers))


def _node(scene: Scene, asked: Asked) -> None:
    _restarted(scene.machine_of(asked.job))


def _worker(scene: Scene, asked: Asked) -> None:
    for pid in scene.machine_of(asked.job).workers():
        kill(pid)


def _database(scene: Scene, _asked: Asked) -> None:
    scene.postgres.restart()


VICTIMS: Final[Mapping[str, Callable[[Scene, Asked], None]]] = {
    "server": _server, "node": _node, "worker": _worker, "database": _database,
}  # fmt: skip


def _restarted(machine: Machine) -> None:
    machine.lose_power()
    machine.start()
    machine.until_ready()


def rows(lines: Sequence[Mapping[str, Any]]) -> list[Row]:
    deaths = Counter(line["victim"] for line in lines)
    return [Row("killed", ", ".join(f"{deaths[name]} × {name}" for name in VICTIMS)), *rows_of(lines)]
