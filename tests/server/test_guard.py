"""Who may ask: the guard around an application that takes everything."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from wanvideo.server.guard import BodyLimits, Guard, Rules, hosts_of
from wanvideo.server.sign_in import COOKIE, PROTOCOL, session_of

HERE = ("127.0.0.1", 9000)
OURS = "http://localhost:9000"
CLIENT = "http://localhost:3000"
TOKEN = "a-token-that-is-long-enough"
RULES = Rules(bodies=BodyLimits(usual=1000, forms={"/upload": 5000}, seconds=0.3))


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request."""

    method: str = "GET"
    path: str = "/api/v1/queue"
    headers: Sequence[tuple[str, str]] = (("host", "localhost:9000"),)
    query: str = ""
    body: Sequence[bytes] = (b"",)
    kind: str = "http"
    rules: Rules = field(default=RULES)
    hangs: bool = False
    takes: frozenset[str] = frozenset({"GET", "POST", "DELETE"})  # what the address takes

    def with_(self, *headers: tuple[str, str]) -> "Ask":
        return replace(self, headers=(*self.headers, *headers))

    def answer(self) -> tuple[int, dict[str, str], str]:
        """Status, headers and text. 0: the WebSocket was let through."""
        return anyio.run(self._answer)

    @property
    def status(self) -> int:
        return self.answer()[0]

    async def _answer(self) -> tuple[int, dict[str, str], str]:
        scope: dict[str, Any] = {
            "type": self.kind,
            "method": self.method,
            "path": self.path,
            "query_string": self.query.encode(),
            "scheme": "http" if self.kind == "http" else "ws",
            "server": HERE,
            "client": ("127.0.0.1", 50000),
            "headers": [(name.encode(), value.encode()) for name, value in self.headers],
        }
        parts = list(self.body)
        sent: list[Message] = []

        async def receive() -> Message:
            if self.kind == "websocket":
                return {"type": "websocket.connect"}
            if not parts and self.hangs:
                await anyio.sleep(60)
            part = parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(parts) or self.hangs}

        async def send(message: Message) -> None:
            sent.append(message)

        await Guard(_everything, self.rules, lambda _path: self.takes)(scope, receive, send)
        first = sent[0]
        if first["type"] == "websocket.close":
            return 403, {}, first.get("reason", "")
        if first["type"] == "websocket.accept":
            return 0, {}, ""
        headers = {name.decode(): value.decode() for name, value in first["headers"]}
        return first["status"], headers, b"".join(each.get("body", b"") for each in sent[1:]).decode()


