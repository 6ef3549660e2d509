"""One job as server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Final

from anyio import to_thread

from wanvideo.errors import JobNotFound
from wanvideo.server.events.hub import Mailbox, Overflow
from wanvideo.server.job_views import event_view, task_view
from wanvideo.server.parts import Parts
from wanvideo.server.schemas.common import Wire

BEAT_SECONDS: Final = 15.0  # between signs of life, so that nobody on the way hangs up


async def stream(parts: Parts, job: str, last: int) -> AsyncIterator[str]:
    """Events that were kept, numbered after `last`; progress as it happens; to the end of the job."""
    box = Mailbox(job=job)
    parts.hub.join(box)
    try:
        while True:
            for event in await to_thread.run_sync(lambda: parts.queue.events(job)):
                if event.number > last:
                    last = event.number
                    yield _message(event.kind, event_view(event), number=last)
            try:
                task = await to_thread.run_sync(lambda: task_view(parts, parts.job(job)))
            except JobNotFound:
                yield _message("deleted", None)
                return
            yield _message("task", task)
            if task.status in ("completed", "failed", "cancelled"):
                return
            while not await _changed(box):
                yield ": still here\n\n"
    finally:
        parts.hub.leave(box)


async def _changed(box: Mailbox) -> bool:
    """Whether something happened; whatever else did is looked up together with it."""
    try:
        async with asyncio.timeout(BEAT_SECONDS):
            await box.take()
    except TimeoutError:
        return False
    except Overflow:
        return True
    return True


def _message(kind: str, data: Wire | None, *, number: int | None = None) -> str:
    text = json.dumps({} if data is None else data.model_dump(mode="json", exclude_none=True))
    head = "" if number is None else f"id: {number}\n"
    return f"{head}event: {kind}\ndata: {text}\n\n"
