"""Counts and times for Prometheus. Of one server, so that several may live in one process."""

import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_REQUEST_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_JOB_SECONDS: Final = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600)
_STEP_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 60, 120, 300)


class Reading(NamedTuple):
    """One value of a gauge."""

    name: str
    about: str
    labels: tuple[str, ...]  # their names
    values: tuple[str, ...]  # of the labels
    value: float


Readings = Callable[[], Iterator[Reading]]


class Metrics:
    """The instruments."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        self.requests = Histogram(
            "wanvideo_http_request_duration_seconds",
            "Of HTTP requests",
            ("method", "route", "status"),
            buckets=_REQUEST_SECONDS,
            registry=self.registry,
        )
        self.jobs = Counter("wanvideo_jobs", "Jobs that have ended", ("model", "status"), registry=self.registry)
        self.wait = Histogram(
            "wanvideo_job_queue_wait_seconds",
            "From submit to start",
            buckets=_JOB_SECONDS,
            registry=self.registry,
        )
        self.duration = Histogram(
            "wanvideo_job_duration_seconds",
            "From start to end",
            ("model",),
            buckets=_JOB_SECONDS,
            registry=self.registry,
        )
        self.phases = Histogram(
            "wanvideo_job_phase_duration_seconds",
            "Of the parts of a job",
            ("model", "phase"),
            buckets=_JOB_SECONDS,
            registry=self.registry,
        )
        self.steps = Histogram(
            "wanvideo_denoise_step_duration_seconds",
            "Of one step of denoising",
            ("model",),
            buckets=_STEP_SECONDS,
            registry=self.registry,
        )
        self.downloaded = Counter(
            "wanvideo_download_bytes", "Fetched over the network", ("model",), registry=self.registry
        )
        self.sockets = Gauge("wanvideo_websocket_clients", "Connected now", registry=self.registry)
        Gauge("wanvideo_build_info", "Always 1", ("version",), registry=self.registry).labels(version).set(1)

    def watch(self, read: Readings) -> None:
        """Gauges that are read when they are asked for."""
        self.registry.register(_Read(read))

    def text(self) -> bytes:
        return generate_latest(self.registry)


class _Read(Collector):
    def __init__(self, read: Readings) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        families: dict[str, GaugeMetricFamily] = {}
        for each in self._read():
            if each.name not in families:
                families[each.name] = GaugeMetricFamily(each.name, each.about, labels=each.labels)
            families[each.name].add_metric(each.values, each.value)
        yield from families.values()

    def describe(self) -> Iterator[Metric]:
        return iter(())


class Timing:
    """ASGI: how long requests take, by the pattern of their address."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, sending)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(scope["method"], route, status).observe(time.perf_counter() - began)
