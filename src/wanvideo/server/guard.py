"""Who may ask, and how much: checked for HTTP and WebSocket alike, before anything else sees a request.

A web page in the user's browser can send requests to this computer, so a request is let through only if it names this
server in Host (or a name of the page's own would lead here, which is DNS rebinding), and if the page that sends it is
ours. Programs such as curl say nothing of pages, and pass. From other computers, everybody needs the token.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from wanvideo.server import errors
from wanvideo.server.errors import problem_for
from wanvideo.server.origins import LOOPBACK_NAMES, Host, host_name, origin_host
from wanvideo.server.sign_in import (
    WRONG,
    Failures,
    is_authorised,
    same,
    sign_in_page,
    start_session,
    token_in_form,
    token_in_link,
    tokens_in,
    wants_page,
)

OPEN_PATHS: Final = frozenset({"/healthz"})  # says only that somebody is there
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # the last one is taken nowhere, and answered with 405
MEDIA_TYPES: Final = frozenset({"application/json", "multipart/form-data"})
_SET: Final = "send it as Authorization: Bearer ...; wan and the Python client take it from WANVIDEO_TOKEN"
MOST_SIGN_IN: Final = 4096  # bytes of the form that asks for the token
LEAST_RATE: Final = 64 * 1024  # bytes per second, below which a body is too slow

CONTENT_POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "style-src 'self' 'unsafe-inline'",  # of the component library
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: Final = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}

Environ: TypeAlias = MutableMapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyLimits:
    """Bytes of a request's body, by where it goes."""

    usual: int
    forms: Mapping[str, int] = field(default_factory=dict)  # end of a path -> more, for the files of a form
    jsons: Mapping[str, int] = field(default_factory=dict)  # the same for JSON, all of which goes through memory
    seconds: float = 60.0

    def of(self, path: str, media_type: str) -> int:
        paths = self.jsons if media_type == "application/json" else self.forms
        return next((most for end, most in paths.items() if path.endswith(end)), self.usual)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the guard goes by."""

    hosts: frozenset[Host] = frozenset()  # beside loopback; without a port, any
    compat_origins: frozenset[str] = frozenset()
    token: str | None = None
    bodies: BodyLimits


class Refused(Exception):
    """The request is not let through."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


