"""Which workers there are, and what starts them."""

from collections.abc import Mapping
from typing import Any

from wanvideo.jobs.executor import MakeExecutor
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.job import Job
from wanvideo.server.parts import Sources
from wanvideo.server.settings import Settings


def workers_of(settings: Settings, sources: Sources, folder: DataFolder) -> Mapping[str, MakeExecutor]:
    return {}


def describe(job: Job, how: str, known: Mapping[str, Any]) -> Mapping[str, Any]:
    return {}
