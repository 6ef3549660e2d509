"""A worker of a queue that others serve: no HTTP, nothing that listens."""

import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack

from wanvideo.jobs.nodes import NodeView
from wanvideo.server.node import Node, Workers, open_node
from wanvideo.server.parts import Sources
from wanvideo.server.settings import Settings
from wanvideo.server.workers import workers_of


def run(
    settings: Settings, sources: Sources, started: Callable[[Node], None], *, workers: Workers = workers_of
) -> None:
    """Work until SIGTERM or SIGINT, which lets the jobs at work keep their state; a second one does not wait for them.

    Raises what `open_node` raises, and KeyboardInterrupt at the end if it was SIGINT.
    """
    over, interrupted = threading.Event(), threading.Event()

    def stop(number: int, _frame: object) -> None:
        if over.is_set():
            raise KeyboardInterrupt
        if number == signal.SIGINT:
            interrupted.set()
        over.set()

    with ExitStack() as closing:
        node = open_node(settings, sources, workers, closing, joins=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        node.start()
        try:
            started(node)
            over.wait()
        finally:
            node.stop(settings.drain_seconds)
    if interrupted.is_set():
        raise KeyboardInterrupt


def others(node: Node) -> tuple[NodeView, ...]:
    """Who else works on the queue."""
    return () if node.nodes is None else tuple(each for each in node.nodes.views() if each.id != node.nodes.node)
