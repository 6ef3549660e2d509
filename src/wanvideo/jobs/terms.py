"""What holds for all workers of a supervisor: when one counts as hung, and how what happened is described."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from wanvideo.jobs.eta import Eta
from wanvideo.jobs.job import Job

MOST_DEATHS: Final = 3  # of workers with one job, after which it is the job's fault

Describe = Callable[[Job, str, Mapping[str, Any]], Mapping[str, Any]]
"""A job, "crash" or "hang", and what is known of it -> the failure, as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds after which a worker counts as hung."""

    ready: float = 180.0  # from its start
    heartbeat: float = 60.0  # without one
    phases: Mapping[str, float] = field(
        default_factory=lambda: {"load": 1800.0, "encode": 600.0, "denoise": 1800.0, "decode": 1800.0, "write": 600.0}
    )  # without progress
    steps: float = 20.0  # times the usual step, if that is more than `least_step`
    least_step: float = 120.0
    cancel: float = 30.0  # to give up a job, and as long again as two steps

    def of(self, eta: Eta) -> float:
        """Without progress, in the phase and with the steps that `eta` has seen."""
        usual = eta.seconds_per_step
        if usual is not None and eta.phase == "denoise":
            return max(self.least_step, self.steps * usual)
        return self.phases.get(eta.phase or "load", 1800.0)


@dataclass(slots=True, kw_only=True)
class Terms:
    """Of one supervisor."""

    describe: Describe
    deadlines: Deadlines = Deadlines()
    now: Callable[[], float] = time.monotonic
    start_again_after: float = 1.0  # seconds, twice as long after every failed start, up to a minute
    stopping: threading.Event = field(default_factory=threading.Event)
