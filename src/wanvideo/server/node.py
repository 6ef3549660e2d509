"""A process that works on a queue: alone, or with others that have the same database and the same storage.

A server is one that also answers HTTP; what `wan worker join` runs is nothing else.
"""

import json
import logging
import socket
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import delete, insert, select

from wanvideo.errors import InvalidRequest, StorageFailed
from wanvideo.families.registry import installed_families
from wanvideo.jobs.database import Database
from wanvideo.jobs.executor import MakeExecutor
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.lock import locked
from wanvideo.jobs.nodes import Nodes, NodeView, node_of
from wanvideo.jobs.placement import Seat, WorkerLimits
from wanvideo.jobs.queue import Queue
from wanvideo.jobs.reconcile import reconcile
from wanvideo.jobs.relay import Relay
from wanvideo.jobs.rows import dumped
from wanvideo.jobs.storage import storage_of
from wanvideo.jobs.supervisor import Supervisor
from wanvideo.jobs.tables import SETTINGS
from wanvideo.runtime.hardware import host_memory
from wanvideo.runtime.monitor import gpus
from wanvideo.server.catalog import Catalog
from wanvideo.server.downloads import Downloads
from wanvideo.server.machine import this_machine
from wanvideo.server.parts import Sources, offer_here, package_version
from wanvideo.server.preparing import Preparing
from wanvideo.server.settings import Settings
from wanvideo.server.shared_loras import SharedLoras
from wanvideo.server.stores import database_of, folder_of
from wanvideo.server.workers import describe, limits_of

log = logging.getLogger(__name__)

