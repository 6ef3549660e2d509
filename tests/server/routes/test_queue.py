"""Jobs that wait, and what may be done with them."""

from pathlib import Path
from typing import Any

import pytest

from tests.server.serving import Serving, no_workers, serving
from wanvideo import failure as failures
from wanvideo.jobs.leases import Leases
from wanvideo.server.schemas.queue import Changes

QUEUE = "/api/v1/queue"
UNKNOWN = "0" * 32


def order(server: Serving) -> list[str]:
    tasks = [task for task in server.get(QUEUE)["tasks"] if task.get("position")]
    return [task["id"] for task in sorted(tasks, key=lambda task: task["position"])]


def code(server: Serving, method: str, path: str, status: int, body: Any = None) -> Any:
    answer = server.client.request(method, QUEUE + path, json=body if body is not None else {})
    assert answer.status_code == status, answer.text
    return answer.json()["code"]


def test_an_empty_queue_has_every_count(fresh: Serving) -> None:
    found = fresh.get(QUEUE)
    assert found["tasks"] == []
    names = ("total", "pending", "processing", "completed", "failed", "cancelled")
    assert [found[f"{name}_tasks"] for name in names] == [0] * 6


def test_the_newest_is_first_and_null_is_left_out(fresh: Serving) -> None:
    ids = [fresh.submit()["task_id"] for _ in range(3)]
    found = fresh.get(QUEUE)
    assert [task["id"] for task in found["tasks"]] == ids[::-1]
    assert found["pending_tasks"] == 3
    assert all(value is not None for task in found["tasks"] for value in task.values())
    page = fresh.get(QUEUE, limit=2)
    rest = fresh.get(QUEUE, limit=2, cursor=page["next_cursor"])
    assert [task["id"] for task in (*page["tasks"], *rest["tasks"])] == ids[::-1]
    assert "next_cursor" not in rest


def test_what_is_to_be_done_is_said_by_model(fresh: Serving) -> None:
    fresh.submit(count=2)
    fresh.submit(model_type="TI2V-5B", held=True)
    assert fresh.get(f"{QUEUE}/models")["models"] == [
        {"model": "t2v-A14B-demo", "pending": 2, "held": 0, "processing": 0},
        {"model": "ti2v-5B-demo", "pending": 0, "held": 1, "processing": 0},
    ]
    assert 'wanvideo_jobs_waiting{model="t2v-A14B-demo"} 2.0' in fresh.client.get("/metrics").text


def test_a_job_is_cancelled_and_deleted_as_the_old_client_does(fresh: Serving) -> None:
    task = fresh.submit()["task_id"]
    assert code(fresh, "DELETE", f"/{task}", 400) == "JOB_STATE"
    assert fresh.post(f"{QUEUE}/{task}/cancel")["status"] == "cancelled"
    assert fresh.post(f"{QUEUE}/{task}/cancel")["status"] == "cancelled"  # again changes nothing
    assert fresh.get(QUEUE, status_filter="cancelled")["tasks"][0]["id"] == task
    assert fresh.client.request("DELETE", f"{QUEUE}/{task}").json()["message"]
    assert code(fresh, "GET", f"/{task}", 404) == "JOB_NOT_FOUND"


def test_all_that_has_ended_is_cleared(fresh: Serving) -> None:
    kept, gone = fresh.submit()["task_id"], fresh.submit()["task_id"]
    fresh.post(f"{QUEUE}/{gone}/cancel")
    assert fresh.post(f"{QUEUE}/clear")["removed"] == 1
    assert [task["id"] for task in fresh.get(QUEUE)["tasks"]] == [kept]


@pytest.mark.parametrize("action", ["cancel", "retry", "hold", "release"])
def test_what_is_not_there_is_not_found(idle: Serving, action: str) -> None:
    assert code(idle, "POST", f"/{UNKNOWN}/{action}", 404) == "JOB_NOT_FOUND"
    assert code(idle, "POST", f"/..%2f..%2fetc/{action}", 404) == "NOT_FOUND"
    assert code(idle, "POST", f"/UP!/{action}", 404) == "NOT_FOUND"


def test_jobs_are_moved_by_hand_and_by_priority(fresh: Serving) -> None:
    a, b, c = (fresh.submit()["task_id"] for _ in range(3))
    assert order(fresh) == [a, b, c]
    fresh.post(f"{QUEUE}/{c}/move", {"to": "first"})
    assert order(fresh) == [c, a, b]
    fresh.post(f"{QUEUE}/{c}/move", {"to": "after", "other": a})
    assert order(fresh) == [a, c, b]
    fresh.post(f"{QUEUE}/reorder", {"task_ids": [b, a]})
    assert order(fresh) == [b, c, a]
    fresh.post(f"{QUEUE}/{a}/priority", {"priority": 5})
    assert order(fresh) == [a, b, c]


