"""What the addresses work with, made once when the server starts and closed when it stops."""

import time
from collections.abc import Hashable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wanvideo.errors import DiskFull, WanVideoError
from wanvideo.failure.paths import without_folders
from wanvideo.families.obtain import Offer, offer
from wanvideo.families.plan import Forecast
from wanvideo.jobs import queue as jobs
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.job import Job, State
from wanvideo.jobs.lock import Address
from wanvideo.jobs.nodes import NodeView
from wanvideo.jobs.queries import Filter
from wanvideo.jobs.queue import Queue
from wanvideo.jobs.reconcile import Review
from wanvideo.jobs.retention import Retention, Sweeper
from wanvideo.jobs.supervisor import Supervisor
from wanvideo.server.catalog import Catalog
from wanvideo.server.downloads import Downloads
from wanvideo.server.errors import Conflict, NotFound
from wanvideo.server.events.hub import Frame, Hub
from wanvideo.server.history import Run
from wanvideo.server.inputs import Inputs
from wanvideo.server.limits import LimitsFile
from wanvideo.server.machine import fullest_disk, this_machine
from wanvideo.server.metrics import Metrics
from wanvideo.server.model_views import GIB
from wanvideo.server.monitor import Monitor
from wanvideo.server.prompt import Enhancer
from wanvideo.server.sandbox import Sandbox
from wanvideo.server.schemas.system import Check
from wanvideo.server.settings import Settings
from wanvideo.server.tidying import Tidying
from wanvideo.server.tokens import TokenCounter
from wanvideo.server.webhooks import Webhooks
from wanvideo.weights.download.hub import Hub as ModelHub
from wanvideo.weights.download.plan import free_bytes
from wanvideo.weights.entry import ModelEntry
from wanvideo.weights.lora.library import LoraLibrary
from wanvideo.weights.pick import Hardware
from wanvideo.weights.places import Places
from wanvideo.weights.registry import known

_LEAST_FREE: Final = 2**20  # bytes of the disk, below which nothing can be relied on, whatever the operator allows
_NAMED: Final = 8  # workers that are named where people look
if TYPE_CHECKING:
    from wanvideo.server.node import Node

