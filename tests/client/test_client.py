"""The client against a live server."""

import dataclasses
import inspect
from collections.abc import Callable

import pytest

from tests.client.breaking import Breaking
from tests.client.conftest import QUICK
from tests.server.serving import Serving
from wanvideo import GenerationRequest
from wanvideo.client import (
    AsyncClient,
    Client,
    Conflict,
    JobCancelled,
    JobFailed,
    NotFound,
    Options,
    Refused,
    State,
    Unauthorized,
    Unreachable,
    values,
)
from wanvideo.client.watching import with_video
from wanvideo.errors import InvalidRequest
from wanvideo.failure import failure_of
from wanvideo.families.registry import installed_families
from wanvideo.jobs.leases import Leases
from wanvideo.request import LoraUse

CIRCLE = GenerationRequest(prompt="a small red circle moves left", steps=2, frames=5)
DEMO = Options(model="T2V-A14B")

# What the values are called in the OpenAPI document, where not the same with View behind it.
SCHEMAS = {
    "Action": "Action",
    "Batch": "BatchSubmitted",
    "Frame": None,  # of the socket
    "Job": "TaskView",
    "JobLora": "LoraUseView",
    "MachineWorker": "NodeWorkerView",
    "PlanAlternative": "PlanAlternative",
    "PlannedPhase": "PlannedPhase",
    "Submission": "Submitted",
    "Worker": "WorkerInfo",
}


def test_both_clients_have_the_same_methods() -> None:
    def methods(kind: type) -> dict[str, object]:
        found = inspect.getmembers(kind, inspect.isfunction)
        public = {name: value for name, value in found if name[0] != "_" or name == "__init__"}
        return {name: list(inspect.signature(value).parameters.values()) for name, value in public.items()}

    assert methods(Client) == methods(AsyncClient)


def test_values_are_what_the_server_describes(fresh: Serving) -> None:
    schemas = fresh.get("/openapi.json")["components"]["schemas"]
    found = inspect.getmembers(values, inspect.isclass)
    kinds = [kind for _, kind in found if dataclasses.is_dataclass(kind) and kind.__module__ == values.__name__]
    assert len(kinds) > 10
    for kind in kinds:
        name = SCHEMAS.get(kind.__name__, f"{kind.__name__}View")
        if name is None:
            continue
        described = schemas[name]
        for field in dataclasses.fields(kind):
            assert field.name in described["properties"], f"{name}.{field.name}"
            always = (
                field.name in described["required"] or described["properties"][field.name].get("default") is not None
            )
            assert (field.default is dataclasses.MISSING) == always, f"{name}.{field.name}"


def test_a_request_becomes_jobs_that_are_found_again(client: Client) -> None:
    made = client.submit(CIRCLE, dataclasses.replace(DEMO, count=3, priority=2))
    assert (len(made.tasks), made.demo, made.model) == (3, True, "t2v-A14B-demo")
    assert {job.id for job in client.jobs()} == {job.id for job in made.tasks}
    first = client.get(made.job.id)
    assert (first.state, first.prompt, first.priority) == (State.QUEUED, CIRCLE.prompt, 2)
    assert client.queue().pending_tasks == 3


def test_several_requests_are_taken_together_or_not_at_all(client: Client) -> None:
    from PIL import Image

    pictures = [Image.new("RGB", (128, 128), colour) for colour in ("navy", "olive")]
    requests = [dataclasses.replace(CIRCLE, image=picture, seed=number) for number, picture in enumerate(pictures)]
    options = Options(model="I2V-A14B", count=2)
    made = client.submit_all(requests, options, key="mine")
    assert [job.seed for job in made.tasks] == [0, 1, 1, 2]
    assert len({job.image_path for job in made.tasks}) == 2
    assert made.tasks[0].image_path == made.tasks[1].image_path
    again = client.submit_all(requests, options, key="mine")
    assert (again.replayed, again.task_ids) == (True, made.task_ids)
    with pytest.raises(Refused, match="request 2: ") as error:
        client.submit_all([CIRCLE, dataclasses.replace(CIRCLE, width=1, height=1)], DEMO)
    assert (error.value.code, error.value.facts["request"]) == ("INPUT_SIZE", 2)
    with pytest.raises(Refused, match="at most 64"):
        client.submit_all([CIRCLE] * 33, dataclasses.replace(DEMO, count=2))
    assert client.queue().total_tasks == 4


def test_all_pages_are_walked(client: Client) -> None:
    for start in range(0, 210, 60):
        client.submit(CIRCLE, dataclasses.replace(DEMO, count=min(60, 210 - start)))
    assert len({job.id for job in client.jobs(status="pending")}) == 210


def test_everything_that_was_asked_for_arrives(client: Client) -> None:
    request = dataclasses.replace(
        CIRCLE, negative_prompt="", width=160, height=96, guidance=2.5, shift=3.0, seed=11,
        loras=(LoraUse(source="no-such-lora", strength=0.5),),
    )  # fmt: skip
    made = client.submit(request, dataclasses.replace(DEMO, tier="exact", fallback="off", held=True))
    job = made.job
    assert (job.state, job.resolution, job.guidance, job.shift, job.seed) == (State.HELD, "160x96", 2.5, 3.0, 11)
    assert (job.negative_prompt, job.fallback) == ("", "off")
    assert [change.field for change in made.adjustments] == ["loras"]


