import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, text

from tests.jobs.conftest import spec
from wanvideo.errors import IdempotencyConflict, InvalidRequest, JobConflict, JobNotFound, QueueFull
from wanvideo.jobs.database import Database
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.job import Job, Progress, State
from wanvideo.jobs.leases import Leases
from wanvideo.jobs.ledger import Change
from wanvideo.jobs.queries import MOST_COUNTED, Filter, newest
from wanvideo.jobs.queue import Queue
from wanvideo.jobs.tables import JOBS


def started(queue: Queue, job: Job) -> Job:
    found = Leases(queue).start(job.id, "gpu")
    assert found is not None
    return found


def test_a_job_is_there_after_a_restart(queue: Queue, folder: DataFolder, url: str) -> None:
    job = queue.submit(spec())[0]
    again = Database(url)
    assert Queue(again, folder).get(job.id) == job
    again.close()


def test_jobs_of_a_batch_have_seeds_that_follow_one_another(queue: Queue) -> None:
    jobs = queue.submit(spec(seed=40), count=3)
    assert [job.spec.request.seed for job in jobs] == [40, 41, 42]
    assert len({job.batch for job in jobs}) == 1


def test_pages_list_jobs_of_a_batch_in_the_order_of_their_seeds(queue: Queue) -> None:
    jobs = queue.submit(spec(), count=20)
    assert [job.id for job in reversed(queue.page().jobs)] == [job.id for job in jobs]


def test_a_seed_is_drawn_before_a_job_is_stored(queue: Queue) -> None:
    assert queue.submit(spec(seed=None))[0].spec.request.seed is not None


def test_the_same_key_gives_the_same_jobs(queue: Queue) -> None:
    first = queue.submit(spec(), key="k", count=2)
    assert queue.submit(spec(), key="k", count=2) == first
    with pytest.raises(IdempotencyConflict, match="'k' belongs to job"):
        queue.submit(spec("another"), key="k")


def test_the_same_key_at_the_same_time_makes_one_job(queue: Queue) -> None:
    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda _: queue.submit(spec(), key="k")[0].id, range(24)))
    assert len(set(jobs)) == 1
    assert queue.counts()[State.QUEUED] == 1


def test_jobs_run_in_order_and_by_priority(queue: Queue) -> None:
    first, second, third = (queue.submit(spec(str(n)))[0] for n in range(3))
    queue.prioritise(third.id, 5)
    assert [job.id for job in queue.waiting()] == [third.id, first.id, second.id]
    queue.reorder([second.id, third.id])
    assert [job.id for job in queue.waiting()] == [second.id, first.id, third.id]


def test_only_one_worker_gets_a_job(queue: Queue) -> None:
    job = queue.submit(spec())[0]
    with ThreadPoolExecutor(8) as pool:
        got = [found for found in pool.map(lambda n: Leases(queue).start(job.id, f"gpu{n}"), range(8)) if found]
    assert len(got) == 1
    assert got[0].attempt == 1


def test_what_an_older_attempt_says_is_not_heard(queue: Queue) -> None:
    old = started(queue, queue.submit(spec())[0])
    assert Leases(queue).requeue(old, "its worker was lost", death=True)
    new = started(queue, old)
    assert new.attempt == 2
    assert new.deaths == 1
    assert not Leases(queue).record(old, "warning", {})
    assert not Leases(queue).succeed(old, {"file": "old.mp4"})
    assert not Leases(queue).fail(old, {"code": "X"})
    assert Leases(queue).succeed(new, {"file": "new.mp4"})
    found = queue.get(new.id)
    assert found.result == {"file": "new.mp4"}
    assert not Leases(queue).succeed(new, {"file": "twice.mp4"})


def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_is_asked(queue: Queue) -> None:
    waiting, running = queue.submit(spec(), count=2)
    running = started(queue, running)
    assert queue.cancel(waiting.id).state is State.CANCELLED
    asked = queue.cancel(running.id)
    assert (asked.state, asked.cancelling) == (State.RUNNING, True)
    assert Leases(queue).confirm_cancelled(running)
    with pytest.raises(JobConflict, match="is cancelled and cannot be cancelled"):
        queue.cancel(running.id)


def test_a_failed_job_can_be_tried_again(queue: Queue) -> None:
    job = started(queue, queue.submit(spec())[0])
    Leases(queue).fail(job, {"code": "VRAM_OOM", "message": "too large"})
    assert queue.get(job.id).failure == {"code": "VRAM_OOM", "message": "too large"}
    again = queue.retry(job.id)
    assert (again.state, again.failure, again.attempt) == (State.QUEUED, None, 1)


