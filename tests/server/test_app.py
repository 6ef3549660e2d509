"""The application as a whole: every error in one form, every address described."""

import re
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.server.serving import Serving, no_workers, serving


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nope", 404, "NOT_FOUND"),
        ("GET", "/api/v1/nope", 404, "NOT_FOUND"),
        ("PUT", "/api/v1/queue", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/api/v1/queue?limit=x", 422, "INVALID_REQUEST"),
        ("GET", "/api/v1/queue?cursor=x", 422, "INPUT_RANGE"),
        ("GET", "/api/v1/outputs/00000000/download", 404, "JOB_NOT_FOUND"),
        ("GET", "/thumbnails/00000000_thumb.jpg", 404, "NOT_FOUND"),
        ("GET", "/thumbnails/..%2f..%2fwanvideo.db", 404, "NOT_FOUND"),
    ],
)
def test_every_error_has_one_form(idle: Serving, method: str, path: str, status: int, code: str) -> None:
    answer = idle.client.request(method, path)
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert (body["code"], body["error"]) == (code, code)
    assert body["detail"] == body["message"] != ""
    assert body["suggestions"] == []


@pytest.mark.parametrize(
    "page", [{}, {"origin": "http://evil.example"}, {"origin": ""}], ids=["none", "other", "empty"]
)
def test_every_address_says_what_it_takes(idle: Serving, page: dict[str, str]) -> None:
    paths = idle.get("/openapi.json")["paths"]
    for path, methods in paths.items():
        answer = idle.client.request("QUERY", re.sub("{.*?}", "0" * 26, path), headers=page)
        assert (answer.status_code, answer.headers["allow"]) == (405, ", ".join(sorted(map(str.upper, methods)))), path


def test_a_bug_shows_its_number_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("/home/me/secret")

    with serving(tmp_path, workers=no_workers) as server:
        monkeypatch.setattr(server.parts.queue, "page", broken)
        answer = server.client.get("/api/v1/queue")
    assert (answer.status_code, answer.json()["code"]) == (500, "INTERNAL")
    assert answer.json()["error_id"] in answer.json()["message"]
    assert "secret" not in answer.text
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_address_is_described(idle: Serving) -> None:
    found = operations(idle.get("/openapi.json"))
    assert len(found) > 90
    names = [operation["operationId"] for _, operation in found]
    assert len(set(names)) == len(names)
    for name, operation in found:
        assert operation["tags"], name
        content = operation["responses"]["200"].get("content", {})
        kinds = set(content) - {"application/json"}
        schema = content.get("application/json", {}).get("schema")
        assert kinds or schema, name
        problem = operation["responses"]["422"]["content"]["application/json"]["schema"]
        form = "ErrorEnvelope" if " /v1/" in name else "Problem"
        assert problem == {"$ref": f"#/components/schemas/{form}"}, name


def test_aliases_at_the_root_are_there_only_if_asked_for(idle: Serving, tmp_path: Path) -> None:
    paths = ("/queue", "/outputs", "/system/stats", "/system/health", "/prompt/styles")
    assert all(idle.client.get(path).status_code == 404 for path in paths)
    with serving(tmp_path, workers=no_workers, root_aliases=True) as server:
        assert all(server.client.get(path).status_code == 200 for path in paths)
        assert "/queue" not in server.get("/openapi.json")["paths"]


def test_a_known_client_gets_cors_without_credentials(tmp_path: Path) -> None:
    origin = "http://localhost:3000"
    with serving(tmp_path, workers=no_workers, compat_origin=(origin,)) as server:
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        preflight = server.client.options("/api/v1/queue/clear", headers=asked)
        assert preflight.headers["access-control-allow-origin"] == origin
        assert "access-control-allow-credentials" not in preflight.headers
        answer = server.client.get("/api/v1/queue", headers={"Origin": origin})
        assert answer.headers["access-control-allow-origin"] == origin
        foreign = server.client.get("/api/v1/queue", headers={"Origin": "http://evil.example"})
        assert "access-control-allow-origin" not in foreign.headers


def test_a_form_of_another_page_changes_nothing(idle: Serving) -> None:
    before = idle.get("/api/v1/queue")["total_tasks"]
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        answer = idle.client.post("/api/v1/generation/submit", json={"prompt": "x"}, headers=headers)
        assert answer.status_code == 403
    assert idle.get("/api/v1/queue")["total_tasks"] == before


def test_a_second_server_on_the_same_folder_is_refused_with_the_reason(tmp_path: Path) -> None:
    from wanvideo.errors import DataFolderInUse
    from wanvideo.server.build import build

    with serving(tmp_path, workers=no_workers) as server, pytest.raises(DataFolderInUse, match="in use"):
        build(server.parts.settings, server.parts.sources, workers=no_workers)


def test_jobs_and_limits_outlive_the_server(tmp_path: Path) -> None:
    with serving(tmp_path, workers=no_workers) as server:
        task = server.submit()["task_id"]
        server.post("/api/v1/queue/pause")
    with serving(tmp_path, workers=no_workers) as server:
        assert server.get(f"/api/v1/queue/{task}")["status"] == "pending"
        assert server.get("/api/v1/queue")["paused"] is True


def test_too_large_a_body_is_not_read(idle: Serving) -> None:
    answer = idle.client.post("/api/v1/generation/submit/", json={"prompt": "x" * 400_000})
    assert (answer.status_code, answer.json()["code"]) == (413, "TOO_LARGE")
    host, port = "127.0.0.1", idle.parts.port
    with socket.create_connection((host, port)) as raw:
        raw.sendall(f"POST /api/v1/generation/plan HTTP/1.1\r\nHost: {host}:{port}\r\n".encode())
        raw.sendall(b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        for _ in range(8):
            raw.sendall(chunk)
        assert b" 413 " in raw.recv(1000).splitlines()[0]


def test_a_server_reviews_what_it_has_stored_and_ends_that_with_itself(tmp_path: Path) -> None:
    def reviews() -> int:
        return sum(thread.name == "review" for thread in threading.enumerate())

    before = reviews()
    with serving(tmp_path, workers=no_workers):
        assert reviews() == before + 1
    assert reviews() == before
