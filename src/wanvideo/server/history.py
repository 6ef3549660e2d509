"""How each model has done on this computer, from the jobs that ran here. What was never measured is not made up."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import fmean

from wanvideo.server.catalog import wire_type
from wanvideo.server.model_views import MIB, now
from wanvideo.server.schemas.models import Performance, PhaseSeconds
from wanvideo.weights.entry import ModelEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One job that has ended."""

    model: str
    outcome: str  # succeeded, failed, cancelled
    at: datetime
    seconds: float | None = None
    steps: int | None = None
    phases: dict[str, float] = field(default_factory=dict)  # seconds
    peak_vram: int | None = None  # bytes
    peak_rss: int | None = None
    error: str | None = None


def performance(entry: ModelEntry, runs: Iterable[Run]) -> Performance:
    """Of one model; `runs` may hold those of others, the newest first."""
    own = [run for run in runs if run.model == entry.id]
    done = [run for run in own if run.outcome == "succeeded"]
    failed = [run for run in own if run.outcome == "failed"]
    steps = [run.phases["denoise"] / run.steps for run in done if run.steps and run.phases.get("denoise")]
    names = dict.fromkeys(name for run in done for name in run.phases)
    times = {name: [run.phases[name] for run in done if name in run.phases] for name in names}
    seconds = [run.seconds for run in done if run.seconds is not None]
    vram = [run.peak_vram for run in done if run.peak_vram]
    ram = [run.peak_rss for run in done if run.peak_rss]
    return Performance(
        model_id=entry.id,
        model_type=wire_type(entry),
        runs=len(own),
        succeeded=len(done),
        failed=len(failed),
        cancelled=len(own) - len(done) - len(failed),
        success_rate=round(len(done) / (len(done) + len(failed)), 4) if done or failed else None,
        mean_seconds=round(fmean(seconds), 3) if seconds else None,
        seconds_per_step=round(fmean(steps), 4) if steps else None,
        phases=[
            PhaseSeconds(phase=name, mean=round(fmean(each), 3), longest=round(max(each), 3))
            for name, each in times.items()
        ],
        peak_vram_mb=round(max(vram) / MIB, 1) if vram else None,
        peak_ram_mb=round(max(ram) / MIB, 1) if ram else None,
        last_errors=[run.error for run in failed[:5] if run.error],
        last_used=max((run.at for run in own), default=None),
    )


def recent(runs: Iterable[Run], span: timedelta) -> list[Run]:
    since = now() - span
    return [run for run in runs if run.at >= since]
