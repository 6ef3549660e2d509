"""One stream of frames to many clients."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio
import pytest

from wanvideo.server.events.hub import FRAMES, PENDING, Frame, Hub, Mailbox, Overflow, Topic


def on_a_loop(test: Callable[[Hub], Awaitable[None]]) -> None:
    async def running() -> None:
        hub = Hub()
        hub.open()
        await test(hub)
        hub.close()

    anyio.run(running)


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def progress(job: str, step: int) -> Frame:
    return Frame("task_update", {"task_id": job, "step": step}, key=f"progress {job}", job=job)


def done(job: str) -> Frame:
    return Frame("task_update", {"task_id": job, "status": "completed"}, ends=(f"progress {job}",), job=job)


async def taken(box: Mailbox) -> list[Frame]:
    found = []
    while True:
        try:
            async with asyncio.timeout(0.05):
                found.append(await box.take())
        except TimeoutError:
            return found


def test_a_slow_client_gets_the_newest_progress_and_every_end() -> None:
    async def test(hub: Hub) -> None:
        box = Mailbox()
        hub.join(box)
        for step in range(100):
            hub.publish(progress("a", step))
            hub.publish(progress("b", step))
        hub.publish(done("a"))
        await settle()
        frames = await taken(box)
        assert [(frame.data["task_id"], frame.data.get("step")) for frame in frames] == [("b", 99), ("a", None)]
        assert [frame.seq for frame in frames] == sorted(frame.seq for frame in frames)

    on_a_loop(test)


def test_a_client_too_far_behind_is_told_so_rather_than_lied_to() -> None:
    async def test(hub: Hub) -> None:
        box = Mailbox()
        hub.join(box)
        for number in range(PENDING + 1):
            hub.publish(done(str(number)))
        await settle()
        with pytest.raises(Overflow):
            await box.take()

    on_a_loop(test)


def test_what_was_missed_is_replayed_without_progress() -> None:
    async def test(hub: Hub) -> None:
        before = hub.last_seq
        hub.publish(progress("a", 1))
        hub.publish(done("a"))
        hub.publish(done("b"))
        await settle()
        box = Mailbox()
        missed = list(hub.since(before, box) or ())
        assert [frame.data["task_id"] for frame in missed] == ["a", "b"]
        assert [frame.data["task_id"] for frame in hub.since(missed[0].seq, box) or ()] == ["b"]
        assert hub.since(hub.last_seq + 1, box) is None

    on_a_loop(test)


def test_progress_is_throttled_and_the_last_one_arrives() -> None:
    async def test(hub: Hub) -> None:
        box = Mailbox()
        hub.join(box)
        for step in range(5):
            hub.publish(Frame("x", {"step": step}, key="x", every=0.05))
            await settle()
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.1)
        assert [frame.data["step"] for frame in await taken(box)] == [4]
        hub.publish(Frame("x", {"step": 5}, key="x", every=10.0))
        hub.publish(Frame("y", {}, ends=("x",)))
        await settle()
        assert [frame.type for frame in await taken(box)] == ["y"]

    on_a_loop(test)


def test_topics_are_for_those_who_ask() -> None:
    async def test(hub: Hub) -> None:
        everyone, curious = Mailbox(), Mailbox(frozenset({Topic.SYSTEM}))
        hub.join(everyone)
        hub.join(curious)
        hub.publish(Frame("system_stats_update", {}, topic=Topic.SYSTEM, key="stats"))
        hub.publish(Frame("task_update", {}))
        await settle()
        assert [frame.type for frame in await taken(everyone)] == ["task_update"]
        assert [frame.type for frame in await taken(curious)] == ["system_stats_update", "task_update"]
        assert hub.subscribers()[Topic.SYSTEM] == 1

    on_a_loop(test)


def test_numbers_grow_over_restarts() -> None:
    async def test(hub: Hub) -> None:
        hub.publish(replace(done("a"), event=7))
        for _ in range(5):
            hub.publish(progress("b", 1))
        hub.publish(done("b"))
        await settle()
        assert hub.last_seq > 7 * FRAMES
        later = Hub()
        later.open(7)  # the newest event in the store
        assert later.last_seq > hub.last_seq
        later.publish(replace(done("c"), event=8))
        await settle()
        assert later.last_seq == 8 * FRAMES

    on_a_loop(test)
