"""A video by way of a server: asked for, followed to its end or to Ctrl-C, brought here."""

import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from wanvideo.cli.downloads import Show as ShowDownload
from wanvideo.cli.downloads import duration, showing_download, somebody_there
from wanvideo.cli.interrupt import catching_interruptions
from wanvideo.cli.job import Job, say_which
from wanvideo.cli.output import Output
from wanvideo.cli.progress import Show, showing
from wanvideo.cli.values import existing, free_name
from wanvideo.client import Job as ServerJob
from wanvideo.client import JobCancelled, JobEvent, JobFailed, NotInTime, Options, Plan, Server, State, Submission
from wanvideo.client.client import Client
from wanvideo.client.watching import with_video
from wanvideo.errors import Cancelled, JobConflict, ModelMissing, OutputNotWritable, WanVideoError
from wanvideo.jobs.job import DOWNLOAD
from wanvideo.media.naming import NameTemplate
from wanvideo.media.output import check_name
from wanvideo.request import Phase, Progress
from wanvideo.weights.download.events import DownloadProgress
from wanvideo.weights.download.events import State as DownloadState

CANCEL_SECONDS: Final = 60.0  # for a job to end that was cancelled
_PHASES: Final = frozenset(phase.value for phase in Phase)


def run_there(output: Output, job: Job, server: Server) -> None:
    """The video, or one for each request. Raises JobFailed, Cancelled after Ctrl-C, and whatever the client raises."""
    check_out(job.out)
    options = Options(model=job.model or "auto", variant=job.variant, tier=job.tier.value)
    failed: list[JobFailed] = []
    with catching_interruptions(output), Client(server.url, server.token) as client:
        _check_download(output, client, job, options)
        key = uuid.uuid4().hex
        left: list[ServerJob] | None = None
        try:
            said = _asked(client, job, options, key)
            left = [each.job for each in said]
            _announce(output, said)
            for number, asked in enumerate(tuple(left), 1):
                say_which(output, number, job)
                try:
                    _brought(output, client, job, asked)
                except JobFailed as error:  # the others are made all the same
                    failed.append(error)
                    _say_failed(output, error, last=number == len(job.requests))
                left.remove(asked)
        except KeyboardInterrupt:
            # Without an answer, the request may have been heard: to ask again with its key tells which jobs it made.
            again = partial(_asked, job=job, options=options, key=key) if left is None else None
            raise Cancelled(_cancel(output, server, left or (), again)) from None
    if failed:
        raise failed[0]


def _brought(output: Output, client: Client, job: Job, asked: ServerJob) -> None:
    """Follow one job and bring its video. Raises JobFailed, Cancelled."""
    began = time.monotonic()
    done = _followed(output, client, asked)
    path = bring(client, done, job.out, job.names)
    seconds = time.monotonic() - began
    output.say(f"made in {seconds:.1f} s")
    settings = client.settings(done.id)
    output.event("done", path=path.absolute(), seconds=round(seconds, 3), settings=settings, job=done.id)
    output.result(str(path))


# --- before ----------------------------------------------------------------------------------------------------------


def check_out(out: str | None) -> None:
    """Raises OutputNotWritable for what no file can become."""
    if out == "":
        raise OutputNotWritable("--out is empty: name an .mp4 file or a folder, or leave it out")
    folder = Path() if out is None else existing(out)
    if folder is None or not folder.is_dir():
        check_name(Path(out or ""))
        folder = Path(out or "").parent
    if not os.access(folder, os.W_OK):
        raise OutputNotWritable(f"{folder} is write-protected: choose another folder with --out")


def _check_download(output: Output, client: Client, job: Job, options: Options) -> None:
    """Let nobody start a large download without knowing. Raises ModelMissing, Cancelled."""
    if job.model is None:  # then the server takes what it has
        return
    plan = client.plan(job.request, options)
    if plan.on_disk or not plan.download_bytes:
        return
    what = f"{plan.model} is not at the server, which downloads it first: {plan.download_bytes / 1e9:.1f} GB"
    if job.yes:
        output.say(what)
        return
    if not somebody_there(output):
        raise ModelMissing(f"{what}. Say --yes to let it", suggestions=("--yes",), facts={"bytes": plan.download_bytes})
    import typer

    if not typer.confirm(f"{what}. Go on?", default=True, err=True):
        raise Cancelled("nothing was asked for")


