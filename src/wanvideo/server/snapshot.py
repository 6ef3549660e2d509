"""What a client has to know when it connects."""

from typing import Any, Final

from wanvideo.jobs.job import State
from wanvideo.jobs.queries import Filter
from wanvideo.server.job_views import task_view
from wanvideo.server.model_views import download_view
from wanvideo.server.parts import Parts
from wanvideo.server.routes.system import stats_of

MOST: Final = 100  # jobs


def snapshot(parts: Parts) -> dict[str, Any]:
    """The queue in numbers, the jobs that run or wait, the downloads, the computer. JSON values."""
    counts, line = parts.queue.counts(), parts.line()
    active = Filter(states=frozenset({State.RUNNING, State.QUEUED, State.HELD}))
    jobs = parts.queue.page(active, limit=MOST).jobs
    return {
        "counts": {state.value: number for state, number in counts.items()},
        "paused": line.paused,
        "tasks": [_json(task_view(parts, job, line=line)) for job in jobs],
        "downloads": [
            _json(download_view(each, entry))
            for each in parts.downloads.list()
            if (entry := parts.catalog.entry(each.model)) is not None
        ],
        "stats": _json(stats_of(parts.monitor.latest)),
    }


def _json(view: Any) -> Any:
    return view.model_dump(mode="json", exclude_none=True)