API_VERSION: Final = "2.2.0"  # of the contract that existing clients were written for
THERE: Final = ("idle", "busy", "lent")  # workers that are started


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where models and LoRAs come from; what the command line takes from the environment."""

    places: Places
    hubs: tuple[ModelHub, ...]
    library: LoraLibrary


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What jobs that wait have to know of one another."""

    positions: Mapping[str, int] = field(default_factory=dict)  # by job; 1 is next
    paused: bool = False
    no_worker: str | None = None  # why none of them is started


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything that lives as long as the server."""

    settings: Settings
    sources: Sources
    folder: DataFolder
    queue: Queue
    node: "Node"
    supervisor: Supervisor
    retention: Retention
    sweeper: Sweeper
    review: Review
    catalog: Catalog
    inputs: Inputs
    sandbox: Sandbox
    tidying: Tidying
    limits: LimitsFile
    downloads: Downloads
    monitor: Monitor
    metrics: Metrics
    hub: Hub
    enhancer: Enhancer | None
    webhooks: Webhooks
    tokens: TokenCounter
    closing: ExitStack  # what is to be undone when the server stops
    started: float = field(default_factory=time.monotonic)
    # Plans by what was asked, and when they were made, in monotonic seconds: see `forecast`.
    forecasts: dict[Hashable, tuple[float, Forecast]] = field(default_factory=dict)

    # --- life --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to work: what the last server left is taken up."""
        self.monitor.start()
        self.webhooks.start()
        self.node.start()
        self.sweeper.start()
        self.review.start()
        self.tidying.start()

    def stop(self) -> None:
        """Let the jobs at work keep their state, and close everything."""
        self.tidying.stop()
        self.review.stop()
        self.sweeper.stop()
        self.node.stop(self.settings.drain_seconds)
        self.webhooks.stop()
        self.monitor.stop()
        self.closing.close()

    @property
    def uptime(self) -> float:
        """Seconds."""
        return time.monotonic() - self.started

    @property
    def port(self) -> int:
        return self.settings.port

    @property
    def url(self) -> str:
        return self.settings.url

    @property
    def address(self) -> Address:
        """For programs of the same user."""
        token = self.settings.token
        return Address(url=self.url, token=None if token is None else token.get_secret_value())

    # --- jobs --------------------------------------------------------------------------------------------------------

    def job(self, job: str) -> Job:
        """Raises JobNotFound."""
        return self.queue.get(job)

    def finished_job(self, job: str) -> Job:
        """One that has made a video. Raises NotFound."""
        found = self.queue.get(job)
        if found.state is not State.SUCCEEDED or found.result is None:
            raise NotFound(
                f"job {found.id} is {found.state.value} and has no video", facts={"state": found.state.value}
            )
        return found

    def output_of(self, job: Job) -> Path:
        """Where its video lies, or lay. Never leads out of the folder of outputs."""
        return self.queue.job_files.video(str((job.result or {}).get("file", "")))

    def has_video(self, job: Job) -> bool:
        """Whether its video is still there. In a storage that machines share, nobody looks: it would take too long."""
        return self.queue.job_files.shared is not None or self.output_of(job).is_file()

    def output_bytes(self) -> int:
        """Of all videos."""
        return self.queue.stored_bytes()

    def line(self) -> Line:
        """Of the jobs that wait now."""
        return self._line({job: place for place, job in enumerate(self.queue.line(), 1)})

    def line_before(self, job: Job) -> Line:
        """What one job that waits has to know; takes no longer if many others wait."""
        place = self.queue.place(job)
        return self._line({} if place is None else {job.id: place})

    def _line(self, positions: Mapping[str, int]) -> Line:
        workers = self.check_workers()
        return Line(
            positions=positions, paused=self.queue.paused, no_worker=None if workers.code is None else workers.detail
        )

    def queue_paused(self) -> bool:
        return self.queue.paused

    def pause_queue(self) -> None:
        self.queue.pause(True)
        self._tell_paused(True)

    def resume_queue(self) -> None:
        self.queue.pause(False)
        self._tell_paused(False)

    def _tell_paused(self, paused: bool) -> None:
        self.hub.publish(Frame("queue_update", {"reason": "paused" if paused else "resumed", "paused": paused}))

    def active_jobs(self) -> int:
        return self.queue.counts()[State.RUNNING]

    def running(self) -> tuple[Job, ...]:
        return self.queue.page(Filter(states=frozenset({State.RUNNING})), limit=100).jobs

    def loras_in_use(self) -> dict[str, float]:
        """Strengths by name, of the jobs that run."""
        return {str(use.source): use.strength for job in self.running() for use in job.spec.request.loras}

    def runs(self) -> list[Run]:
        """What was measured here, the newest first."""
        return [_run(each) for each in self.queue.runs(limit=5000)]

    # --- workers -----------------------------------------------------------------------------------------------------

    def nodes(self) -> tuple[NodeView, ...]:
        """All machines that work on the queue, this one among them; empty where it is the only one that may."""
        return () if self.node.nodes is None else self.node.nodes.views()

    def workers(self) -> int:
        """Those that are ready or at work, here and on other machines."""
        return sum(state in THERE for _, state in self._worker_states())

    def _worker_states(self) -> list[tuple[str, str]]:
        """Names and states: of this process as they are now, of others as they last said."""
        there = [(each.name, each.state) for each in self.supervisor.workers()]
        for node in self.nodes():
            if node.id != self.supervisor.node:
                there += [(f"{node.about['host']} {each['name']}", each["state"]) for each in node.about["workers"]]
        return there

    def worker_restarts(self) -> int:
        return sum(max(0, each.starts - 1) for each in self.supervisor.workers())

    def worker_pids(self) -> tuple[int, ...]:
        return tuple(each.pid for each in self.supervisor.workers() if each.pid is not None)

    def gpus_for_next(self) -> int:
        """How many make a video together that begins now."""
        each = self.settings.gpus_per_job
        return self.supervisor.devices_for_next() if each == "auto" else each

    def release_memory(self) -> int:
        """Free the GPU now; how many workers were asked."""
        self.supervisor.unload()
        return self.workers()

    def calibrate(self) -> int:
        """Have it measured how fast the computer is; how many workers were asked."""
        self.forecasts.clear()
        self.supervisor.calibrate()
        return self.workers()

    def is_loaded(self, model: str) -> bool:
        """Whether a worker holds it, as it last said."""
        return any(model in (each.beat.get("loaded") or ()) for each in self.supervisor.workers())

    def check_disk(self) -> Check:
        free, least = self.free_bytes(), max(self.settings.min_free_bytes, _LEAST_FREE)
        said = f"{free / GIB:.1f} GiB are free"
        if free >= least:
            return Check(name="disk", ok=True, detail=said)
        said += f", and jobs are taken from {least / GIB:.1f} GiB: make room"
        return Check(name="disk", ok=False, detail=said, code=DiskFull.code)

    def check_workers(self) -> Check:
        """A worker that does not start where the disk is full says what the disk says."""
        views = self.supervisor.workers()
        there = [(name, state) for name, state in self._worker_states() if state in THERE]
        if there:
            said = ", ".join(f"{name} is {state}" for name, state in there[:_NAMED])
            said += f", and {len(there) - _NAMED} others" if len(there) > _NAMED else ""
        else:
            said = "; ".join(f"{each.name}: {each.problem or each.state}" for each in views) or "there is none"
        failing = not there and any(each.problem for each in views)
        code = (self.check_disk().code or "WORKER_START") if failing else None
        return Check(name="worker", ok=bool(there), detail=without_folders(said), code=code)

    def check_database(self) -> Check:
        try:
            self.queue.counts()
        except WanVideoError as error:
            return Check(name="database", ok=False, detail=without_folders(error.message), code=error.code)
        return Check(name="database", ok=True, detail="answers")

    # --- the computer ------------------------------------------------------------------------------------------------

    def folders(self) -> tuple[Path, ...]:
        """Whose places are nobody's business."""
        places, library = self.sources.places, self.sources.library
        found = (self.folder.root, places.hub_cache, *places.roots, places.demo, library.folder, *library.roots)
        return tuple(each for each in (*found, *(added.path for added in known(places))) if each is not None)

    @property
    def cache(self) -> Path:
        """Where downloads go."""
        return cache_of(self.sources.places)

    def hardware(self) -> Hardware:
        """What there is, for choosing variants."""
        return hardware_of(self.settings, self.sources.places)

    def free_bytes(self) -> int:
        """Of the disk that the data folder is on, or the one that videos go to, whichever has less."""
        return fullest_disk((self.folder.root, self.folder.outputs)).free

    def offer(self, model: str, variant: str | None) -> Offer:
        return offer_here(self.catalog, self.settings, model, variant)

    def check_unused(self, entry: ModelEntry) -> None:
        """Raises Conflict if a job that runs uses the model."""
        if any(job.model in (entry.id, entry.base) for job in self.running()):
            raise Conflict(f"a job that runs uses {entry.id}: cancel it, or wait", facts={"model": entry.id})


