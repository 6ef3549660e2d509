"""Which workers there are, and what starts them."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from wanvideo.errors import InvalidRequest, WanVideoError
from wanvideo.failure import Asked, failure_of, worker_lost
from wanvideo.jobs.executor import MakeExecutor
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.job import Job
from wanvideo.jobs.placement import WorkerLimits
from wanvideo.jobs.terms import MOST_DEATHS
from wanvideo.media.naming import NameTemplate
from wanvideo.server.machine import usable_gpus
from wanvideo.server.parts import Sources
from wanvideo.server.settings import GIB, Settings
from wanvideo.worker.handle import WorkerHandle
from wanvideo.worker.settings import WorkerSettings


def workers_of(settings: Settings, sources: Sources, folder: DataFolder) -> Mapping[str, MakeExecutor]:
    """One for each GPU that can be used, or for each group of them, by its devices; without any, one for the CPU."""
    groups = _named(groups_of(devices_of(settings.here), settings.gpus_per_job))
    return {name: worker_on(devices, name, settings, sources, folder) for name, devices in groups}


def worker_on(
    devices: Sequence[str], name: str, settings: Settings, sources: Sources, folder: DataFolder
) -> MakeExecutor:
    """What makes a worker that has these devices."""
    return partial(
        WorkerHandle,
        WorkerSettings(
            data=folder,
            places=sources.places,
            library=sources.library,
            devices=tuple(devices),
            rank_patience=settings.rank_patience_seconds,
            names=NameTemplate(settings.name_template),
        ),
        log=folder.logs / f"worker-{name.replace(':', '-')}.log",
    )


def limits_of(settings: Settings, names: Collection[str], resolve: Callable[[str], str]) -> dict[str, WorkerLimits]:
    """What the settings say of these workers. Raises InvalidRequest for others, and what `resolve` raises."""
    for name in settings.worker_limits:
        if name not in names:
            raise InvalidRequest(
                f"worker_limits is about a worker {name!r:.60}, and there is none here but {', '.join(names) or 'none'}"
            )
    return {
        name: worker_limits(limit.models, limit.memory_gb, resolve) for name, limit in settings.worker_limits.items()
    }


def worker_limits(models: Collection[str], memory_gb: float | None, resolve: Callable[[str], str]) -> WorkerLimits:
    """resolve: a model that somebody named -> its id, as jobs have it; raises UnknownModel."""
    return WorkerLimits(
        models=frozenset(map(resolve, models)), memory=None if memory_gb is None else int(memory_gb * GIB)
    )


def new_worker(asked: Sequence[str], there: Collection[str]) -> tuple[str, tuple[str, ...]]:
    """A name for one more worker, and its devices; `there`: the names of the others.

    Raises InvalidRequest for devices that are not there or that another one has.
    """
    devices = tuple(device for each in asked for device in devices_of(each))
    if not devices:
        raise InvalidRequest("a worker needs a device: give cpu or cuda:N")
    usable, taken = usable_gpus(), {device: name for name in there for device in devices_in(name)}
    for device in devices:
        number = int(device.removeprefix("cuda:")) if ":" in device else 0
        if device != "cpu" and number not in usable:
            raise InvalidRequest(f"there is no device {device}: this computer has {len(usable)} GPUs that can be used")
        if device != "cpu" and device in taken:
            raise InvalidRequest(f"{device} belongs to the worker {taken[device]}: remove that one first")
    name, number = "+".join(devices), 1
    while (full := f"{name}-{number}" if number > 1 else name) in there:
        number += 1
    return full, devices


def devices_in(name: str) -> tuple[str, ...]:
    """Of a worker of that name."""
    return tuple(re.sub(r"-\d+$", "", name).split("+"))


def devices_of(device: str) -> list[str]:
    """As PyTorch names them. Raises InvalidRequest for a name that it does not know."""
    if device == "auto":
        return [f"cuda:{number}" for number in usable_gpus()] or ["cpu"]
    if device == "none":  # other machines do the work
        return []
    found = [each.strip() for each in device.split(",")]
    for each in found:
        if each not in ("cpu", "cuda") and not each.removeprefix("cuda:").isdecimal():
            raise InvalidRequest(
                f"no device is called {each!r:.60}: use auto, cpu, cuda, cuda:N or none, or several with commas"
            )
    return found


def groups_of(devices: Sequence[str], each: int | Literal["auto"]) -> list[tuple[str, ...]]:
    """Who makes a video together; with "auto", that is found when one begins. Fewer are left for the last one.

    Raises InvalidRequest.
    """
    if not devices or each == "auto":
        return [(device,) for device in devices]
    if each > len(devices):
        raise InvalidRequest(f"{each} GPUs are to make each video, and there are {len(devices)}: {', '.join(devices)}")
    return [tuple(devices[first : first + each]) for first in range(0, len(devices), each)]


def _named(groups: Sequence[tuple[str, ...]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each with the name of its worker: several may share devices."""
    for index, devices in enumerate(groups):
        before, name = groups[:index].count(devices), "+".join(devices)
        yield f"{name}-{before + 1}" if before else name, devices


def describe(job: Job, how: str, known: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a supervisor knows of a job that its worker did not end, as a failure."""
    error = known.get("error")
    if isinstance(error, WanVideoError):
        return failure_of(error, phase="download", model=job.model).to_json()
    spec = job.spec
    asked = Asked(
        model=job.model,
        width=known.get("width"),
        height=known.get("height"),
        frames=known.get("frames"),
        tier=spec.tier,
        loras=bool(spec.request.loras),
    )
    return worker_lost(how, known, model=job.model, attempts=MOST_DEATHS, asked=asked).to_json()