def test_settings_can_be_changed_before_and_reused_after(queue: Queue) -> None:
    job = queue.submit(spec())[0]
    edited = queue.edit(job.id, {"tier": "fast", "request": {"steps": 5}})
    assert edited.spec.request.steps == 5
    assert edited.spec.request.prompt == "a heron"
    other = queue.rerun(job.id, {"request": {"seed": 9, "steps": None}})
    assert (other.origin, other.spec.request.seed, other.spec.request.steps) == (job.id, 9, None)
    with pytest.raises(InvalidRequest, match="a request has no 'speed'"):
        queue.edit(job.id, {"request": {"speed": 1}})
    started(queue, job)
    with pytest.raises(JobConflict):
        queue.edit(job.id, {"tier": "exact"})


def test_a_held_job_waits_until_it_is_released(queue: Queue) -> None:
    job = queue.submit(spec(), held=True)[0]
    assert Leases(queue).next() is None
    queue.release(job.id)
    assert Leases(queue).next() is not None
    queue.hold(job.id)
    assert Leases(queue).next() is None


def test_a_paused_queue_starts_nothing(queue: Queue) -> None:
    queue.submit(spec())
    queue.pause()
    assert Leases(queue).next() is None
    queue.pause(False)
    assert Leases(queue).next() is not None


def test_a_full_queue_refuses(queue: Queue) -> None:
    queue.submit(spec(), count=50)
    with pytest.raises(QueueFull, match="50 jobs wait, and 50 may"):
        queue.submit(spec())


def test_pages_hold_every_job_once(queue: Queue) -> None:
    made = [queue.submit(spec(str(n)))[0].id for n in range(10)]
    seen: list[str] = []
    cursor = None
    while True:
        page = queue.page(limit=3, cursor=cursor)
        seen += [job.id for job in page.jobs]
        if (cursor := page.next) is None:
            break
    assert sorted(seen) == sorted(made)
    with pytest.raises(InvalidRequest, match="cursor is 'x'"):
        queue.page(cursor="x")


def test_jobs_are_found_by_what_they_are(queue: Queue) -> None:
    heron, fox = queue.submit(spec("A Heron 100%"))[0], queue.submit(spec("a fox", model="ti2v-5B-demo"))[0]
    assert [job.id for job in queue.page(Filter(text="heron 100%")).jobs] == [heron.id]
    assert not queue.page(Filter(text="_")).jobs
    assert [job.id for job in queue.page(Filter(model="ti2v-5B-demo")).jobs] == [fox.id]
    queue.favour(fox.id)
    assert [job.id for job in queue.page(Filter(favourite=True)).jobs] == [fox.id]


def test_deleting_removes_files_and_leaves_what_was_measured(queue: Queue, folder: DataFolder) -> None:
    job = started(queue, queue.submit(spec())[0])
    with pytest.raises(JobConflict, match="is running and cannot be deleted"):
        queue.delete(job.id)
    video, thumbnail = folder.outputs / "v.mp4", folder.thumbnail(job.id)
    video.touch()
    thumbnail.touch()
    Leases(queue).succeed(job, {"file": "v.mp4", "phases": {"denoise": 3.0}})
    queue.delete(job.id)
    assert not video.exists()
    assert not thumbnail.exists()
    assert [event.kind for event in queue.events(job.id)] == ["deleted"]
    assert queue.runs()[0].numbers == {"phases": {"denoise": 3.0}}
    with pytest.raises(JobNotFound):
        queue.get(job.id)


def test_a_job_that_is_to_be_cancelled_does_not_wait_again(queue: Queue) -> None:
    job = started(queue, queue.submit(spec())[0])
    queue.cancel(job.id)
    assert Leases(queue).requeue(job, "its files are here")
    found = queue.get(job.id)
    assert (found.state, found.cancelling, found.worker) == (State.CANCELLED, False, None)


def test_a_discarded_job_is_gone_in_any_state_and_its_attempt_ends_without_a_trace(queue: Queue) -> None:
    for job in (queue.submit(spec())[0], started(queue, queue.submit(spec())[0])):
        assert queue.discard(job.id).state is job.state
        assert queue.find(job.id) is None
    assert not Leases(queue).succeed(job, {"file": "x.mp4"})
    assert not Leases(queue).requeue(job, "it goes on")
    assert not queue.update_live(job.id, Progress())
    assert sum(queue.counts().values()) == 0


def test_clearing_leaves_what_is_not_done_and_favourites(queue: Queue) -> None:
    done, waiting, favourite = queue.submit(spec(), count=3)
    for job in (done, favourite):
        queue.cancel(job.id)
    queue.favour(favourite.id)
    assert [job.id for job in queue.clear()] == [done.id]
    assert {job.id for job in queue.page().jobs} == {waiting.id, favourite.id}


def test_events_are_numbered_and_can_be_had_again(queue: Queue) -> None:
    job = started(queue, queue.submit(spec())[0])
    Leases(queue).record(job, "phase", {"phase": "denoise"})
    Leases(queue).succeed(job, {"file": "v.mp4"})
    kinds = [event.kind for event in queue.events(job.id)]
    assert kinds == ["submitted", "started", "phase", "succeeded"]
    assert [event.number for event in queue.events(job.id)] == [1, 2, 3, 4]
    second = queue.events(job.id)[1]
    assert [event.kind for event in queue.events(since=second.seq)] == ["phase", "succeeded"]