class Guard:
    """Pure ASGI, around the whole application. methods: what a path of it takes; none where that is not known."""

    def __init__(self, app: ASGIApp, rules: Rules, methods: Callable[[str], frozenset[str]]) -> None:
        self.app = app
        self.rules = rules
        self._methods = methods
        self._failures = Failures()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        send = self._with_headers(send)
        try:
            host = check_host(headers, scope, self.rules)
            self._check_origin(headers, scope, host)
            if self.rules.token is not None and await self._sign_in(scope, headers, receive, send):
                return
            if scope["type"] == "http":
                check_media_type(headers, scope)
                receive = Arriving(receive, headers, self.rules.bodies, scope["path"])
        except Refused as refusal:
            await _refuse(scope, receive, send, refusal)
            return
        await self.app(scope, receive, send)

    def _check_origin(self, headers: Headers, scope: Scope, host: Host) -> None:
        """Raises Refused; as everybody is who asks by a method that the address does not take, whatever page asks."""
        try:
            check_origin(headers, scope, host, self.rules)
        except Refused:
            taken = self._methods(scope["path"])
            if scope["type"] == "websocket" or not taken or scope["method"] in taken | SAFE:
                raise
            raise Refused(405, errors.NO_SUCH_METHOD, {"allow": ", ".join(sorted(taken))}) from None

    async def _sign_in(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> bool:
        """Whether the request was answered here. Raises Refused without the token."""
        token = self.rules.token
        assert token is not None
        if scope["path"] in OPEN_PATHS or _is_preflight(scope, headers):
            return False
        client = (scope.get("client") or ("",))[0]
        if self._failures.too_many(client):
            raise Refused(429, "too many wrong tokens from this address: try again in a minute")
        offered = await self._brought(scope, headers, receive)
        if offered and same(offered, token):
            await start_session(scope, receive, send, token)
            return True
        if not offered and is_authorised(headers, token):
            return False
        wrong = bool(offered or tokens_in(headers))
        if wrong:
            self._failures.note(client)
        if scope["type"] == "http" and scope["method"] in ("GET", "POST") and wants_page(headers):
            await sign_in_page(wrong=bool(offered))(scope, receive, send)
            return True
        raise Refused(401, f"{WRONG}: {_SET}" if wrong else f"this server needs its token: {_SET}")

    async def _brought(self, scope: Scope, headers: Headers, receive: Receive) -> str:
        """The token that somebody signs in with at /: by the link that has it, or by the form that asks for it."""
        if scope["type"] != "http" or scope["path"] != "/":
            return ""
        if scope["method"] == "GET":
            return token_in_link(scope)
        if scope["method"] != "POST":
            return ""
        check_media_type(headers, scope)
        limits = BodyLimits(usual=MOST_SIGN_IN, seconds=self.rules.bodies.seconds)
        try:
            return await token_in_form(scope, Arriving(receive, headers, limits, "/"))
        except HTTPException as error:
            raise Refused(error.status_code, str(error.detail)) from None

    def _with_headers(self, send: Send) -> Send:
        """Every response gets what keeps other pages away from it."""
        sharing = "same-site" if self.rules.compat_origins else "same-origin"

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cross-origin-resource-policy", sharing)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        return sending


# --- rules -----------------------------------------------------------------------------------------------------------


def check_host(headers: Headers, scope: Scope, rules: Rules) -> Host:
    """Raises Refused unless the request means this server, by a name that nobody else can give it."""
    values = headers.getlist("host")
    host = host_name(values[0]) if len(values) == 1 else None
    if host is None:
        raise Refused(400, "the Host header is missing or malformed")
    here, port = scope.get("server") or ("", None)
    named = Host(host.name, host.port or (443 if scope["scheme"] in ("https", "wss") else 80))
    if host.name in LOOPBACK_NAMES or host.name == here:
        # An address in digits cannot be rebound, and localhost is resolved by the browser itself.
        if port is None or named.port == port:
            return named
    elif host in rules.hosts or Host(host.name, None) in rules.hosts:
        return named
    raise Refused(421, "this server is not called so: add the name to the allowed hosts if it is")


def check_origin(headers: Headers, scope: Scope, host: Host, rules: Rules) -> None:
    """Raises Refused if the request comes from a page that is not ours."""
    origins = headers.getlist("origin")
    site = headers.get("sec-fetch-site")
    compatible = len(origins) == 1 and origins[0] in rules.compat_origins
    writes = scope["type"] == "websocket" or scope["method"] not in SAFE
    if origins and (writes or scope["method"] == "OPTIONS"):
        ours = len(origins) == 1 and origin_host(origins[0]) == host
        if not (ours or compatible):
            raise Refused(403, "requests from other web pages are refused")
    if site in (None, "same-origin", "none") or compatible:
        return
    if writes:
        raise Refused(403, "requests from other web pages are refused")
    # A link to us may be followed, and a client that is known may show our pictures.
    followed = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    if not followed and not (site == "same-site" and rules.compat_origins):
        raise Refused(403, "requests from other web pages are refused")


def check_media_type(headers: Headers, scope: Scope) -> None:
    """Forms that any page can send without being asked are not taken."""
    if scope["method"] in SAFE:
        return
    media_type = media_type_of(headers)
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    if media_type not in MEDIA_TYPES and (media_type or has_body):
        raise Refused(415, "send JSON (application/json), or files as multipart/form-data")


def media_type_of(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _is_preflight(scope: Scope, headers: Headers) -> bool:
    return scope["type"] == "http" and scope["method"] == "OPTIONS" and "access-control-request-method" in headers


# --- bodies ----------------------------------------------------------------------------------------------------------


class Arriving:
    """`receive` that counts, whatever the request claims, and does not wait for ever."""

    def __init__(self, receive: Receive, headers: Headers, limits: BodyLimits, path: str) -> None:
        """Raises Refused if the request claims too much."""
        self._receive = receive
        self._most, self._patience = limits.of(path, media_type_of(headers)), limits.seconds
        claimed = headers.get("content-length", "")
        if claimed.isdecimal() and int(claimed[:20]) > self._most:
            raise Refused(413, _too_large(self._most))
        self._deadline = time.monotonic() + limits.seconds + self._most / LEAST_RATE
        self._count = 0
        self._done = False

    async def __call__(self) -> Message:
        if self._done:  # what comes now is the end of the connection
            return await self._receive()
        try:
            async with asyncio.timeout(min(self._patience, max(0.0, self._deadline - time.monotonic()))):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, "the request did not arrive in time") from None
        if message["type"] == "http.request":
            self._count += len(message.get("body", b""))
            if self._count > self._most:
                raise HTTPException(413, _too_large(self._most))
            self._done = not message.get("more_body", False)
        return message


def _too_large(most: int) -> str:
    size = f"{most / 2**20:.0f} MiB" if most >= 2**20 else f"{most / 2**10:.0f} KiB"
    return f"the request is too large: at most {size} are taken here"


# --- answers ---------------------------------------------------------------------------------------------------------


async def _refuse(scope: Scope, receive: Receive, send: Send, refusal: Refused) -> None:
    if scope["type"] == "websocket":
        await WebSocketClose(code=1008, reason=refusal.message[:100])(scope, receive, send)
        return
    headers = dict(refusal.headers)
    if refusal.status == 401:
        headers["www-authenticate"] = "Bearer"
    if refusal.status == 429:
        headers["retry-after"] = "60"
    said = errors.answer(scope, refusal.status, problem_for(refusal.status, refusal.message), headers)
    await said(scope, receive, send)


def hosts_of(names: Iterable[str]) -> frozenset[Host]:
    """Of names that were checked."""
    return frozenset(host for name in names if (host := host_name(name)) is not None)
