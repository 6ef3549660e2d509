"""What it costs that many machines say that they are there, look at one another, and hear what the others do."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from benchmarks.queue_growth.crew import cpu_of_server
from wanvideo.jobs.nodes import BEATS, LEASE_SECONDS, Nodes
from wanvideo.jobs.queue import Queue
from wanvideo.jobs.relay import LATE

NODES: Final = (10, 100, 1000)
TIMES: Final = 300
EVENTS: Final = 9  # that are kept of a video
_ABOUT: Final[Mapping[str, Any]] = {
    "host": "gpu-host-0042", "kind": "worker", "version": "1.0.0", "host_available": 2**36,
    "gpus": [{"name": "NVIDIA H100 80GB HBM3", "total": 80 * 2**30, "free": 40 * 2**30}],
    "workers": [{"name": "gpu0", "state": "busy", "job": "0" * 32, "starts": 1, "problem": None}],
}  # fmt: skip


def measure(queue: Queue, numbers: Sequence[int] = NODES, times: int = TIMES) -> Iterator[Mapping[str, Any]]:
    """By the number of machines. What all of them take of PostgreSQL is worked out from what one of them takes."""
    try:
        for number in numbers:
            nodes = [_node(queue, f"{each:012x}") for each in range(number)]
            for node in nodes:
                node.beat()
            beat_ms, beat_cpu = _cost(queue, nodes[0].beat, times)
            look_ms, look_cpu = _cost(queue, nodes[0].look, times)
            hear_ms, hear_cpu = _cost(queue, lambda: _hear(queue), times)
            yield {
                "nodes": number, "beat_ms": beat_ms, "look_ms": look_ms, "hear_ms": hear_ms, "beat_cpu_ms": beat_cpu,
                "look_cpu_ms": look_cpu, "hear_cpu_ms": hear_cpu,
                "there_cores": number * BEATS / LEASE_SECONDS * (beat_cpu + look_cpu) / 1e3,
                # Each of them hears each event of all the others, if each makes a video in five minutes.
                "hearing_cores": number * number * EVENTS / 300 * hear_cpu / 1e3,
            }  # fmt: skip
    finally:
        for view in nodes[0].views():
            _node(queue, view.id).stop()


def _node(queue: Queue, name: str) -> Nodes:
    return Nodes(queue.database, name, about=lambda: _ABOUT, lost=lambda _: None)


def _hear(queue: Queue) -> None:
    """As a relay does when it is told that there is something new."""
    events = queue.events(since=max(0, queue.last_seq() - LATE), limit=500)
    queue.find_all({events[-1].job})


def _cost(queue: Queue, what: Callable[[], object], times: int) -> tuple[float, float]:
    """Milliseconds until it is done, and of PostgreSQL's processor."""
    what()
    before, began = cpu_of_server(queue.database), time.perf_counter()
    for _ in range(times):
        what()
    took = time.perf_counter() - began
    return 1e3 * took / times, 1e3 * (cpu_of_server(queue.database) - before) / times
