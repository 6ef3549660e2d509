"""More than anybody needs: A14 to A17."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import quantiles
from typing import Any

import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.server.attacks.serving import Attacked, received
from tests.server.serving import no_workers, serving

SUBMIT = "/api/v1/generation/submit"


def post(server: Attacked, *lines: str, path: str = SUBMIT) -> bytes:
    head = (f"POST {path} HTTP/1.1", f"Host: localhost:{server.port}", "Content-Type: application/json", *lines)
    return "\r\n".join((*head, "", "")).encode()


@contextmanager
def opened(server: Attacked) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        yield connection


@contextmanager
def measured(server: Attacked) -> Iterator[list[float]]:
    """Seconds of status calls, one after the other, for as long as the block runs."""
    seconds: list[float] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            began = time.monotonic()
            assert server.client.get("/api/v1/queue").status_code == 200
            seconds.append(time.monotonic() - began)
            time.sleep(0.01)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield seconds
    finally:
        over.set()
        thread.join()


# --- A14: bodies -----------------------------------------------------------------------------------------------------


def test_a14_a_body_without_end_is_cut_off(server: Attacked) -> None:
    """After the answer: who sends too much should be able to read so."""
    before = psutil.Process(server.process.pid).memory_info().rss
    with opened(server) as connection:
        connection.sendall(post(server, "Transfer-Encoding: chunked", path="/api/v1/prompt/enhance"))
        began = time.monotonic()
        with suppress(ConnectionError):
            while time.monotonic() - began < 20:
                connection.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
        assert time.monotonic() - began < 20
    assert psutil.Process(server.process.pid).memory_info().rss - before < 64 * 2**20
    answer = server.client.post(
        "/api/v1/prompt/enhance", content=b" " * 2**23, headers={"content-type": "application/json"}
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "TOO_LARGE")


def test_a14_a_body_that_claims_too_much_is_not_read(server: Attacked) -> None:
    for claim in ("10000000000", "9" * 400, "262145"):
        request = post(server, f"Content-Length: {claim}")
        assert server.raw(request).split()[1] in (b"413", b"400")
    for claim in ("-1", "+5", "0x10", "1e3", "5, 6"):
        assert server.raw(post(server, f"Content-Length: {claim}")).split()[1] == b"400"
    smuggled = post(server, "Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n"
    assert server.raw(smuggled).split()[1] in (b"400", b"422")


@pytest.mark.parametrize(
    ("boundary", "part", "count"),
    [
        ("x", 'content-disposition: form-data; name="a"\r\n\r\n\r\n', 2000),
        ("x", 'content-disposition: form-data; name="f"; filename="f"\r\n\r\n\r\n', 20),
        ("x", f"content-disposition: form-data; name={'a' * 70_000}\r\n\r\n", 1),
        ("x", 'content-disposition: form-data; name="prompt"\r\n\r\n' + "a" * 70_000 + "\r\n", 1),
        ("x", "a: b\r\n" * 5000 + "\r\n\r\n", 1),
        ("x", "", 100_000),
        ("b" * 30_000, 'content-disposition: form-data; name="a"\r\n\r\n\r\n', 3),
    ],
    ids=["fields", "files", "name", "field", "headers", "boundaries", "boundary"],
)
def test_a14_a_form_of_too_many_or_too_large_parts_is_refused(
    server: Attacked, boundary: str, part: str, count: int
) -> None:
    body = f"--{boundary}\r\n{part}" * count + f"--{boundary}--\r\n"
    began = time.monotonic()
    kind = {"content-type": f"multipart/form-data; boundary={boundary}"}
    answer = server.client.post(SUBMIT, content=body.encode(), headers=kind)
    assert answer.status_code in (400, 413, 422), answer.text
    assert time.monotonic() - began < 5
    assert not list((server.home / "tmp").iterdir())


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"prompt":' * 20_000, '{"seed": ' + "9" * 50_000 + "}", '{"prompt": "a", "seconds": NaN}',
     '{"prompt": "a", "seconds": 1e999}', '{"prompt": "\\ud800"}', '{"prompt": "a\\u0000b"}', "\x00", "\ufeff{}",
     '{"prompt": "' + "a" * 17_000 + '"}', '{"prompt": "a", "loras": ' + json.dumps([{"name": "x"}] * 5000) + "}"],
)  # fmt: skip
def test_a14_json_that_is_too_much_is_an_answer(server: Attacked, text: str) -> None:
    answer = server.client.post(
        SUBMIT, content=text.encode("utf-8", "surrogatepass"), headers={"content-type": "application/json"}
    )
    assert answer.status_code in (400, 413, 422), answer.text
    assert len(answer.text) < 4000


def test_a14_slow_senders_hold_nobody_up(server: Attacked) -> None:
    """Fifty who never finish their heads, fifty who never finish their bodies."""
    with ExitStack() as open_now, measured(server) as seconds:
        heads = [open_now.enter_context(opened(server)) for _ in range(50)]
        bodies = [open_now.enter_context(opened(server)) for _ in range(50)]
        for connection in heads:
            connection.sendall(f"GET / HTTP/1.1\r\nHost: localhost:{server.port}\r\n".encode())
        for connection in bodies:
            connection.sendall(post(server, "Content-Length: 1000") + b'{"pro')
        began = time.monotonic()
        while time.monotonic() - began < 1.5:
            time.sleep(0.5)
            for connection in heads:
                connection.sendall(b"X: y\r\n")
        assert {received(connection).split(b" ")[1] for connection in bodies} == {b"408"}
        assert {received(connection) for connection in heads} == {b""}  # ended
        assert time.monotonic() - began < 15
    assert quantiles(seconds, n=20)[-1] < 1.0  # some milliseconds where nothing else runs


def test_a14_a_head_without_end_is_cut_off(server: Attacked) -> None:
    for flood in (b"X: " + b"a" * 100_000, b"X: y\r\n" * 20_000, b"\r\n" * 100_000):
        with opened(server) as connection, suppress(ConnectionError):
            connection.sendall(f"GET /nope HTTP/1.1\r\nHost: localhost:{server.port}\r\n".encode() + flood)
            answer = received(connection)
            assert answer == b"" or answer.split()[1] in (b"400", b"404", b"431")


# --- A15: ranges -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    ["bytes=" + ",".join("0-" for _ in range(2000)), "bytes=" + ",".join(f"{i}-{i}" for i in range(1500)), "bytes=9-1",
     "bytes=99999999999999999999-", "bytes=0-99999999999999999999", "bytes=-0", "bytes=-", "bytes=a-b", "lines=0-1",
     "bytes=0-0,-1", "bytes=" + "-" * 8000, "bytes=0x0-1", "bytes=\u0661-2".encode().decode("latin-1")],
)  # fmt: skip
def test_a15_one_range_of_bytes_and_no_more(server: Attacked, made: dict[str, Any], asked: str) -> None:
    child = psutil.Process(server.process.pid)
    began = sum(child.cpu_times()[:2])
    for path in (f"/api/v1/outputs/{made['id']}/download", f"/v1/videos/video_{made['id']}/content"):
        answer = server.client.get(path, headers={b"range": asked.encode("latin-1")})
        assert answer.status_code in (206, 416)
        assert answer.headers["content-type"] in ("video/mp4", "application/json")
    assert sum(child.cpu_times()[:2]) - began < 0.5


def test_a15_a_range_gives_its_bytes(server: Attacked, made: dict[str, Any]) -> None:
    path = f"/api/v1/outputs/{made['id']}/download"
    whole = server.client.get(path).content
    for asked, wanted in (("bytes=0-9", whole[:10]), ("bytes=-7", whole[-7:]), ("bytes=100-", whole[100:])):
        answer = server.client.get(path, headers={"range": asked})
        assert (answer.status_code, answer.content) == (206, wanted)


# --- A16: sockets ----------------------------------------------------------------------------------------------------


def address(server: Attacked) -> str:
    return f"{server.url.replace('http', 'ws')}/ws"


def code_after(socket: ClientConnection) -> int | None:
    """With which the server ended it."""
    with suppress(ConnectionClosed):
        while True:
            socket.recv(timeout=10)
    return socket.close_code


def test_a16_there_are_so_many_clients_and_no_more(server: Attacked) -> None:
    with ExitStack() as clients:
        for _ in range(50):
            clients.enter_context(connect(address(server)))
        with pytest.raises(InvalidStatus) as refused, connect(address(server)):
            pass
    assert refused.value.response.status_code == 403
    end = time.monotonic() + 10
    while server.client.get("/api/v1/ws/stats").json()["active_connections"]:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a16_a_client_that_says_nothing_is_kept(server: Attacked) -> None:
    """Longer than a connection gets that says nothing before it is one of a client."""
    with connect(address(server)) as client:
        time.sleep(3)
        client.send('{"type": "ping"}')
        kinds = [json.loads(client.recv(timeout=5))["type"] for _ in range(3)]
        assert "pong" in kinds


@pytest.mark.parametrize("flood", ["large", "fragments", "many", "binary", "deep", "strange"])
def test_a16_who_floods_a_socket_loses_it(server: Attacked, flood: str) -> None:
    before = psutil.Process(server.process.pid).memory_info().rss
    with connect(address(server), max_size=None) as client:
        with suppress(ConnectionClosed):
            match flood:
                case "large":
                    client.send("x" * (4 * 2**20))
                case "fragments":
                    client.send("x" * 1000 for _ in range(4000))
                case "many":
                    for _ in range(2000):
                        client.send('{"type": "ping"}')
                case "binary":
                    for _ in range(2000):
                        client.send(b"\xff" * 1000)
                case "deep":
                    for _ in range(200):
                        client.send("[" * 50_000)
                case "strange":
                    for _ in range(2000):
                        client.send('{"type": "subscribe", "data": {"topic": "nope"}}')
        assert code_after(client) in (1003, 1006, 1007, 1008, 1009, 1011)  # 1006: gone, while we were sending
    assert psutil.Process(server.process.pid).memory_info().rss - before < 64 * 2**20
    assert server.client.get("/healthz").status_code == 200


# --- A17: jobs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [{"count": 65}, {"count": 10**9}, {"steps": 10**6}, {"steps": 0}, {"frames": 10**6}, {"seconds": 1e9},
     {"resolution": "99999x99999x9"}, {"frames": 9999}, {"resolution": "0x0"}, {"resolution": "1x1"},
     {"guidance": 1e9}, {"shift": -1}, {"seed": 2**70}, {"seed": -1}, {"priority": 10**9},
     {"loras": [{"name": "x"}] * 17}, {"lora_strength": 1e30}, {"prompt": "a" * 16_385},
     {"prompt": "\U0001f3a5" * 5000}],
)  # fmt: skip
def test_a17_what_no_model_can_do_is_refused(server: Attacked, fields: dict[str, Any]) -> None:
    answer = server.submit(**fields)
    assert answer.status_code in (400, 413, 422), answer.text


def test_a17_what_is_too_large_becomes_what_the_model_can_do(server: Attacked) -> None:
    answer = server.submit(resolution="1920x1080").json()
    (change,) = [each for each in answer["adjustments"] if each["field"] == "size"]
    width, height = map(int, change["used"].split("x"))
    assert width * height <= 128 * 128  # a demo model
    server.client.delete(f"/api/v1/generation/{answer['task_id']}")


def test_a17_the_queue_has_an_end(tmp_path: Path) -> None:
    body = {"model_type": "T2V-A14B", "prompt": "a circle", "count": 3}
    with serving(tmp_path, workers=no_workers, max_queued=5) as server:
        assert server.client.post(SUBMIT, json=body).status_code == 200
        answer = server.client.post(SUBMIT, json=body)
        assert (answer.status_code, answer.json()["code"]) == (429, "QUEUE_FULL")
        assert int(answer.headers["retry-after"]) > 0
        assert server.get("/api/v1/queue")["total_tasks"] == 3


def test_a17_a_disk_that_is_nearly_full_takes_no_job(tmp_path: Path) -> None:
    with serving(tmp_path, workers=no_workers, min_free_bytes=2**62) as server:
        answer = server.client.post(SUBMIT, json={"model_type": "T2V-A14B", "prompt": "a circle"})
        assert (answer.status_code, answer.json()["code"]) == (507, "DISK_FULL")
