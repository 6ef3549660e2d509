"""Which worker gets which job: the one that has its model loaded, until fairness says otherwise; and which gets none.

Nothing here talks to a process or to the database.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Final, Literal

from wanvideo.jobs.queries import Which

MOST_LOSSES: Final = 3  # jobs in a row that a worker died with, after which its device is taken for broken
SLOW: Final = 2.0  # times the pace of the others, from which on a device is taken for slow
ENOUGH: Final = 3  # videos of a device by which it is judged
_RECENT: Final = 5  # videos that count


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    """What one worker is to be spared, whatever jobs ask for."""

    models: frozenset[str] = frozenset()  # that it takes; empty: all
    memory: int | None = None  # bytes of its GPU that it may use; None: no other limit than the jobs'

    def permit(self, model: str) -> bool:
        return not self.models or model in self.models


@dataclass(frozen=True, slots=True, kw_only=True)
class Out:
    """Why a worker gets no jobs."""

    code: Literal["losses", "slow"]
    reason: str


@dataclass(slots=True)
class Record:
    """What a worker has shown of itself."""

    lost: dict[str, str] = field(default_factory=dict)  # jobs it died with since it last made a video; their models
    paces: list[float] = field(default_factory=list)  # seconds of denoising over those that were planned, of videos

    def died(self, job: str, model: str) -> None:
        self.lost[job] = model

    def made(self, pace: float | None) -> None:
        self.lost.clear()
        if pace is not None:
            self.paces = [*self.paces, pace][-_RECENT:]

    @property
    def pace(self) -> float | None:
        """None: too little is known."""
        return median(self.paces) if len(self.paces) >= ENOUGH else None


def judged(mine: Record, others: Collection[float | None]) -> Out | None:
    """Why a worker should get no jobs while there are others, of these paces; None: it does well.

    It is the device's fault if different jobs bring its workers down, one after the other, or if it takes much longer
    than was planned while others do not.
    """
    if len(mine.lost) >= MOST_LOSSES:
        return Out(code="losses", reason=f"{len(mine.lost)} jobs in a row lost their worker here")
    paces = [pace for pace in others if pace is not None]
    if mine.pace is None or not paces:
        return None
    usual = median(paces)
    if mine.pace < SLOW * usual:
        return None
    times = f"{mine.pace / usual:.1f} times as long as on the others"
    return Out(code="slow", reason=f"steps take {times}, of what was planned {mine.pace:.2f} and {usual:.2f}")


class Turns:
    """Jobs that were first in the queue when others went before them, because their models were loaded."""

    def __init__(self, patience: float, now: Callable[[], float]) -> None:
        """patience: seconds for which a job may be passed over."""
        self.patience, self._now = patience, now
        self._since: dict[str, float] = {}

    def passed_over(self, job: str) -> None:
        self._since.setdefault(job, self._now())

    def is_overdue(self, job: str) -> bool:
        return self.patience <= 0 or (job in self._since and self._now() - self._since[job] >= self.patience)

    def forget(self, job: str) -> None:
        self._since.pop(job, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A worker, as far as it matters to where jobs go."""

    loaded: frozenset[str]  # models
    limits: WorkerLimits
    lost: Mapping[str, str]  # as in its record
    free: bool  # it would take a job at once
    kind: str = "cuda"  # of its device
    pace: float | None = None  # as in its record
    at_hand: frozenset[str] = frozenset()  # models that lie on its machine, or are on their way there
    unable: frozenset[str] = frozenset()  # models that its machine lacks, and cannot fetch now

    def takes(self, job: str, model: str) -> bool:
        return self.limits.permit(model) and model not in self.unable and job not in self.lost


def elsewhere(seats: Collection[Seat], at_hand: Collection[str]) -> frozenset[str]:
    """Models that workers of other machines have, and this one would have to fetch."""
    there = {model for seat in seats for model in seat.at_hand if seat.takes("", model)}
    return frozenset(there).difference(at_hand)


def allowed(mine: Seat, others: Collection[Seat]) -> Which:
    """What a worker may have at all. A job that it died with is left to others, if there are such."""
    spared = (job for job, model in mine.lost.items() if any(other.takes(job, model) for other in others))
    return Which(models=mine.limits.models or None, without=frozenset(spared))


def wishes(
    mine: Seat, others: Collection[Seat], may: Which, head: tuple[str, str], *, overdue: bool
) -> tuple[Which, ...]:
    """What to ask the queue for, one after the other, when this job of this model is the first that it may have."""
    job, model = head
    if overdue or model in mine.loaded:
        return (may,)
    asked = []
    if mine.loaded:
        asked.append(may.preferring(mine.loaded))
    free = [other for other in others if other.free]
    if any(model in other.loaded and other.takes(job, model) for other in free):
        asked.append(may.leaving(frozenset().union(*(other.loaded for other in free))))
    else:
        asked.append(may)
    return tuple(asked)