def test_a_held_job_has_no_place_until_it_is_released(fresh: Serving) -> None:
    a, b = fresh.submit()["task_id"], fresh.submit(held=True)["task_id"]
    assert order(fresh) == [a]
    assert fresh.get(f"{QUEUE}/{b}")["state"] == "held"
    fresh.post(f"{QUEUE}/{b}/release")
    fresh.post(f"{QUEUE}/{a}/hold")
    assert order(fresh) == [b]


def test_a_waiting_job_is_edited_and_checked_again(fresh: Serving) -> None:
    task = fresh.submit()["task_id"]
    changes = {
        "prompt": "a square",
        "steps": 7,
        "resolution": "128x128",
        "loras": [{"name": "slanted", "strength": 0.5}],
    }
    edited = fresh.client.patch(f"{QUEUE}/{task}", json=changes).json()
    assert (edited["prompt"], edited["steps"], edited["resolution"]) == ("a square", 7, "128x128")
    assert edited["loras"] == [{"name": "slanted", "strength": 0.5}]
    assert code(fresh, "PATCH", f"/{task}", 422, {"resolution": "8x8"}) == "INPUT_SIZE"
    assert code(fresh, "PATCH", f"/{task}", 422, {"nonsense": 1}) == "INVALID_REQUEST"
    assert fresh.get(f"{QUEUE}/{task}")["prompt"] == "a square"
    fresh.post(f"{QUEUE}/{task}/cancel")
    assert code(fresh, "PATCH", f"/{task}", 409, {"steps": 3}) == "JOB_STATE"


def test_a_job_is_made_again_with_changes(fresh: Serving) -> None:
    task = fresh.submit(seed=7)["task_id"]
    same = fresh.post(f"{QUEUE}/{task}/rerun", {"keep_seed": True})
    assert [each["seed"] for each in same] == [7]
    other = fresh.post(f"{QUEUE}/{task}/rerun", {"changes": {"steps": 3}, "count": 2})
    assert [each["steps"] for each in other] == [3, 3]
    assert other[0]["seed"] != other[1]["seed"]


def test_the_queue_is_paused_and_says_so(fresh: Serving) -> None:
    fresh.post(f"{QUEUE}/pause")
    task = fresh.submit()["task_id"]
    assert fresh.get(QUEUE)["paused"] is True
    assert fresh.get(f"{QUEUE}/{task}")["message"] == "the queue is paused"
    fresh.post(f"{QUEUE}/resume")
    assert fresh.get(QUEUE)["paused"] is False


def test_a_full_queue_takes_no_more(tmp_path: Path) -> None:
    with serving(tmp_path, workers=no_workers, max_queued=2) as full:
        full.submit(count=2)
        answer = full.client.post("/api/v1/generation/submit", json={"prompt": "x"})
    assert (answer.status_code, answer.json()["code"]) == (429, "QUEUE_FULL")
    assert answer.headers["retry-after"]


def test_a_short_answer_for_those_who_ask_often(fresh: Serving) -> None:
    task = fresh.submit()["task_id"]
    found = fresh.get(f"{QUEUE}/poll", active_only="true")
    assert (found["pending_count"], found["has_active_tasks"]) == (1, True)
    assert found["active_tasks"][0]["id"] == task


def test_what_happened_to_a_job_is_kept(fresh: Serving) -> None:
    task = fresh.submit()["task_id"]
    fresh.post(f"{QUEUE}/{task}/hold")
    events = fresh.get(f"{QUEUE}/{task}/events")["events"]
    assert [event["type"] for event in events] == ["submitted", "held"]
    assert len(fresh.get(f"{QUEUE}/{task}/events", since=events[0]["seq"])["events"]) == 1


def test_a_failed_job_goes_on_with_what_its_failure_suggests(fresh: Serving) -> None:
    task = fresh.submit()["task_id"]
    leases = Leases(fresh.parts.queue)
    running = leases.start(task, "gpu")
    assert running is not None
    leases.fail(running, failures.failure("VRAM_OOM_VAE", "too large", kept="the denoised video").to_json())
    said = fresh.get(f"{QUEUE}/{task}")["failure"]
    tiles = next(each for each in said["actions"] if "tile" in each.get("change", {}))
    again = fresh.post(f"{QUEUE}/{task}/retry", {"changes": tiles["change"]})
    assert (again["id"], again["state"]) == (task, "queued")
    assert fresh.parts.job(task).spec.tile == tiles["change"]["tile"]


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("model", ["t2v-A14B", "ti2v-5B", "i2v-A14B-demo"])
def test_every_suggestion_is_a_change_that_can_be_asked_for(model: str, kept: bool) -> None:
    asked = failures.Asked(model=model, width=1280, height=720, frames=121, on_gpu=True, all_steps_kept=kept)
    found = [each for code in failures.CODES for each in failures.failure(code, "", asked=asked).suggestions]
    assert len({each.text for each in found}) > 20
    for each in found:
        Changes.model_validate(each.change or {})