def test_one_side_and_a_picture_give_the_size(client: Client) -> None:
    from PIL import Image

    request = dataclasses.replace(CIRCLE, image=Image.new("RGB", (320, 160)), height=96)
    made = client.submit(request, Options(model="I2V-A14B"))
    families = installed_families()
    expected = families.adapt(families.resolve("i2v-A14B-demo"), request)
    assert made.plan is not None
    assert (made.plan.width, made.plan.height) == (expected.width, expected.height)
    assert expected.width / expected.height == pytest.approx(2, rel=0.2)
    assert made.job.image_path is not None


def test_an_answer_that_was_lost_does_not_make_a_second_job(fresh: Serving, breaking: Callable[..., Breaking]) -> None:
    way = breaking(fresh.url, 0, 10, 100)
    with Client(way.url, patience=QUICK) as client:
        made = client.submit(CIRCLE, DEMO)
        assert made.replayed
        assert [job.id for job in client.jobs()] == [made.job.id]
    assert way.connections >= 4


def test_what_is_not_safe_is_not_asked_twice(fresh: Serving, breaking: Callable[..., Breaking]) -> None:
    job = fresh.submit()["task_id"]
    way = breaking(fresh.url, 0)
    with Client(way.url, patience=QUICK) as client:
        with pytest.raises(Unreachable):
            client.hold(job)
        assert way.connections == 1
        assert client.get(job).state is State.HELD


def test_a_server_that_is_not_there_is_named() -> None:
    with Client("http://127.0.0.1:9", patience=QUICK) as client, pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
        client.queue()


def test_errors_keep_their_code_and_say_what_helps(client: Client) -> None:
    with pytest.raises(Refused) as refused:
        client.submit(dataclasses.replace(CIRCLE, width=1, height=1), DEMO)
    assert isinstance(refused.value, InvalidRequest)
    assert (refused.value.status, refused.value.code) == (422, "INPUT_SIZE")
    with pytest.raises(NotFound) as missing:
        client.get("0" * 32)
    assert missing.value.code == "JOB_NOT_FOUND"
    job = client.submit(CIRCLE, DEMO).job.id
    with pytest.raises(Conflict):
        client.retry(job)
    with pytest.raises(InvalidRequest, match="no id"):
        client.get("../models")


def test_a_key_that_belongs_to_another_request_is_refused(client: Client) -> None:
    client.submit(CIRCLE, DEMO, key="mine")
    assert client.submit(CIRCLE, DEMO, key="mine").replayed
    with pytest.raises(Refused) as error:
        client.submit(dataclasses.replace(CIRCLE, steps=3), DEMO, key="mine")
    assert error.value.code == "IDEMPOTENCY_CONFLICT"


def test_jobs_that_wait_are_changed_and_moved(client: Client) -> None:
    first, second, third = client.submit(CIRCLE, dataclasses.replace(DEMO, count=3)).tasks
    assert client.hold(second.id).state is State.HELD
    assert client.release(second.id).state is State.QUEUED
    assert client.move(third.id, "first").position == 1
    assert client.move(third.id, "after", first.id).position == 2
    assert client.prioritise(second.id, 9).position == 1
    assert client.edit(first.id, {"prompt": "a blue square", "seed": None}).prompt == "a blue square"
    assert client.favour(first.id).id == first.id
    assert client.cancel(first.id).state is State.CANCELLED
    assert client.retry(first.id).state is State.QUEUED
    (again,) = client.rerun(first.id, {"steps": 4}, keep_seed=True)
    assert (again.steps, again.prompt) == (4, "a blue square")
    assert [event.type for event in client.events(first.id)][:2] == ["submitted", "moved"]


def test_the_queue_is_paused_and_cleared(client: Client) -> None:
    client.pause()
    assert client.queue().paused
    client.resume()
    job = client.submit(CIRCLE, DEMO).job
    client.cancel(job.id)
    assert (client.queue().paused, client.clear(), client.clear()) == (False, 1, 0)
    other = client.cancel(client.submit(CIRCLE, DEMO).job.id)
    client.delete(other.id)
    assert not client.queue().tasks


def test_models_and_plans_are_told(client: Client) -> None:
    assert {model.id for model in client.models()} >= {"t2v-A14B", "t2v-A14B-demo"}
    plan = client.plan(dataclasses.replace(CIRCLE, width=160, height=96), DEMO)
    assert (plan.width, plan.height, plan.steps, plan.fits) == (160, 96, 2, True)


def test_a_failed_job_says_why(fresh: Serving, client: Client) -> None:
    job, other = client.submit(CIRCLE, dataclasses.replace(DEMO, count=2)).tasks
    leases = Leases(fresh.parts.queue)
    running = leases.start(job.id, "worker")
    assert running is not None
    failure = failure_of(InvalidRequest("no such thing: take another"), phase="load", model=job.model)
    leases.fail(running, failure.to_json())
    with pytest.raises(JobFailed, match="take another") as error:
        client.wait(job.id)
    assert error.value.failure.phase == "load"
    with pytest.raises(JobCancelled):
        with_video(client.cancel(other.id))


def test_the_token_opens_a_server(tmp_path_factory: pytest.TempPathFactory) -> None:
    from tests.server.serving import no_workers, serving

    token = "t" * 30
    with serving(tmp_path_factory.mktemp("token"), workers=no_workers, token=token) as server:
        with Client(server.url) as stranger, pytest.raises(Unauthorized, match=r"needs its token.*WANVIDEO_TOKEN"):
            stranger.queue()
        with Client(server.url, "wrong" * 6) as stranger, pytest.raises(Unauthorized, match="not the token"):
            stranger.queue()
        with Client(server.url, token) as client:
            assert client.queue().total_tasks == 0
            assert token not in repr(client.server)
            assert next(client.frames()).type == "connection_established"