def _asked(client: Client, job: Job, options: Options, key: str) -> Sequence[Submission]:
    """What came of the requests, each of which is for one job. Under the same key, it comes of them once."""
    if len(job.requests) == 1:
        return [client.submit(job.request, options, key=key)]
    return client.submit_all(job.requests, options, key=key).requests


def _announce(output: Output, said: Sequence[Submission]) -> None:
    first, jobs = said[0], [each.job.id for each in said]
    if first.reason is not None:
        output.say(f"model: {first.model}, {first.reason}")
        output.event("chosen", model=first.model, demo=first.demo, reason=first.reason)
    output.say(f"job{'' if len(jobs) == 1 else 's'} {', '.join(jobs)}")
    output.event("submitted", job=jobs[0], jobs=jobs)
    if first.plan is not None:
        _say_plan(output, first.plan)


def _say_plan(output: Output, plan: Plan) -> None:
    where = "GPU" if plan.device != "cpu" else "host"
    output.say(f"plan: up to {plan.peak_mb / 1e3:.1f} GB of {where} memory, about {duration(plan.seconds)}")
    output.event("plan", peak_bytes=round(plan.peak_mb * 1e6), seconds=plan.seconds, notes=plan.notes)


# --- while it runs ---------------------------------------------------------------------------------------------------


def _followed(output: Output, client: Client, job: ServerJob) -> ServerJob:
    """Show how far it is, to its end. Raises Cancelled, JobFailed."""
    try:
        with ExitStack() as displays:
            return with_video(_watch(output, client, job.id, displays))
    except JobCancelled as error:
        raise Cancelled(f"job {error.job.id} was cancelled at the server: no file was written") from None


def _say_failed(output: Output, error: JobFailed, *, last: bool) -> None:
    if not last:
        output.say(f"failed: {error.message}")
        output.event("failed", job=error.job.id, code=error.code, message=error.message)
    kept = f"{error.failure.kept}: " if error.failure.kept else ""
    output.say(f"{kept}`wan queue retry {error.job.id[:8]}` tries again")


def _watch(output: Output, client: Client, job: str, displays: ExitStack) -> ServerJob:
    """displays: has the one that is shown, of which there is one at a time."""
    steps: _Steps | None = None
    fetching: _Fetching | None = None
    waits: str | None = None
    for said in client.watch(job):
        if isinstance(said, JobEvent):
            _tell(output, said)
        elif said.state is State.RUNNING and said.phase == DOWNLOAD:
            if fetching is None:
                fetching = _Fetching(displays.enter_context(showing_download(output)))
            fetching.update(said)
        elif said.state is State.RUNNING:
            if steps is None:
                displays.close()
                steps = _Steps(displays.enter_context(showing(output)))
            steps.update(said)
        elif (now := _waiting(said)) != waits and now is not None:
            waits = now
            output.say(now)
            output.event("waiting", position=said.position, state=said.state, message=said.message)
        if isinstance(said, ServerJob) and said.done:
            if steps is not None:
                steps.finish()
            return said
    raise AssertionError("watching ends with the end of the job")


class _Fetching:
    """What a job says of the download that it waits for, as what the downloader would have said in this process."""

    def __init__(self, show: ShowDownload) -> None:
        self._show = show
        self._began: float | None = None
        self._before = 0  # bytes that were there then

    def update(self, job: ServerJob) -> None:
        if job.total_bytes is None:
            return
        now, received = time.monotonic(), job.received_bytes or 0
        if self._began is None:
            self._began, self._before = now, received
        fetched, seconds = received - self._before, now - self._began
        per_second = fetched / seconds if seconds else 0.0
        self._show(
            DownloadProgress(
                state=DownloadState.DOWNLOADING,
                files=(),
                done_bytes=received,
                total_bytes=job.total_bytes,
                fetched_bytes=fetched,
                bytes_per_second=per_second,
                seconds_left=(job.total_bytes - received) / per_second if per_second else None,
            )
        )


