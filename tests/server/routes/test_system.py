"""The computer, over HTTP."""

import time
from pathlib import Path

from tests.server.serving import Serving, no_workers, serving
from wanvideo.jobs.spec import JobSpec
from wanvideo.request import GenerationRequest

SYSTEM = "/api/v1/system"


def test_health_is_read_by_every_kind_of_client(idle: Serving) -> None:
    found = idle.get(f"{SYSTEM}/health")
    assert found["status"] in ("healthy", "degraded", "unhealthy")
    assert (found["backend_online"], found["database_connected"]) == (True, True)
    assert isinstance(found["gpu_available"], bool)
    assert isinstance(found["uptime"], float)
    assert isinstance(found["system_info"]["issues"], list)
    assert found["endpoints"]["api_base"] == "/api/v1"
    assert idle.get("/health")["status"] == "healthy"
    assert idle.get("/api/health")["api_version"]
    assert idle.get("/healthz") == {"status": "ok"}


def test_without_a_worker_it_is_not_ready(idle: Serving) -> None:
    answer = idle.client.get("/readyz")
    assert answer.status_code == 503
    assert {check["name"]: check["ok"] for check in answer.json()["checks"]} == {
        "database": True, "worker": False, "engine": True, "disk": True,
    }  # fmt: skip


def test_where_the_disk_is_full_it_is_the_disk_that_is_blamed(tmp_path: Path) -> None:
    with serving(tmp_path, device="cuda:7", min_free_bytes=2**60) as server:  # a worker that does not start
        until = time.monotonic() + 60
        while True:
            checks = {check["name"]: check for check in server.client.get("/readyz").json()["checks"]}
            if "code" in checks["worker"]:
                break
            assert time.monotonic() < until
            time.sleep(0.1)
        task = server.parts.queue.submit(JobSpec(model="t2v-A14B-demo", request=GenerationRequest(prompt="a circle")))[
            0
        ]
        assert server.get(f"/api/v1/queue/{task.id}")["message"].startswith("waits for a worker: ")
    assert checks["worker"]["code"] == checks["disk"]["code"] == "DISK_FULL"
    assert "make room" in checks["disk"]["detail"]


def test_stats_and_their_history_have_one_form(idle: Serving) -> None:
    now = idle.get(f"{SYSTEM}/stats")
    assert 0 < now["ram_percent"] < 100
    assert 0 < now["disk_percent"] < 100
    assert now["disk_used_gb"] < now["disk_total_gb"]
    history = idle.get(f"{SYSTEM}/stats/history", hours="0.083")
    assert history["total_count"] == len(history["stats"]) > 0
    assert history["stats"][0].keys() == now.keys()


def test_limits_are_set_kept_and_obeyed(fresh: Serving) -> None:
    assert fresh.get(f"{SYSTEM}/optimization")["quantization"] == "bf16"
    said = {"quantization": "int8", "enable_offload": False, "vae_tile_size": 256, "max_vram_usage_gb": 8}
    changed = fresh.post(f"{SYSTEM}/optimization", said)
    assert (changed["vae_tile_size"], changed["max_vram_usage_gb"], changed["tile_is_set"]) == (256, 8, True)
    assert changed["recommendations"]
    task = fresh.submit()["tasks"][0]
    assert task["tier"] == "fast"
    job = fresh.parts.job(task["id"])
    assert (job.spec.tile, job.spec.memory_limit) == (256, 8 * 2**30)
    assert fresh.post(f"{SYSTEM}/optimization", {"vae_tile_size": None})["tile_is_set"] is False
    assert fresh.client.post(f"{SYSTEM}/optimization", json={"vae_tile_size": 7}).status_code == 422


def test_the_rest_of_the_computer(idle: Serving) -> None:
    assert idle.get(f"{SYSTEM}/hardware/profile")["cpu_cores"] >= 1
    assert idle.get(f"{SYSTEM}/ports")["backend_port"] == idle.parts.port
    assert isinstance(idle.get(f"{SYSTEM}/gpu")["gpus"], list)
    assert idle.get(f"{SYSTEM}/diagnostics")["versions"]["python"]
    assert idle.get(f"{SYSTEM}/cors/validate")["cors_enabled"] is False
    assert idle.post(f"{SYSTEM}/memory/release")["workers"] == 0


def test_recovery_says_what_happens_and_does_what_is_asked(fresh: Serving) -> None:
    actions = fresh.get("/api/v1/recovery/actions")["actions"]
    for action in actions:
        assert fresh.post("/api/v1/recovery/trigger", {"failure_type": action["failure_type"]})["success"] is True
    fresh.post("/api/v1/queue/pause")
    assert fresh.post("/api/v1/recovery/reset")["queue_paused"] is False
    assert fresh.get("/api/v1/recovery/health")["status"] == "degraded"


def test_metrics_count_what_happens(fresh: Serving) -> None:
    fresh.submit()
    text = fresh.client.get("/metrics").text
    assert 'wanvideo_jobs_in_state{state="queued"} 1.0' in text
    assert "wanvideo_http_request_duration_seconds_count" in text


def test_what_will_be_removed_is_announced_first(tmp_path: Path) -> None:
    with serving(tmp_path, quota_bytes=0) as server:
        task = server.submit()["task_id"]
        server.until(task, "completed")
        before = server.get(f"{SYSTEM}/storage")
        assert [each["id"] for each in before["expiring"]] == [task]
        assert before["stored_bytes"] == before["expiring_bytes"] > 0
        assert "expires_at" not in before["expiring"][0]
        server.parts.retention.sweep()
        assert server.get(f"{SYSTEM}/storage")["expiring"][0]["expires_at"]
        assert server.get(f"/api/v1/outputs/{task}")["expires_at"]
        assert any("will be removed" in each for each in server.get(f"{SYSTEM}/health")["system_info"]["warnings"])
        server.post(f"/api/v1/queue/{task}/favourite", {"favourite": True})
        assert server.get(f"{SYSTEM}/storage")["expiring"] == []


def test_a_browser_can_sign_out(tmp_path: Path) -> None:
    token = "a-token-that-is-long-enough"
    with serving(tmp_path, workers=no_workers, token=token) as server:
        assert server.client.get("/", params={"token": token}).status_code == 303
        assert server.get("/api/v1/system/health")["server_info"]["token_needed"] is True
        server.post("/api/v1/system/sign-out")
        assert server.client.get("/api/v1/system/health").status_code == 401