def cache_of(places: Places) -> Path:
    assert places.hub_cache is not None, "the environment always names one"
    return places.hub_cache


def hardware_of(settings: Settings, places: Places) -> Hardware:
    """What this computer has, for choosing variants."""
    machine = this_machine(settings.first_device)
    return Hardware(
        gpu=machine.gpu,
        gpu_total=machine.gpu_total,
        gpu_free=machine.gpu_free,
        host_total=machine.host_total,
        host_available=machine.host_available,
        disk_free=free_bytes(cache_of(places)),
    )


def offer_here(catalog: Catalog, settings: Settings, model: str, variant: str | None) -> Offer:
    """What to download of a model for this computer. Raises what `offer` raises, and UnknownModel."""
    return offer(catalog.families.resolve(model), hardware_of(settings, catalog.places), variant)


def package_version() -> str:
    try:
        return version("wanvideo")
    except PackageNotFoundError:
        return "from source"


def _run(run: jobs.Run) -> Run:
    numbers = run.numbers
    phases = numbers.get("phases")
    return Run(
        model=run.model,
        outcome=run.outcome.value,
        at=datetime.fromtimestamp(run.at, UTC),
        seconds=numbers.get("seconds"),
        steps=numbers.get("steps"),
        phases=dict(phases) if isinstance(phases, Mapping) else {},
        peak_vram=numbers.get("peak_vram"),
        peak_rss=numbers.get("peak_rss"),
        error=run.code,
    )