async def _everything(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    from starlette.exceptions import HTTPException

    try:
        body = await Request(scope, receive).body()
    except HTTPException as error:  # as FastAPI would
        await PlainTextResponse(str(error.detail), error.status_code)(scope, receive, send)
        return
    await PlainTextResponse(str(len(body)))(scope, receive, send)


GET = Ask()
POST = Ask(method="POST", headers=(("host", "localhost:9000"), ("content-type", "application/json")), body=(b"{}",))
SOCKET = Ask(kind="websocket", path="/ws")


@pytest.mark.parametrize("host", ["localhost:9000", "LOCALHOST:9000", "127.0.0.1:9000", "[::1]:9000"])
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_the_real_names_are_let_through(host: str, kind: str) -> None:
    assert replace(GET, kind=kind, headers=(("host", host),)).status in (200, 0)


@pytest.mark.parametrize(
    "host",
    ["evil.example:9000", "127.0.0.1.evil.example:9000", "localhost.:9000", "localhost:9001", "localhost",
     "0.0.0.0:9000", "2130706433:9000", "", "localhost@evil:9000", "localhost/api/health?", "[::2]:9000",
     "localhost:9000#"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_every_other_name_is_refused(host: str, kind: str) -> None:
    assert replace(GET, kind=kind, headers=(("host", host),)).status in (400, 403, 421)


def test_no_host_and_two_hosts_are_refused() -> None:
    assert replace(GET, headers=()).status == 400
    assert replace(GET, headers=(("host", "localhost:9000"), ("host", "localhost:9000"))).status == 400


def test_a_further_name_is_allowed_by_the_operator() -> None:
    rules = replace(RULES, hosts=hosts_of(["video.example.org"]))
    assert replace(GET, rules=rules, headers=(("host", "video.example.org"),)).status == 200


@pytest.mark.parametrize("ask", [POST, replace(POST, method="DELETE"), SOCKET], ids=["POST", "DELETE", "socket"])
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:3000", "https://localhost", ""])
def test_pages_of_others_cannot_write(ask: Ask, origin: str) -> None:
    assert ask.with_(("origin", origin)).status == 403


@pytest.mark.parametrize("method", ["QUERY", "PUT", "PROPFIND"])
@pytest.mark.parametrize("origin", ["http://evil.example", "null", ""])
def test_a_method_that_the_address_does_not_take_is_called_so_whatever_page_asks(method: str, origin: str) -> None:
    ask = replace(POST, method=method).with_(("origin", origin))
    status, headers, text = ask.answer()
    assert (status, headers["allow"]) == (405, "DELETE, GET, POST")
    assert json.loads(text)["code"] == "METHOD_NOT_ALLOWED"
    assert replace(ask, takes=frozenset()).status == 403  # of the web app, or nowhere
    assert replace(ask, headers=(("host", "evil.example"), ("origin", origin))).status == 421


@pytest.mark.parametrize("ask", [POST, SOCKET], ids=["POST", "socket"])
def test_our_page_programs_and_known_clients_can(ask: Ask) -> None:
    assert ask.status in (200, 0)
    assert ask.with_(("origin", OURS), ("sec-fetch-site", "same-origin")).status in (200, 0)
    known = replace(ask, rules=replace(RULES, compat_origins=frozenset({CLIENT})))
    assert known.with_(("origin", CLIENT), ("sec-fetch-site", "same-site")).status in (200, 0)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
def test_a_browser_that_names_another_site_is_refused_without_an_origin_too(site: str) -> None:
    assert POST.with_(("sec-fetch-site", site)).status == 403
    assert GET.with_(("sec-fetch-site", site), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")).status == 403


def test_a_link_to_us_may_be_followed_and_not_framed() -> None:
    link = GET.with_(("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"))
    assert link.with_(("sec-fetch-dest", "document")).status == 200
    assert link.with_(("sec-fetch-dest", "iframe")).status == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""])
def test_forms_that_any_page_can_send_are_not_taken(kind: str) -> None:
    headers = (("host", "localhost:9000"), ("content-type", kind), ("content-length", "2"))
    assert replace(POST, headers=headers).status == 415


def test_every_answer_keeps_other_pages_away() -> None:
    for ask in (GET, replace(GET, headers=())):
        headers = ask.answer()[1]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
    known = replace(GET, rules=replace(RULES, compat_origins=frozenset({CLIENT})))
    assert known.answer()[1]["cross-origin-resource-policy"] == "same-site"


# --- the token -------------------------------------------------------------------------------------------------------

WITH_TOKEN = replace(RULES, token=TOKEN)


@pytest.mark.parametrize("ask", [GET, POST, SOCKET, replace(GET, path="/")], ids=["GET", "POST", "socket", "page"])
def test_nothing_works_without_the_token(ask: Ask) -> None:
    guarded = replace(ask, rules=WITH_TOKEN)
    assert guarded.status in (401, 403)
    assert guarded.with_(("authorization", "Bearer wrong")).status in (401, 403)
    assert guarded.with_(("cookie", f"{COOKIE}={TOKEN}")).status in (401, 403)
    assert guarded.with_(("authorization", f"Bearer {TOKEN}")).status in (200, 0)
    assert guarded.with_(("cookie", f"{COOKIE}={session_of(TOKEN)}")).status in (200, 0)


def test_a_socket_may_bring_the_token_as_its_protocol() -> None:
    assert replace(SOCKET, rules=WITH_TOKEN).with_(("sec-websocket-protocol", f"x, {PROTOCOL}{TOKEN}")).status == 0


def test_the_link_with_the_token_becomes_a_session() -> None:
    status, headers, _ = replace(GET, rules=WITH_TOKEN, path="/", query=f"token={TOKEN}").answer()
    assert (status, headers["location"]) == (303, "/")
    assert "HttpOnly" in headers["set-cookie"]
    assert "SameSite=strict" in headers["set-cookie"]
    assert TOKEN not in headers["set-cookie"]
    assert replace(GET, rules=WITH_TOKEN, path="/", query="token=wrong").status == 401
    assert replace(GET, rules=WITH_TOKEN, query=f"token={TOKEN}").status == 401  # nowhere else


def test_that_somebody_is_there_may_be_known() -> None:
    assert replace(GET, rules=WITH_TOKEN, path="/healthz").status == 200


# --- bodies ----------------------------------------------------------------------------------------------------------


def test_a_body_is_counted_whatever_it_claims() -> None:
    assert replace(POST, body=(b"x" * 600, b"x" * 600)).status == 413
    assert POST.with_(("content-length", "1001")).status == 413
    assert POST.with_(("content-length", "9" * 400)).status == 413
    form = (("host", "localhost:9000"), ("content-type", "multipart/form-data; boundary=x"))
    assert replace(POST, path="/api/v1/upload", headers=form, body=(b"x" * 4000,)).status == 200
    assert replace(POST, path="/api/v1/upload", body=(b"x" * 4000,)).status == 413  # as JSON


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    assert replace(POST, body=(b"x",), hangs=True).status == 408


def test_a_refusal_has_the_form_of_every_error() -> None:
    body = json.loads(POST.with_(("origin", "http://evil.example")).answer()[2])
    assert body["code"] == body["error"] == "FORBIDDEN"
    assert body["detail"] == body["message"]
    assert body["suggestions"] == []
