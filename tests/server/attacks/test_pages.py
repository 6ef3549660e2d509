"""What a web page in the user's browser can try: A1 to A5, A26."""

import itertools
import json

import httpx2
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.server.attacks.serving import FOREIGN, Attacked

NAMES = ("localhost:{port}", "LOCALHOST:{port}", "127.0.0.1:{port}", "[::1]:{port}")
STRANGERS = (
    "evil.example:{port}", "127.0.0.1.evil.example:{port}", "localhost.:{port}", "localhost.evil.example:{port}",
    "0.0.0.0:{port}", "2130706433:{port}", "127.1:{port}", "0x7f000001:{port}", "[::ffff:127.0.0.1]:{port}",
    "localhost:1", "localhost:0{port}x", "localhost", "", "localhost@evil:{port}", "evil@localhost:{port}",
    "localhost:{port}@evil", "localhost:{port}/api/health?", "localhost:{port}#", "localhost:{port}\tx",
    "localhost:{port}, evil", "[::1:{port}", "localhost:-{port}", "xn--lcalhost-6db:{port}",
)  # fmt: skip
UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"  # noqa: E501


def asked(server: Attacked, host: str, path: str, more: str = "") -> int:
    lines = f"GET {path} HTTP/1.1\r\n{host.format(port=server.port)}\r\n{more}\r\n"
    return server.status(lines.encode())


@pytest.mark.parametrize(("path", "more", "taken"), [("/api/v1/queue", "", 200), ("/ws", UPGRADE, 101)])
def test_a01_only_our_own_names_lead_here(server: Attacked, path: str, more: str, taken: int) -> None:
    for name in NAMES:
        assert asked(server, f"Host: {name}", path, more) == taken, name
    for name in STRANGERS:
        assert asked(server, f"Host: {name}", path, more) in (400, 403, 421), name
    assert asked(server, "X: y", path, more) in (400, 403)
    assert asked(server, "Host: localhost:{port}\r\nHost: localhost:{port}", path, more) in (400, 403)
    assert asked(server, "Host: localhost:{port}\r\nX-Forwarded-Host: evil.example", path, more) == taken


def test_a01_no_address_is_left_out(server: Attacked) -> None:
    for method, path in [*server.operations(), ("GET", "/"), ("GET", "/assets/x.js"), ("GET", "/openapi.json")]:
        answer = server.client.request(method, path, headers={"host": f"evil.example:{server.port}"})
        assert answer.status_code == 421, (method, path)


BODIES = {
    "application/x-www-form-urlencoded": b"prompt=a+circle",
    "text/plain": b'{"prompt": "a circle"}',
    "application/json": b'{"prompt": "a circle"}',
    "multipart/form-data; boundary=x": b'--x\r\ncontent-disposition: form-data; name="prompt"\r\n\r\na\r\n--x--\r\n',
    "": b"",
}


def test_a02_no_page_of_others_can_change_anything(server: Attacked) -> None:
    before = server.stored()
    writing = [each for each in server.operations() if each[0] != "GET"]
    assert len(writing) > 30
    sources = (
        {"origin": FOREIGN},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    )
    for (method, path), source, (kind, body) in itertools.product(writing, sources, BODIES.items()):
        headers = source | ({"content-type": kind} if kind else {})
        answer = server.client.request(method, path, headers=headers, content=body)
        assert answer.status_code == 403, (method, path, source, kind)
    assert server.stored() == before


def test_a02_forms_that_need_no_preflight_are_not_taken_from_anybody(server: Attacked) -> None:
    before = server.stored()
    for method, path in server.operations():
        for kind in ("application/x-www-form-urlencoded", "text/plain", "application/json-seq"):
            if method != "GET":
                answer = server.client.request(method, path, headers={"content-type": kind}, content=b"{}")
                assert answer.status_code == 415, (method, path, kind)
    assert server.stored() == before


def test_a02_reading_changes_nothing(server: Attacked) -> None:
    before = server.stored()
    for method, path in server.operations():
        if method == "GET" and not path.endswith("/stream"):
            assert server.client.get(path).status_code < 500, path
    assert server.stored() == before


def test_a02_other_methods_do_not_stand_in_for_those_that_are_guarded(server: Attacked) -> None:
    before = server.stored()
    override = {"x-http-method-override": "DELETE", "x-method-override": "DELETE"}
    server.client.get("/api/v1/queue", headers=override, params={"_method": "DELETE"})
    for method in ("TRACE", "CONNECT", "PROPFIND", "get", "POST "):
        request = f"{method} /api/v1/queue HTTP/1.1\r\nHost: localhost:{server.port}\r\n\r\n"
        assert server.status(request.encode()) in (400, 405), method
    assert server.stored() == before


def test_a03_nobody_is_told_that_they_may_read(server: Attacked) -> None:
    operations = [each for each in server.operations() if not each[1].endswith("/stream")]
    origins = (FOREIGN, "null", f"http://sub.localhost:{server.port}")
    for (method, path), origin in itertools.product(operations, origins):
        is_closed(server.client.options(path, headers={"origin": origin, "access-control-request-method": method}))
    for path, origin in zip(sorted({path for _, path in operations}), itertools.cycle(origins)):
        is_closed(server.client.get(path, headers={"origin": origin}))


def is_closed(answer: httpx2.Response) -> None:
    assert not {name for name in answer.headers if name.startswith("access-control")}, answer.request.url
    assert answer.headers["cross-origin-resource-policy"] == "same-origin", answer.request.url


@pytest.mark.parametrize("path", ["/ws", "/api/v1/ws"])
def test_a04_no_page_of_others_gets_a_socket(server: Attacked, path: str) -> None:
    address = f"{server.url.replace('http', 'ws')}{path}"
    for headers in ({"origin": FOREIGN}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        with pytest.raises(InvalidStatus) as refused, connect(address, additional_headers=headers):
            pass
        assert refused.value.response.status_code == 403
    with connect(f"{address}?clientId=somebody-else", additional_headers={"origin": server.url}) as socket:
        assert "somebody-else" not in str(json.loads(socket.recv(timeout=5)))


def test_a05_a_strange_target_does_not_lead_past_the_rules(server: Attacked) -> None:
    host = f"Host: localhost:{server.port}\r\n"
    for target in (
        f"http://evil.example:{server.port}/api/v1/queue",
        "//evil.example/api/v1/queue",
        "/api/v1/queue HTTP/1.1\r\nHost: evil.example\r\nX:",
        "/\\evil.example",
        "*",
        "/api/v1/queue\x00",
        "api/v1/queue",
        "/api/v1/queue#/healthz",
        "/healthz/../api/v1/queue",
        "/healthz;/api/v1/queue",
        "/healthz%2f..%2fapi/v1/queue",
    ):
        answer = server.raw(f"GET {target} HTTP/1.1\r\n{host}\r\n".encode())
        assert b'"tasks"' not in answer or answer.startswith(b"HTTP/1.1 200"), target
        assert not answer.startswith(b"HTTP/1.1 5"), target


def test_a26_nothing_can_be_framed_or_shown_elsewhere(server: Attacked) -> None:
    paths = [path for method, path in server.operations() if method == "GET" and not path.endswith("/stream")]
    for path in [*paths, "/", "/nope", "/assets/x.js"]:
        headers = server.client.get(path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
        assert "default-src 'self'" in headers["content-security-policy"], path
        assert headers["x-frame-options"] == "DENY", path
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["cross-origin-resource-policy"] == "same-origin", path
        assert headers["referrer-policy"] == "no-referrer", path
    embedded = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}
    assert server.client.get("/", headers=embedded).status_code == 403