Workers = Callable[[Settings, Sources, DataFolder], Mapping[str, MakeExecutor]]
_PLACE: Final = "storage"  # of the setting that says where the files are
_CLOCKS: Final = 5.0  # seconds by which a machine's may differ from the database's
_FIRST: Final = 0  # see `Database.turn`: the turn of whoever has the database to himself


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What works on the queue. `nodes` and `relay` are None where there is one process alone."""

    folder: DataFolder
    queue: Queue
    catalog: Catalog
    downloads: Downloads
    loras: SharedLoras
    supervisor: Supervisor
    nodes: Nodes | None
    relay: Relay | None

    def start(self) -> None:
        """Begin, and take up what the last process in this data folder left. Raises StorageFailed."""
        self.downloads.start()
        if self.relay is not None:
            self.relay.start()
        if self.nodes is not None:
            self.nodes.start()
        self.supervisor.start()

    def stop(self, seconds: float) -> None:
        """Let the jobs at work keep their state, for so long at most."""
        self.supervisor.drain(seconds)
        self.downloads.stop()
        if self.nodes is not None:
            self.nodes.stop()
        if self.relay is not None:
            self.relay.stop()


def open_node(settings: Settings, sources: Sources, workers: Workers, closing: ExitStack, *, joins: bool) -> Node:
    """Nothing works yet, and `closing` closes it. Raises DataFolderInUse, StorageFailed.

    joins: the queue has to be there already, and has to be one for several machines.
    """
    folder = folder_of(settings)
    closing.enter_context(locked(folder))
    folder.note_outputs()
    database = database_of(settings)
    closing.callback(database.close)
    if not database.is_large:  # else it is checked while the server works: see `wanvideo.jobs.reconcile.Review`
        database.check()
    if joins:
        database.require_current()
    else:
        database.migrate()
    _warn_of_clock(database.clock_ahead())
    place = closing.enter_context(_place(database, settings.storage, joins=joins))
    shared = None if place is None else storage_of(place)
    queue = Queue(database, folder, most_waiting=settings.max_queued, shared=shared)
    reconcile(queue)
    catalog = Catalog(installed_families(), sources.places, demo=settings.demo)
    downloads = Downloads(
        settings.data_dir / "downloads.json",
        sources.places,
        sources.hubs,
        lambda model, variant: offer_here(catalog, settings, model, variant),
        jobs_ask_again=not database.is_sqlite,
    )
    loras = SharedLoras(sources.library, shared)
    preparing = Preparing(catalog, downloads, loras, host=None if database.is_sqlite else socket.gethostname())
    downloads.subscribe(lambda _before, after: preparing.changed(after))
    name = None if database.is_sqlite else node_of(folder)
    crew = workers(settings, sources, folder)
    supervisor = Supervisor(
        queue,
        crew,
        describe=describe,
        limits=limits_of(settings, crew, lambda model: catalog.resolve(model).id),
        preparer=preparing,
        node=name,
        lending=settings.gpus_per_job == "auto",
        patience=settings.patience_seconds,
    )
    nodes = None
    if name is not None:
        kind = "worker" if joins else "server"
        nodes = Nodes(
            database, name, about=lambda: _about(kind, settings, supervisor, preparing), lost=supervisor.take_back,
            lease_seconds=settings.lease_seconds,
        )  # fmt: skip
        supervisor.elsewhere = lambda: _seats(nodes.others)
    return Node(
        folder=folder, queue=queue, catalog=catalog, downloads=downloads, loras=loras, supervisor=supervisor,
        nodes=nodes, relay=None if name is None else Relay(queue),
    )  # fmt: skip


def _warn_of_clock(ahead: float) -> None:
    """Leases need no clocks, but times of jobs, retention and S3 do."""
    if abs(ahead) > _CLOCKS:
        said = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'}"
        log.warning("the clock of this machine is %s the database's, and times of jobs will be wrong: set it", said)


def _about(kind: str, settings: Settings, supervisor: Supervisor, preparing: Preparing) -> Mapping[str, Any]:
    """What other nodes are to know of this one."""
    _, available = host_memory()
    return {
        "host": socket.gethostname(),
        "kind": kind,
        "version": package_version(),
        "host_available": available,
        "gpus": [{"name": gpu.name, "total": gpu.total, "free": gpu.free} for gpu in gpus()],
        "workers": [
            {
                "name": each.name,
                "state": each.state,
                "job": each.job,
                "starts": each.starts,
                "problem": each.problem,
                "kind": each.seat.kind,
                "pace": each.seat.pace,
                "models": sorted(each.limits.models),
                "lost": sorted(each.seat.lost),
            }
            for each in supervisor.workers()
        ],
        "machine": _planned_for(settings, supervisor),
        "at_hand": sorted(preparing.at_hand()),
        "unable": sorted(supervisor.unable),
    }


def _planned_for(settings: Settings, supervisor: Supervisor) -> Mapping[str, Any] | None:
    """What the workers of this process run on, as a plan wants it; None: it has none, or the driver does not say."""
    if settings.here == "none":
        return None
    pids = [each.pid for each in supervisor.workers() if each.pid is not None]
    try:
        return asdict(this_machine(settings.first_device, workers=pids))
    except InvalidRequest:
        return None


def _seats(nodes: Collection[NodeView]) -> list[Seat]:
    """The workers of other nodes that do jobs, or soon will, as last described; a version before this one says less."""
    return [
        Seat(
            loaded=frozenset(), limits=WorkerLimits(models=frozenset(each["models"])),
            lost=dict.fromkeys(each["lost"], ""), free=False, kind=each["kind"], pace=each["pace"],
            at_hand=frozenset(node.about.get("at_hand", ())), unable=frozenset(node.about.get("unable", ())),
        )
        for node in nodes for each in node.about["workers"]
        if "models" in each and each["state"] in ("starting", "idle", "busy", "lent")
    ]  # fmt: skip


@contextmanager
def _place(database: Database, asked: str | None, *, joins: bool) -> Iterator[str | None]:
    """Where all that have the database keep their files, while the block runs; None: there is one process alone."""
    if asked is None and not joins:
        with database.alone():
            if not database.is_sqlite:
                _write(database, None)
            yield None
        return
    with database.turn(_FIRST) as first:
        place = _agreed(database, asked, may_change=first and not joins)
    with database.alone(with_others=True):
        yield place


def _agreed(database: Database, asked: str | None, *, may_change: bool) -> str:
    with database.read() as connection:
        value = connection.execute(select(SETTINGS.c.value).where(SETTINGS.c.name == _PLACE)).scalar()
    place = None if value is None else str(json.loads(value))
    if asked is not None and asked != place and may_change:
        storage_of(asked)  # which a wrong one is refused by, before others look there
        _write(database, asked)
        return asked
    if place is None:
        raise StorageFailed(
            "the files of this queue lie in a folder of one server: start it with --storage, a folder that all "
            "machines see or s3://BUCKET/PREFIX"
        )
    if asked not in (None, place):
        raise StorageFailed(f"the others keep their files in {place}, and not in {asked}: leave --storage out")
    return place


def _write(database: Database, place: str | None) -> None:
    with database.write() as connection:
        connection.execute(delete(SETTINGS).where(SETTINGS.c.name == _PLACE))
        if place is not None:
            connection.execute(insert(SETTINGS).values(name=_PLACE, value=dumped(place)))