class _Steps:
    """What a job says of its progress, as what the engine would have said in this process."""

    def __init__(self, show: Show) -> None:
        self._show = show
        self._last: Progress | None = None
        self._began = time.monotonic()  # the phase

    def update(self, job: ServerJob) -> None:
        if job.phase not in _PHASES:
            return
        phase, step, steps = Phase(job.phase), job.step or 0, job.step_count or 1
        if self._last is None or self._last.phase is not phase:
            self.finish()
            self._began = time.monotonic()
        elif (self._last.step, self._last.steps) == (step, steps):
            return
        self._tell(Progress(phase=phase, step=step, steps=steps, seconds=time.monotonic() - self._began))

    def finish(self) -> None:
        """The phase is over, though its last step may not have been told."""
        if self._last is not None and not self._last.done:
            seconds = time.monotonic() - self._began
            self._tell(Progress(phase=self._last.phase, step=self._last.steps, steps=self._last.steps, seconds=seconds))

    def _tell(self, progress: Progress) -> None:
        self._last = progress
        self._show(progress)


def _waiting(job: ServerJob) -> str | None:
    """Why it does not run; None where there is nothing to say."""
    if job.message is not None:
        return job.message
    if job.state is not State.QUEUED or job.position is None or job.position < 2:
        return None
    before = job.position - 1
    return f"waits in the queue, behind {before} other job{'' if before == 1 else 's'}"


def _tell(output: Output, event: JobEvent) -> None:
    """What happened to the job, in the words of a run in this process where it has them."""
    data = event.data
    match event.type:
        case "resolved":
            params = data.get("params", {})
            output.say(_made(params))
            output.event("resolved", **params)
        case "adapted":
            said = {name: data.get(name) for name in ("field", "asked", "used", "reason")}
            output.say("{field}: {asked} became {used}: {reason}".format(**said))
            output.event("adjusted", **said)
        case "fallback":
            output.say(f"made with {data.get('to')} instead of {data.get('from')}: {data.get('reason')}")
            output.event("fallback", **data)
        case "warning" | "requeued":
            output.say(f"{event.type}: {data.get('message') or data.get('reason')}")
            output.event(event.type, **data)
        case "phase" if data.get("phase") == "download":
            output.say("the server downloads the model first")
            output.event("downloading")


def _made(params: Mapping[str, Any]) -> str:
    """What will be made, in one line."""
    frames, fps = params["frames"], params["fps"]
    length = "1 picture" if frames == 1 else f"{frames} frames at {fps} fps ({frames / fps:.1f} s)"
    return (
        f"{params['model']}: {params['width']}x{params['height']}, {length}, {params['steps']} steps of "
        f"{params['solver']}, seed {params['seed']}"
    )


def _cancel(
    output: Output, server: Server, left: Sequence[ServerJob], again: Callable[[Client], Sequence[Submission]] | None
) -> str:
    """Cancel them and wait for their ends; what there is to say then. Another Ctrl-C ends the process at once.

    again: what tells which they are, where nobody knows.
    """
    output.say("cancelling at the server; press Ctrl-C again to leave at once")
    # The other client may have been interrupted in the middle of a request.
    with Client(server.url, server.token) as client:
        if again is not None:
            try:
                left = [each.job for each in again(client)]
            except WanVideoError:
                return "interrupted: the server has taken no job"
        for job in left:
            with suppress(WanVideoError):  # it has just ended
                client.cancel(job.id)
        for job in left:
            with suppress(JobCancelled, JobFailed):
                try:
                    client.wait(job.id, timeout=CANCEL_SECONDS)
                except NotInTime:
                    return f"interrupted: job {job.id} is being cancelled at the server"
                return f"interrupted, but job {job.id} had just ended: its video is at the server"
    what = "the job was" if len(left) == 1 else f"{len(left)} jobs were"
    return f"interrupted: {what} cancelled at the server, and no file was written"


# --- the file --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """What the name of a file is made of."""

    model: str
    prompt: str
    seed: int
    width: int
    height: int
    frames: int
    steps: int


def bring(client: Client, job: ServerJob, out: str | None, names: NameTemplate) -> Path:
    """The video of a job in the file `out`, or under a new name in the folder `out`. Raises what `download` raises."""
    folder = Path() if out is None else existing(out)
    if folder is None or not folder.is_dir():
        return client.download(job, Path(out or "").with_suffix(Path(job.output_path or "").suffix))
    result = with_video(job).result
    if result is None:
        raise JobConflict(f"job {job.id} is {job.state} and has no video yet: `wan queue watch {job.id[:8]}` waits")
    made = _Made(
        model=job.model, prompt=job.prompt, seed=job.seed or 0, width=result.width, height=result.height,
        frames=result.frames, steps=job.steps,
    )  # fmt: skip
    return client.download(job, free_name(folder / names.file_name(made, datetime.now())))