def test_subscribers_are_told_after_it_is_kept(queue: Queue) -> None:
    told: list[Change] = []
    end = queue.subscribe(told.append)
    job = started(queue, queue.submit(spec())[0])
    Leases(queue).report(job, Progress(phase="denoise", step=2, steps=4))
    assert queue.get(job.id).progress.step == 2
    Leases(queue).succeed(job, {"file": "v.mp4"})
    end()
    queue.delete(job.id)
    assert [change.kind for change in told] == ["submitted", "started", "progress", "succeeded"]
    assert [change.event is None for change in told] == [False, False, True, False]


def test_a_subscriber_that_fails_does_not_stop_the_others(queue: Queue, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Change) -> None:
        raise RuntimeError("no")

    told: list[Change] = []
    queue.subscribe(fail)
    queue.subscribe(told.append)
    queue.submit(spec())
    assert len(told) == 1
    assert "a subscriber of the queue failed" in caplog.text


def test_what_ran_when_a_server_was_killed_waits_again(queue: Queue) -> None:
    lost, cancelled = (started(queue, job) for job in queue.submit(spec(), count=2))
    queue.cancel(cancelled.id)
    Leases(queue).recover()
    assert queue.get(lost.id).state is State.QUEUED
    assert queue.get(lost.id).deaths == 0
    assert queue.get(cancelled.id).state is State.CANCELLED


def test_waiting_ends_when_something_changes(queue: Queue) -> None:
    timer = threading.Timer(0.1, lambda: queue.submit(spec()))
    timer.start()
    queue.wait(20)
    timer.join()
    assert Leases(queue).next() is not None


def test_what_is_to_be_done_is_counted_by_model(queue: Queue) -> None:
    assert queue.ahead() == {}
    leases = Leases(queue)
    queue.submit(spec(model="a"), count=3)
    queue.submit(spec(model="b"), held=True)
    job = leases.claim("gpu")
    assert job is not None
    assert queue.ahead() == {
        "a": {State.QUEUED: 2, State.HELD: 0, State.RUNNING: 1},
        "b": {State.QUEUED: 0, State.HELD: 1, State.RUNNING: 0},
    }
    leases.succeed(job, {"file": "a.mp4"})
    assert queue.ahead()["a"][State.RUNNING] == 0


def test_jobs_are_counted_as_they_change(queue: Queue, database: Database) -> None:
    def counted() -> tuple[dict[State, int], int]:
        """By looking at every row."""
        with database.read() as connection:
            rows = connection.execute(select(JOBS.c.state, JOBS.c.bytes)).all()
        return {state: [row.state for row in rows].count(state) for state in State}, sum(row.bytes or 0 for row in rows)

    first, second, third, _ = queue.submit(spec(), count=4)
    queue.hold(third.id)
    with ThreadPoolExecutor(4) as pool:  # each with a connection of its own, where the store has several
        list(pool.map(lambda job: started(queue, job), (first, second)))
    Leases(queue).succeed(queue.get(first.id), {"file": "v.mp4", "bytes": 100})
    Leases(queue).fail(queue.get(second.id), {"code": "X"})
    assert (queue.counts(), queue.stored_bytes()) == counted()
    assert queue.counts()[State.SUCCEEDED] == 1
    queue.gather_totals()
    queue.delete(first.id)
    queue.retry(second.id)
    assert (queue.counts(), queue.stored_bytes()) == counted()
    queue.clear()
    assert (queue.counts(), queue.stored_bytes()) == counted()
    assert queue.counts(Filter(model="t2v-A14B-demo")) == queue.counts()


def test_a_search_of_prompts_can_use_their_trigrams(queue: Queue) -> None:
    if queue.database.is_sqlite:
        pytest.skip("it has an index of its own")
    queue.submit(spec("A heron lands"))
    with queue.database.write() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        connection.execute(text("SET LOCAL enable_indexscan = off"))
        found = newest(Filter(text="50% hEr"), 10, None).compile(connection)
        plan = connection.exec_driver_sql(f"EXPLAIN {found}", found.params).scalars()
        assert any("jobs_of_prompt" in line for line in plan)
    assert len(queue.page(Filter(text="hERon")).jobs) == 1
    assert queue.page(Filter(text="h%n")).jobs == ()


def test_what_is_filtered_is_counted_up_to_a_limit(database: Database, folder: DataFolder) -> None:
    queue = Queue(database, folder)
    queue.submit(spec("a heron"), count=MOST_COUNTED + 1)
    queue.submit(spec("a fox"), count=3)
    assert queue.counts()[State.QUEUED] == MOST_COUNTED + 4
    assert queue.counts(Filter(text="fox"))[State.QUEUED] == 3
    assert queue.counts(Filter(text="heron"))[State.QUEUED] == MOST_COUNTED
