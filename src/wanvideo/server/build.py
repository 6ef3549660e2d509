"""Makes all parts of a server and joins them: who tells whom what."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Final

from wanvideo.jobs.job import DONE, Job, State
from wanvideo.jobs.ledger import Change
from wanvideo.jobs.outbox import ENDS, Outbox
from wanvideo.jobs.queue import Queue
from wanvideo.jobs.reconcile import Review
from wanvideo.jobs.retention import Retention, Sweeper
from wanvideo.server.downloads import Download
from wanvideo.server.events.frames import of_change, of_download, of_sample
from wanvideo.server.events.hub import Hub
from wanvideo.server.inputs import Inputs
from wanvideo.server.job_views import task_view
from wanvideo.server.limits import LimitsFile
from wanvideo.server.metrics import Metrics, Reading
from wanvideo.server.monitor import Monitor, Sample
from wanvideo.server.node import Workers, open_node
from wanvideo.server.parts import THERE, Parts, Sources, package_version
from wanvideo.server.prompt import Enhancer
from wanvideo.server.receiving import remove_left_over
from wanvideo.server.sandbox import Sandbox
from wanvideo.server.settings import Settings
from wanvideo.server.tidying import Tidying, remove_drafts, remove_unused
from wanvideo.server.tokens import TokenCounter
from wanvideo.server.webhooks import Webhooks, body_of, target_of
from wanvideo.server.workers import workers_of

log = logging.getLogger(__name__)

_LOGGED: Final = frozenset({"started", "requeued", "fallback", "succeeded", "failed", "cancelled"})  # kinds of events


def build(settings: Settings, sources: Sources, *, workers: Workers = workers_of) -> Parts:
    """Open everything; nothing works yet. Raises DataFolderInUse, StorageFailed, and whatever else is in the way."""
    with ExitStack() as closing:
        node = open_node(settings, sources, workers, closing, joins=False)
        folder, queue = node.folder, node.queue
        for place in filter(None, (folder.incoming, sources.library.folder)):
            remove_left_over(place)
        hub = Hub()
        retention = Retention(queue, settings.retention)
        sandbox = Sandbox()
        tokens = TokenCounter()
        closing.callback(tokens.close)
        inputs = Inputs(folder.inputs, sandbox, queue.job_files)
        parts = Parts(
            settings=settings,
            sources=sources,
            folder=folder,
            queue=queue,
            node=node,
            supervisor=node.supervisor,
            retention=retention,
            sweeper=Sweeper(retention),
            review=Review(queue),
            catalog=node.catalog,
            inputs=inputs,
            sandbox=sandbox,
            tidying=Tidying(lambda: remove_unused(inputs, queue, settings.input_days), lambda: remove_drafts(queue)),
            limits=LimitsFile(settings.data_dir / "limits.json"),
            downloads=node.downloads,
            monitor=Monitor((folder.root, folder.outputs), lambda sample: _tell_sample(hub, sample)),
            metrics=Metrics(package_version()),
            hub=hub,
            enhancer=enhancer_of(settings),
            webhooks=webhooks_of(
                settings, queue, lambda job: task_view(parts, job).model_dump(mode="json", exclude_none=True)
            ),
            tokens=tokens,
            closing=closing.pop_all(),
        )
    parts.closing.callback(queue.subscribe(lambda change: _tell_change(parts, change)))
    parts.downloads.subscribe(lambda before, after: _tell_download(parts, before, after))
    parts.metrics.watch(lambda: _readings(parts))
    return parts


def enhancer_of(settings: Settings) -> Enhancer | None:
    if settings.enhancer_url is None or settings.enhancer_model is None:
        return None
    key = settings.enhancer_key
    return Enhancer(
        url=settings.enhancer_url, model=settings.enhancer_model, key=None if key is None else key.get_secret_value()
    )


def webhooks_of(settings: Settings, queue: Queue, view: Callable[[Job], dict[str, Any]]) -> Webhooks:
    targets = [target_of(text) for text in settings.webhooks]
    outbox = Outbox(queue, targets, lambda job, event: body_of(event, view(job)), allowed=settings.webhook_allowed)
    return Webhooks(outbox, settings.webhook_keys, first_pause=settings.webhook_seconds)


# --- who tells whom --------------------------------------------------------------------------------------------------


def _tell_change(parts: Parts, change: Change) -> None:
    _log(change)
    for frame in of_change(change, parts.catalog):
        parts.hub.publish(frame if change.event is None else replace(frame, event=change.event.seq))
    _measure(parts.metrics, change)
    if change.kind in ENDS:
        parts.webhooks.wake()


def _tell_download(parts: Parts, before: Download | None, after: Download) -> None:
    for frame in of_download(before, after, parts.catalog):
        parts.hub.publish(frame)
    fetched = after.fetched_bytes - (before.fetched_bytes if before else 0)
    if fetched > 0:
        parts.metrics.downloaded.labels(after.model).inc(fetched)


def _tell_sample(hub: Hub, sample: Sample) -> None:
    for frame in of_sample(sample):
        hub.publish(frame)


def _log(change: Change) -> None:
    """What happened to a job, by its id: what was asked for and what came of it stand in the job itself."""
    if not change.here or change.kind not in _LOGGED:
        return
    job = change.job
    said = {name: change.data[name] for name in ("code", "reason") if name in change.data}
    log.info("job %s", change.kind, extra={"job": job.id, "model": job.model, "attempt": job.attempt, **said})


def _measure(metrics: Metrics, change: Change) -> None:
    job = change.job
    if change.kind == "started" and job.attempt == 1 and job.started is not None:
        metrics.wait.observe(max(0.0, job.started - job.created))
    if job.state not in DONE or change.kind not in ("succeeded", "failed", "cancelled"):
        return
    metrics.jobs.labels(job.model, job.state.value).inc()
    if job.state is State.SUCCEEDED and job.started is not None and job.finished is not None:
        metrics.duration.labels(job.model).observe(max(0.0, job.finished - job.started))
        _measure_phases(metrics, job, job.result or {})


def _measure_phases(metrics: Metrics, job: Job, result: Mapping[str, Any]) -> None:
    phases = result.get("phases")
    for phase, seconds in phases.items() if isinstance(phases, Mapping) else ():
        metrics.phases.labels(job.model, phase).observe(seconds)
    if isinstance(result.get("seconds_per_step"), int | float):
        metrics.steps.labels(job.model).observe(result["seconds_per_step"])


def _readings(parts: Parts) -> Iterator[Reading]:
    """What is read when metrics are asked for."""
    for state, number in parts.queue.counts().items():
        yield Reading("wanvideo_jobs_in_state", "Jobs, by state", ("state",), (state.value,), number)
    for model, of in parts.queue.ahead().items():
        yield Reading("wanvideo_jobs_waiting", "Jobs that wait, by model", ("model",), (model,), of[State.QUEUED])
    taken = parts.monitor.latest.taken
    yield Reading("wanvideo_host_memory_available_bytes", "Of host memory", (), (), taken.host_available)
    if taken.gpu is not None:
        labels = (str(taken.gpu.index),)
        yield Reading("wanvideo_gpu_memory_total_bytes", "Of a GPU", ("gpu",), labels, taken.gpu.total)
        yield Reading("wanvideo_gpu_memory_used_bytes", "Of a GPU", ("gpu",), labels, taken.gpu.total - taken.gpu.free)
    yield Reading("wanvideo_workers_ready", "Ready or at work", (), (), parts.workers())
    yield from _readings_of_nodes(parts)
    for worker in parts.supervisor.workers():
        there = float(worker.state in THERE)
        yield Reading("wanvideo_worker_ready", "1: ready or at work", ("worker",), (worker.name,), there)
        if worker.out is not None:
            reason = (worker.name, worker.out.code)
            yield Reading("wanvideo_worker_out", "1: it gets no jobs now", ("worker", "reason"), reason, 1)
    yield Reading("wanvideo_worker_restarts", "Since the server started", (), (), parts.worker_restarts())
    active = sum(not each.state.over for each in parts.downloads.list())
    yield Reading("wanvideo_downloads_active", "Waiting, paused or running", (), (), active)
    yield Reading(
        "wanvideo_webhooks_waiting", "Messages that have not arrived", (), (), parts.webhooks.outbox.waiting()
    )
    yield Reading("wanvideo_disk_free_bytes", "Where videos go", (), (), parts.free_bytes())


def _readings_of_nodes(parts: Parts) -> Iterator[Reading]:
    """Of every machine that works on the queue, as it last said. One server alone has its own readings above."""
    for node in parts.nodes():
        who, host = ("node", "host", "kind"), (node.id, str(node.about["host"]), str(node.about["kind"]))
        states = [worker["state"] for worker in node.about["workers"]]
        busy, ready = states.count("busy"), states.count("idle") + states.count("busy")
        yield Reading("wanvideo_node_workers", "Of a node", who, host, len(states))
        yield Reading("wanvideo_node_workers_ready", "Ready or at work, of a node", who, host, ready)
        yield Reading("wanvideo_node_workers_busy", "At work, of a node", who, host, busy)
        available = node.about["host_available"]
        yield Reading("wanvideo_node_memory_available_bytes", "Of a node's host memory", who, host, available)
        for number, gpu in enumerate(node.about["gpus"]):
            labels, values = (*who, "gpu"), (*host, str(number))
            used = gpu["total"] - gpu["free"]
            yield Reading("wanvideo_node_gpu_memory_used_bytes", "Of a node's GPU", labels, values, used)
            yield Reading("wanvideo_node_gpu_memory_total_bytes", "Of a node's GPU", labels, values, gpu["total"])
