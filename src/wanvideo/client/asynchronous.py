"""The asynchronous client: the same methods as `Client`, to be awaited."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2
from anyio import to_thread
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

from wanvideo.client import calls
from wanvideo.client.answers import error_of
from wanvideo.client.arriving import Arriving
from wanvideo.client.calls import Call, Options, Status, ValueT, Where
from wanvideo.client.errors import Busy, DownloadDamaged, NotInTime
from wanvideo.client.find import server_or_fail
from wanvideo.client.patience import (
    SILENCE_SECONDS,
    Patience,
    authorisation,
    end_of,
    http_options,
    socket_url,
    unreachable,
    value_of,
)
from wanvideo.client.values import Batch, Frame, Job, JobEvent, Machine, Model, Plan, Queue, Submission, Worker
from wanvideo.client.watching import Watched, frame_of, video_of, with_video
from wanvideo.request import GenerationRequest


class AsyncClient:
    """Talks to one server, on one event loop; to be closed, best by `async with`.

    What is safe to ask twice is asked again when the connection fails; requests for videos carry a key, so that they
    are safe. Methods raise ServerError and its kinds, Unreachable and BadAnswer.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout: float = 30.0,
        patience: Patience = Patience(),
    ) -> None:
        """url: such as http://127.0.0.1:9000; by default WANVIDEO_URL, else the server that runs for this user.

        timeout: seconds without a byte. Raises NoServer.
        """
        self.server, self.patience = server_or_fail(url, token), patience
        self._http = httpx2.AsyncClient(**http_options(self.server, timeout))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    # --- asking for videos -------------------------------------------------------------------------------------------

    async def submit(
        self, request: GenerationRequest, options: Options = Options(), *, key: str | None = None
    ) -> Submission:
        """Put a video into the queue, or `options.count` of them; stored when this returns.

        key: makes this request one, however often it is sent; by default a new one.
        """
        return await self.call(calls.submit(request, options, key))

    async def submit_all(
        self, requests: Sequence[GenerationRequest], options: Options = Options(), *, key: str | None = None
    ) -> Batch:
        """Put several videos into the queue: all of them, or, if one cannot be taken, none."""
        return await self.call(calls.batch(requests, options, key))

    async def plan(self, request: GenerationRequest, options: Options = Options()) -> Plan:
        """What a video will take there, before it is asked for."""
        return await self.call(calls.plan(request, options))

    async def rerun(
        self,
        job: str,
        changes: Mapping[str, Any] | None = None,
        *,
        keep_seed: bool = False,
        count: int = 1,
        key: str | None = None,
    ) -> tuple[Job, ...]:
        """New jobs with the settings of this one and changes to them, in the words of the API."""
        return await self.call(calls.rerun(job, changes or {}, keep_seed=keep_seed, count=count, key=key))

    # --- jobs --------------------------------------------------------------------------------------------------------

    async def get(self, job: str) -> Job:
        return await self.call(calls.get(job))

    async def queue(
        self,
        *,
        status: Status | None = None,
        model: str | None = None,
        text: str | None = None,
        favourite: bool | None = None,
        limit: int = 200,
        cursor: str | None = None,
    ) -> Queue:
        """One page of jobs, the newest first. text: in the prompt."""
        return await self.call(
            calls.page(status=status, model=model, text=text, favourite=favourite, limit=limit, cursor=cursor)
        )

    async def jobs(
        self,
        *,
        status: Status | None = None,
        model: str | None = None,
        text: str | None = None,
        favourite: bool | None = None,
    ) -> AsyncGenerator[Job, None]:
        """All jobs, the newest first, fetched as they are wanted."""
        first = calls.page(status=status, model=model, text=text, favourite=favourite)
        page = await self.call(first)
        for job in page.tasks:
            yield job
        while page.next_cursor is not None:
            page = await self.call(replace(first, query={**first.query, "cursor": page.next_cursor}))
            for job in page.tasks:
                yield job

    async def events(self, job: str, since: int = 0) -> tuple[JobEvent, ...]:
        """What happened to a job and was kept."""
        return await self.call(calls.events(job, since))

    async def cancel(self, job: str) -> Job:
        """At once if it waits, within a step if it runs."""
        await self.call(calls.cancel(job))
        return await self.get(job)

    async def retry(self, job: str) -> Job:
        """A job that failed or was cancelled, again, from what was kept."""
        return await self.call(calls.retry(job))

    async def edit(self, job: str, changes: Mapping[str, Any]) -> Job:
        """Change what a job that waits will make, in the words of the API."""
        return await self.call(calls.edit(job, changes))

    async def move(self, job: str, to: Where, other: str | None = None) -> Job:
        """Before or after another job, or to either end of the queue."""
        return await self.call(calls.move(job, to, other))

    async def prioritise(self, job: str, priority: int) -> Job:
        """Higher comes first."""
        return await self.call(calls.prioritise(job, priority))

    async def hold(self, job: str) -> Job:
        """Let it wait until it is released."""
        return await self.call(calls.hold(job))

    async def release(self, job: str) -> Job:
        return await self.call(calls.release(job))

    async def favour(self, job: str, favourite: bool = True) -> Job:
        return await self.call(calls.favour(job, favourite))

    async def delete(self, job: str) -> None:
        """Of a job that has ended, with its video."""
        await self.call(calls.delete(job))

    # --- the queue, the models ---------------------------------------------------------------------------------------

    async def clear(self) -> int:
        """Delete all jobs that have ended, with their videos; how many there were."""
        return await self.call(calls.clear())

    async def pause(self) -> None:
        """Begin no further job."""
        await self.call(calls.pause())

    async def resume(self) -> None:
        await self.call(calls.resume())

    async def models(self) -> tuple[Model, ...]:
        """The server's catalog."""
        return await self.call(calls.models())

    # --- the workers of this server ----------------------------------------------------------------------------------

    async def workers(self) -> tuple[Worker, ...]:
        """Who makes videos; on other machines of the queue there may be more."""
        return await self.call(calls.workers())

    async def machines(self) -> tuple[Machine, ...]:
        """All that work on the queue, the server among them; empty where it has the queue to itself."""
        return await self.call(calls.machines())

    async def add_worker(
        self, devices: Sequence[str], *, models: Sequence[str] = (), memory_limit_gb: float | None = None
    ) -> Worker:
        """One more, on devices such as cuda:1 that make a video together; until the server stops."""
        return await self.call(calls.add_worker(devices, models, memory_limit_gb))

    async def limit_worker(
        self, name: str, *, models: Sequence[str] = (), memory_limit_gb: float | None = None
    ) -> Worker:
        """Which models it takes, with none all, and how much GPU memory it uses; from its next job on."""
        return await self.call(calls.limit_worker(name, models, memory_limit_gb))

    async def return_worker(self, name: str) -> Worker:
        """Let it have jobs again, after it was taken out."""
        return await self.call(calls.return_worker(name))

    async def remove_worker(self, name: str, *, now: bool = False) -> None:
        """When its job is done. now: that goes on elsewhere, from what is kept."""
        await self.call(calls.remove_worker(name, now))

    # --- what happens ------------------------------------------------------------------------------------------------

    async def watch(
        self, job: str, since: int = 0, *, timeout: float | None = None
    ) -> AsyncGenerator[Job | JobEvent, None]:
        """What happens to a job, to its end: events after the one numbered `since`, and the job whenever it changed.

        Goes on where it was when the connection breaks or the server starts again. timeout: seconds in all; then
        NotInTime is raised. Raises JobNotFound if the job is deleted.
        """
        watched, end, tries = Watched(job, since), end_of(timeout), 0
        while not watched.over:
            try:
                async with aclosing(self._stream(watched, end)) as stream:
                    async for said in stream:
                        tries = 0
                        yield said
            except (httpx2.TransportError, Busy) as error:
                if time.monotonic() >= end:
                    raise NotInTime(f"job {job} has not ended after {timeout} s, and goes on") from None
                tries += 1
                if (pause := self.patience.reconnect(tries)) is None:
                    raise unreachable(self.server, error) from error
                await asyncio.sleep(min(pause, max(0.0, end - time.monotonic())))

    async def wait(self, job: str, *, timeout: float | None = None) -> Job:
        """The job, once its video is there. Raises JobFailed, JobCancelled, NotInTime."""
        async with aclosing(self.watch(job, timeout=timeout)) as said_of_it:
            async for said in said_of_it:
                if isinstance(said, Job) and said.done:
                    return with_video(said)
        raise AssertionError("watching ends with the end of the job")

    async def frames(self, topics: Sequence[str] = (), since: int | None = None) -> AsyncGenerator[Frame, None]:
        """What happens at the server, without end; see docs/server.md for topics and types.

        Each connection begins with a `snapshot`. since: of the last frame that was received, for what was missed.
        """
        tries = 0
        while True:
            try:
                async with connect(socket_url(self.server, since), additional_headers=authorisation(self.server),
                             proxy=None if self.server.on_loopback else True, max_size=None) as socket:  # fmt: skip
                    for topic in topics:
                        await socket.send(json.dumps({"type": "subscribe", "data": {"topic": topic}}))
                    async for text in socket:
                        frame = frame_of(text)
                        tries, since = 0, frame.seq
                        yield frame
            except InvalidStatus as error:
                raise error_of(error.response.status_code, error.response.body or b"", "the socket /ws") from None
            except (OSError, WebSocketException) as error:
                broken: Exception = error
            else:
                broken = ConnectionError("it closed the connection")
            tries += 1
            if (pause := self.patience.reconnect(tries)) is None:
                raise unreachable(self.server, broken) from broken
            await asyncio.sleep(pause)

    # --- videos ------------------------------------------------------------------------------------------------------

    async def settings(self, job: str) -> Mapping[str, Any]:
        """What a video was made with, as its file says."""
        return await self.call(calls.settings(job))

    async def download(self, job: str | Job, path: Path | str) -> Path:
        """Bring the video of a job to `path`, whole and checked by its hash, or go on with what a break has left.

        Raises JobFailed, JobCancelled, NotFound, OutputNotWritable, DownloadDamaged.
        """
        found = video_of(job if isinstance(job, Job) else await self.get(job))
        tries, damaged = 0, False
        with Arriving(found.job, Path(path), found.sha256) as arriving:
            while True:
                before = arriving.size
                try:
                    await self._receive(found.job, arriving)
                    return arriving.finish()
                except DownloadDamaged:
                    if damaged:
                        raise
                    damaged = True
                except httpx2.TransportError as error:
                    tries = 1 if arriving.size > before else tries + 1
                    if (pause := self.patience.after(tries)) is None:
                        raise unreachable(self.server, error) from error
                    await asyncio.sleep(pause)

    # --- inside ------------------------------------------------------------------------------------------------------

    async def call(self, call: Call[ValueT]) -> ValueT:
        """Ask, as often as it needs and may be."""
        for tries in count(1):
            try:
                answer = await self._http.request(
                    call.method, call.path, params=dict(call.query), headers=call.headers, **call.content
                )
            except httpx2.TransportError as error:
                pause = self.patience.after_failure(call, error, tries)
                if pause is None:
                    raise unreachable(self.server, error) from error
            else:
                pause = self.patience.after_answer(answer, tries)
                if pause is None:
                    return value_of(call, answer)
            await asyncio.sleep(pause)
        raise AssertionError("patience ends")

    async def _stream(self, watched: Watched, end: float) -> AsyncGenerator[Job | JobEvent, None]:
        """Until the connection ends. Raises TransportError also for an end that is none of the job."""
        silence = httpx2.Timeout(max(0.01, min(SILENCE_SECONDS, end - time.monotonic())), pool=None)
        path = calls.stream_path(watched.job)
        async with self._opened(path, watched.headers, silence) as answer:
            async for said in httpx2.EventSource(answer):
                yield watched.hear(said)
                if time.monotonic() >= end and not watched.over:
                    raise httpx2.ReadTimeout("the time is over")
        if not watched.over:
            raise httpx2.RemoteProtocolError("the stream ended before the job")

    async def _receive(self, job: str, arriving: Arriving) -> None:
        if arriving.complete:
            return
        async with self._opened(calls.content_path(job), arriving.headers, None) as answer:
            arriving.begin(answer)
            async for chunk in answer.aiter_bytes():
                await to_thread.run_sync(arriving.write, chunk)

    @asynccontextmanager
    async def _opened(
        self, path: str, headers: Mapping[str, str], timeout: httpx2.Timeout | None
    ) -> AsyncIterator[httpx2.Response]:
        """An answer whose body is read as it comes."""
        patient = self._http.timeout if timeout is None else timeout
        async with self._http.stream("GET", path, headers=dict(headers), timeout=patient) as answer:
            if not (answer.is_success or answer.status_code == httpx2.codes.RANGE_NOT_SATISFIABLE):
                raise error_of(answer.status_code, await answer.aread(), f"GET {path}")
            yield answer
