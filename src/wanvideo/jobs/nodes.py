"""The processes that run workers of one queue, on one machine or on many.

A node has its jobs on loan for as long as it counts up a number in the database. Who sees that number stand still for
a while takes back what the node had. No clocks are compared: each observer measures how long it has looked itself, and
begins anew whenever it could not look. A node that was only slow, and goes on, is fenced by the numbers of attempts.
"""

import json
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, insert, select, update

from wanvideo.errors import WanVideoError
from wanvideo.jobs.database import Database
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.job import State
from wanvideo.jobs.rows import dumped
from wanvideo.jobs.tables import JOBS, NODES

log = logging.getLogger(__name__)

LEASE_SECONDS: Final = 30.0  # without a beat, after which the jobs of a node are given to others
SEEN: Final = 32  # nodes whose workers others know of, which is enough to know that there are some
BEATS: Final = 6  # in that time
_ID: Final = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """A node, as it last described itself."""

    id: str
    beats: int
    about: Mapping[str, Any]


def node_of(folder: DataFolder) -> str:
    """The name of whoever holds the lock of a data folder; the next one takes up what this one leaves."""
    try:
        found = folder.node.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        found = ""
    if _ID.fullmatch(found):
        return found
    name = secrets.token_hex(6)
    folder.node.write_text(f"{name}\n", encoding="utf-8")
    return name


def worker_name(node: str | None, worker: str) -> str:
    """As it stands in the row of a job. None: there is one process alone, and nothing to tell apart."""
    return worker if node is None else f"{node}/{worker}"


class Nodes:
    """This node among the others: a thread that says that it is there, and looks at them."""

    def __init__(
        self,
        database: Database,
        node: str,
        *,
        about: Callable[[], Mapping[str, Any]],
        lost: Callable[[str], None],
        lease_seconds: float = LEASE_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """about: what others are to know of this one. lost: takes back the jobs of a node that is gone."""
        self.database, self.node = database, node
        self._about, self._lost, self._lease, self._now = about, lost, lease_seconds, now
        self._seen: dict[str, tuple[int, float]] = {}  # by node: its number, and since when we see that one
        self.others: tuple[NodeView, ...] = ()  # some of those that are there, when it last looked
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="node", daemon=True)

    def start(self) -> None:
        self.beat()
        self._thread.start()

    def stop(self) -> None:
        """To be called when it has no jobs any more."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(10)
        try:
            self._remove(self.node)
        except WanVideoError as error:  # others will see it by themselves
            log.warning("this node is still listed: %s", error.message)

    def views(self, limit: int | None = None) -> tuple[NodeView, ...]:
        """All that are there, or were until just now."""
        with self.database.read() as connection:
            rows = connection.execute(select(NODES).order_by(NODES.c.id).limit(limit))
            return tuple(NodeView(id=row.id, beats=row.beats, about=json.loads(row.about)) for row in rows)

    def beat(self) -> None:
        """Say that this node is there. Raises StorageFailed."""
        about = dumped(dict(self._about()))
        with self.database.write() as connection:
            values = {"beats": NODES.c.beats + 1, "about": about}
            changed = connection.execute(update(NODES).where(NODES.c.id == self.node).values(values))
            if changed.rowcount == 0:  # it is new, or was taken for lost
                connection.execute(insert(NODES).values(id=self.node, beats=1, about=about))

    def look(self) -> list[str]:
        """Take back what silent nodes have; which those are. Raises StorageFailed."""
        now, found = self._now(), self._beats()
        self._seen = {
            node: (beats, now) if self._seen.get(node, (None, 0.0))[0] != beats else self._seen[node]
            for node, beats in found.items()
        }
        silent = [node for node, (_, since) in self._seen.items() if now - since > self._lease]
        for node in silent:
            log.warning("node %s is lost", node)
            self._lost(node)
            self._remove(node)
        self.others = tuple(view for view in self.views(SEEN) if view.id != self.node)
        return silent

    def _beats(self) -> dict[str, int]:
        """Of all others; -1 of one that has jobs, and is not listed."""
        with self.database.read() as connection:
            query = select(JOBS.c.worker).where(JOBS.c.state == str(State.RUNNING), JOBS.c.worker.is_not(None))
            workers = connection.execute(query.distinct()).scalars()
            found = {name.partition("/")[0]: -1 for name in workers if "/" in name}
            found |= {row.id: row.beats for row in connection.execute(select(NODES.c.id, NODES.c.beats))}
        return {node: beats for node, beats in found.items() if node != self.node}

    def _remove(self, node: str) -> None:
        with self.database.write() as connection:
            connection.execute(delete(NODES).where(NODES.c.id == node))

    def _run(self) -> None:
        while not self._stopping.wait(self._lease / BEATS):
            try:
                self.beat()
                self.look()
            except WanVideoError as error:
                log.warning("this node is not heard: %s", error.message)
                self._seen.clear()  # the others were not heard either
