from dataclasses import dataclass

import pytest
from sqlalchemy import event, update

from tests.jobs.conftest import spec
from wanvideo.jobs.database import Database
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.job import Job, State
from wanvideo.jobs.leases import Leases
from wanvideo.jobs.ledger import Change
from wanvideo.jobs.queries import AT_ONCE
from wanvideo.jobs.queue import Queue
from wanvideo.jobs.retention import DAY, Retention, Rules, Swept
from wanvideo.jobs.tables import JOBS


@dataclass
class Clock:
    now: float = 1_000_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(database: Database, folder: DataFolder, clock: Clock) -> Queue:
    return Queue(database, folder, now=clock)


def made(queue: Queue, clock: Clock, size: int = 100) -> Job:
    """A job with a video of so many bytes, a day after the last one."""
    clock.now += DAY
    job = Leases(queue).start(queue.submit(spec())[0].id, "gpu")
    assert job is not None
    (queue.folder.outputs / f"{job.id}.mp4").write_bytes(bytes(size))
    queue.folder.thumbnail(job.id).touch()
    assert Leases(queue).succeed(job, {"file": f"{job.id}.mp4", "bytes": size})
    return queue.get(job.id)


def videos(queue: Queue) -> set[str]:
    return {path.stem for path in queue.folder.outputs.iterdir()}


def test_without_rules_nothing_is_ever_due(queue: Queue, clock: Clock) -> None:
    job = made(queue, clock)
    clock.now += 10_000 * DAY
    assert Retention(queue, Rules()).sweep() == Swept()
    assert videos(queue) == {job.id}


def test_an_old_video_is_announced_and_goes_after_the_notice(queue: Queue, clock: Clock) -> None:
    job, told = made(queue, clock), list[Change]()
    queue.subscribe(told.append)
    retention = Retention(queue, Rules(keep_days=30))
    clock.now += 31 * DAY
    assert retention.sweep().announced == (job.id,)
    assert (told[-1].kind, told[-1].data["expires"]) == ("expiring", clock.now + DAY)
    assert queue.get(job.id).expires == clock.now + DAY
    clock.now += DAY - 1
    assert retention.sweep() == Swept()
    assert videos(queue) == {job.id}
    clock.now += 2
    assert retention.sweep().removed == (job.id,)
    assert (told[-1].kind, told[-1].data) == ("deleted", {"reason": "keep_days"})
    assert queue.find(job.id) is None
    assert not videos(queue)
    assert not queue.folder.thumbnail(job.id).exists()


def test_beyond_the_quota_the_oldest_videos_go(queue: Queue, clock: Clock) -> None:
    jobs = [made(queue, clock, size) for size in (100, 200, 300, 400)]
    due = Retention(queue, Rules(quota_bytes=750)).due()
    assert [each.job for each in due] == [jobs[0].id, jobs[1].id]
    assert [each.bytes for each in due] == [100, 200]
    assert not Retention(queue, Rules(quota_bytes=1000)).due()
    assert len(Retention(queue, Rules(quota_bytes=0)).due()) == 4


def test_a_favourite_counts_and_stays(queue: Queue, clock: Clock) -> None:
    oldest, second, third = (made(queue, clock) for _ in range(3))
    queue.favour(oldest.id)
    assert [each.job for each in Retention(queue, Rules(quota_bytes=150, keep_days=1.5)).due()] == [
        second.id,
        third.id,
    ]


def test_a_job_that_becomes_a_favourite_after_the_announcement_stays(queue: Queue, clock: Clock) -> None:
    job = made(queue, clock)
    retention = Retention(queue, Rules(quota_bytes=0))
    assert retention.sweep().announced == (job.id,)
    assert queue.favour(job.id).expires is None
    clock.now += 10 * DAY
    assert retention.sweep() == Swept()
    queue.favour(job.id, False)
    assert retention.sweep().announced == (job.id,)  # and has all its notice again
    assert videos(queue) == {job.id}


def test_a_looser_rule_spares_what_was_announced(queue: Queue, clock: Clock) -> None:
    job = made(queue, clock)
    Retention(queue, Rules(quota_bytes=0)).sweep()
    assert Retention(queue, Rules()).sweep().spared == (job.id,)
    assert queue.get(job.id).expires is None
    assert queue.events(job.id)[-1].kind == "kept"


def test_failed_and_cancelled_jobs_go_when_they_are_old_and_waiting_ones_never(queue: Queue, clock: Clock) -> None:
    waiting, cancelled = queue.submit(spec(), count=2)
    queue.cancel(cancelled.id)
    retention = Retention(queue, Rules(keep_days=1, quota_bytes=0, notice_seconds=0))
    clock.now += 2 * DAY
    retention.sweep()
    retention.sweep()
    assert queue.find(cancelled.id) is None
    assert queue.get(waiting.id).state is State.QUEUED


def test_a_cancelled_job_that_is_tried_again_is_spared(queue: Queue, clock: Clock) -> None:
    job = queue.submit(spec())[0]
    queue.cancel(job.id)
    clock.now += 2 * DAY
    Retention(queue, Rules(keep_days=1, notice_seconds=0)).sweep()
    assert queue.retry(job.id).expires is None
    assert Retention(queue, Rules(keep_days=1, notice_seconds=0)).sweep() == Swept()


def test_more_videos_than_are_read_at_once_go_beyond_the_quota(
    database: Database, folder: DataFolder, clock: Clock
) -> None:
    queue = Queue(database, folder, most_waiting=AT_ONCE + 10, now=clock)
    queue.submit(spec(), count=AT_ONCE + 10)
    with database.write() as connection:  # all at the same time
        connection.execute(update(JOBS).values(state=str(State.SUCCEEDED), finished=clock.now, bytes=2))
    due = Retention(queue, Rules(quota_bytes=11)).due()
    assert len({each.job for each in due}) == AT_ONCE + 5


def test_what_is_due_is_found_by_its_age(sqlite: Database, folder: DataFolder) -> None:
    asked: list[tuple[str, tuple[object, ...]]] = []
    event.listen(sqlite._reader, "before_cursor_execute", lambda *given: asked.append((given[2], given[3])))
    Retention(Queue(sqlite, folder), Rules(keep_days=1, quota_bytes=-1)).due()
    sweeps = [each for each in asked if "jobs.finished" in each[0]]
    assert len(sweeps) == 2
    with sqlite.read() as connection:
        for query, values in sweeps:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", values).all()
            assert "SEARCH jobs USING INDEX jobs_finished" in plan[0].detail
