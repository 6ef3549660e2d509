"""How long each call of the server takes while a million jobs are stored.

All calls in turn, again and again, so that reads meet fresh writes; one that takes long is made less often.
"""

import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.queue_growth.stored import FAILURE, NEVER, RARE, RARE_MODEL, job_id, specs
from benchmarks.queue_growth.waiting import Waiting
from benchmarks.reliability.record import percentile
from wanvideo.jobs.intake import Submission
from wanvideo.jobs.job import Job, State
from wanvideo.jobs.leases import Leases
from wanvideo.jobs.queries import ANY, Filter, Which, cursor_of
from wanvideo.jobs.queue import Queue
from wanvideo.server.run import spare_collector

GOAL_MS: Final = 20.0  # of the 99th percentile
ROUNDS: Final = 300
MOST_SECONDS: Final = 10.0  # of all rounds of one call
_QUEUE, _GALLERY = 200, 60  # jobs that the pages of the web app ask for
_POLL, _SNAPSHOT = 100, 100
_SUCCEEDED: Final = frozenset({State.SUCCEEDED})
_ACTIVE: Final = frozenset({State.QUEUED, State.HELD, State.RUNNING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Something that the server asks of its store. `goal`: whether it is one of those that have to be fast."""

    name: str
    make: Callable[[], object]
    goal: bool = True
    every: bool = False  # round, however long it takes: others stand on it


def calls(queue: Queue, count: int) -> Iterator[Call]:
    """`count`: how many jobs are done."""
    chance = random.Random(7)

    def some() -> Job:
        return queue.get(job_id(chance.randint(1, count)))

    yield from _work(queue)
    yield Call(name="status of a job", make=some)
    yield Call(name="its events", make=lambda: queue.events(job_id(chance.randint(1, count))))
    yield from _queue_pages(queue, some)
    yield from _gallery_pages(queue)
    yield Call(name="place of a job in the queue", make=_place_of_last(queue))
    yield Call(name="what other processes stored", make=lambda: queue.events(since=queue.last_seq() - 256, limit=500))
    yield Call(name="measurements of a model", make=lambda: queue.runs("t2v-A14B", limit=20))
    yield Call(name="measurements of all, 5,000", make=lambda: queue.runs(limit=5000), goal=False)


def measure(queue: Queue, count: int, rounds: int = ROUNDS) -> Iterator[Mapping[str, Any]]:
    """Milliseconds of each: as it took, and without the time in which others had the cores."""
    took: dict[str, list[float]] = {}
    own: dict[str, list[float]] = {}
    made = list(calls(queue, count))
    waiting = Waiting.of(queue.database)
    spare_collector()  # as a server does when it has started
    for _ in range(rounds):
        for call in made:
            times = took.setdefault(call.name, [])
            if sum(times) > 1e3 * MOST_SECONDS and not call.every:
                continue
            before, began = waiting.seconds(), time.perf_counter()
            call.make()
            times.append(1e3 * (time.perf_counter() - began))
            waited = 1e3 * (waiting.seconds() - before)
            own.setdefault(call.name, []).append(max(0.0, times[-1] - waited))
    for call in made:
        yield {
            "call": call.name, "goal": call.goal, "times": len(took[call.name]),
            "p50_ms": round(percentile(own[call.name], 50), 2), "p99_ms": round(percentile(own[call.name], 99), 2),
            "max_ms": round(max(own[call.name]), 2), "with_others_p50_ms": round(percentile(took[call.name], 50), 2),
            "with_others_p99_ms": round(percentile(took[call.name], 99), 2),
        }  # fmt: skip


def _work(queue: Queue) -> Iterator[Call]:
    """A job from its submit to its end."""
    leases, held, chosen = Leases(queue), list[Job](), list(specs())
    numbers = iter(range(10**9))

    def claim(which: Which = ANY) -> None:
        job = leases.claim(f"gpu{next(numbers)}", which)
        assert job is not None, "some wait"
        held.append(job)

    def submit() -> None:
        key = uuid.uuid4().hex
        queue.intake.submit(Submission(spec=chosen[next(numbers) % len(chosen)], key=key, count=2))

    made: dict[str, Callable[[], object]] = {
        "submit two jobs": submit,
        "claim": claim,
        "claim, of a model that is loaded": lambda: claim(ANY.preferring(frozenset({"t2v-A14B"}))),
        "report an event": lambda: leases.record(held[-1], "phase", {"phase": "denoise"}),
        "succeed": lambda: leases.succeed(held.pop(), {"file": "a.mp4", "bytes": 4711}),
        "fail": lambda: leases.fail(held.pop(), FAILURE.to_json()),
    }
    for name, make in made.items():
        yield Call(name=name, make=make, every=True)


def _queue_pages(queue: Queue, some: Callable[[], Job]) -> Iterator[Call]:
    """As GET /queue asks: a page, the counts, the line."""

    def page(limit: int = _QUEUE, cursor: str | None = None, **which: Any) -> None:
        queue.page(Filter(**which), limit=limit, cursor=cursor)
        queue.counts()
        queue.line()

    def state(*states: State) -> frozenset[State]:
        return frozenset(states)

    yield Call(name="queue: first page", make=page)
    yield Call(name="queue: a page in the middle", make=lambda: page(cursor=cursor_of(some())))
    yield Call(name="queue: what waits or runs", make=lambda: page(_SNAPSHOT, states=_ACTIVE))
    for each in (State.RUNNING, State.FAILED, State.CANCELLED, State.SUCCEEDED):
        yield Call(name=f"queue: {each}", make=lambda each=each: page(states=state(each)))  # type: ignore[misc]
    yield Call(name="queue: a rare model", make=lambda: page(model=RARE_MODEL))
    yield Call(name="queue: a rare model that failed", make=lambda: page(model=RARE_MODEL, states=state(State.FAILED)))
    yield Call(name="queue: search, common", make=lambda: page(text="slow pan"))
    yield Call(name="queue: search, rare", make=lambda: page(text=RARE))
    yield Call(name="queue: search, found nowhere", make=lambda: page(text=NEVER))
    yield Call(name="queue: search, rare, among failed", make=lambda: page(text=RARE, states=state(State.FAILED)))


def _gallery_pages(queue: Queue) -> Iterator[Call]:
    """As GET /outputs asks: a page of videos, how many there are of that kind, the bytes of all."""

    def page(**which: Any) -> None:
        asked = Filter(states=_SUCCEEDED, **which)
        queue.page(asked, limit=_GALLERY)
        queue.counts(asked)
        queue.stored_bytes()

    yield Call(name="gallery: first page", make=page)
    yield Call(name="gallery: favourites", make=lambda: page(favourite=True))
    yield Call(name="gallery: a common model", make=lambda: page(model="t2v-A14B"))
    yield Call(name="gallery: a rare model", make=lambda: page(model=RARE_MODEL))
    yield Call(name="gallery: search, common", make=lambda: page(text="slow pan"))
    yield Call(name="gallery: search, rare", make=lambda: page(text=RARE))
    yield Call(name="gallery: search, found nowhere", make=lambda: page(text=NEVER))


def _place_of_last(queue: Queue) -> Callable[[], object]:
    last = queue.get(queue.line()[-1])
    return lambda: queue.place(last)
