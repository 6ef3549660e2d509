"""A Ray cluster of two raylets, with a GPU each that is only a number: parts of it are killed in turn, under load.

An actor; the worker of one; a raylet with all that it has, as a machine that loses its power; the server that
started the actors, which end with it. A second server, which knows nothing of Ray, stands behind the same address.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final

import psutil

from benchmarks.reliability.cluster import Scene, checked, planned, rows_of, scene
from benchmarks.reliability.record import Row, Tell
from benchmarks.reliability.server import kill
from tests.raylets import RayCluster, ray_cluster

USUAL: Final = 40


def run(trials: range, tell: Tell) -> None:
    with _scene(trials.start) as (there, ray):
        for number in trials:
            victim = list(VICTIMS)[number % len(VICTIMS)]
            asked = there.submit_some()
            there.until_started(asked[0].job)
            time.sleep(there.chance.uniform(0, there.usual))
            VICTIMS[victim](there, ray)
            tell({"victim": victim, **checked(there, asked)})


@contextmanager
def _scene(chance: int) -> Iterator[tuple[Scene, RayCluster]]:
    with ExitStack() as closing:
        plan = closing.enter_context(planned())
        variables = plan.environment | {"WANVIDEO_DATA_DIR": str(plan.root / "ray")}
        ray = closing.enter_context(ray_cluster(variables))
        ray.start()
        known = {name: value for name, value in ray.environment.items() if name.startswith("RAY_")}
        head = plan.server("head", "--executor", "ray", **known)
        yield closing.enter_context(scene(plan, [head, plan.server("other")], [], chance)), ray


def _actor(scene: Scene, ray: RayCluster) -> None:
    kill(scene.chance.choice(_pids(ray, lambda process: process.name().startswith("ray::RayGroup"))))


def _worker(scene: Scene, ray: RayCluster) -> None:
    kill(scene.chance.choice(_pids(ray, lambda process: "wanvideo.worker" in process.cmdline())))


def _raylet(_scene: Scene, ray: RayCluster) -> None:
    ray.kill(len(ray.raylets) - 1)  # the head's stays
    ray.start()


def _server(scene: Scene, _ray: RayCluster) -> None:
    head = scene.servers[0]
    head.lose_power()
    head.start()
    head.until_ready()


VICTIMS: Final[Mapping[str, Callable[[Scene, RayCluster], None]]] = {
    "actor": _actor, "worker": _worker, "raylet": _raylet, "server": _server,
}  # fmt: skip


def _pids(ray: RayCluster, wanted: Callable[[psutil.Process], bool]) -> list[int]:
    """Of what the raylets have started. There are some: a job is being made."""
    found = []
    for raylet in ray.raylets:
        with suppress(psutil.Error):
            found += [each.pid for each in psutil.Process(raylet.pid).children(recursive=True) if _is(each, wanted)]
    return found


def _is(process: psutil.Process, wanted: Callable[[psutil.Process], bool]) -> bool:
    try:
        return wanted(process)
    except psutil.Error:  # it has just ended
        return False


def rows(lines: Sequence[Mapping[str, Any]]) -> list[Row]:
    deaths = Counter(line["victim"] for line in lines)
    return [Row("killed", ", ".join(f"{deaths[name]} × {name}" for name in VICTIMS)), *rows_of(lines)]
