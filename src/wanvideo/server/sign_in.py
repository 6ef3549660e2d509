"""Who knows the token: as programs bring it, and as a person signs in with a browser."""

import hashlib
import hmac
import time
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse
from starlette.types import Receive, Scope, Send

from wanvideo.server.errors import problem_for, response

COOKIE: Final = "wanvideo_session"
PROTOCOL: Final = "wanvideo.token."  # of a WebSocket, with the token behind it, for clients that can set no header
MOST_FAILURES: Final = 10  # wrong tokens from one address, per minute
_REMEMBERED: Final = 1000  # addresses

WRONG: Final = "this is not the token of this server"
_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>wanvideo</title>
<style>body {{ font: 1rem/1.6 system-ui; max-width: 24rem; margin: 4rem auto; padding: 0 1rem }}
input, button {{ font: inherit; padding: .4rem; width: 100%; box-sizing: border-box; margin-top: .5rem }}</style>
<h1>wanvideo</h1>
<p role="status">{said}</p>
<form method="post" action="/" enctype="multipart/form-data">
<label>Token <input type="password" name="token" autocomplete="current-password" required autofocus></label>
<button>Sign in</button>
</form>
"""


def is_authorised(headers: Headers, token: str) -> bool:
    return any(same(offered, token) for offered in tokens_in(headers)) or same(_session(headers), session_of(token))


def tokens_in(headers: Headers) -> list[str]:
    """Those that a request brings: in Authorization, or in the sub-protocol of a WebSocket."""
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    found = [bearer.strip()] if scheme.lower() == "bearer" else []
    protocols = (each.strip() for each in headers.get("sec-websocket-protocol", "").split(","))
    return found + [each.removeprefix(PROTOCOL) for each in protocols if each.startswith(PROTOCOL)]


def session_of(token: str) -> str:
    """What the cookie holds: it opens this server alone, and does not tell the token."""
    return hmac.new(token.encode(), b"wanvideo session", hashlib.sha256).hexdigest()


def _session(headers: Headers) -> str:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return "" if morsel is None else morsel.value


def same(offered: str, wanted: str) -> bool:
    return hmac.compare_digest(offered.encode("utf-8", "replace"), wanted.encode())


class Failures:
    """How often each address has just given a wrong token."""

    def __init__(self) -> None:
        self._times: dict[str, list[float]] = {}

    def note(self, client: str) -> None:
        if len(self._times) >= _REMEMBERED:
            self._times.pop(next(iter(self._times)))
        self._times[client] = [*self._recent(client), time.monotonic()]

    def too_many(self, client: str) -> bool:
        return len(self._recent(client)) >= MOST_FAILURES

    def _recent(self, client: str) -> list[float]:
        since = time.monotonic() - 60
        return [at for at in self._times.get(client, ()) if at > since]


# --- a person --------------------------------------------------------------------------------------------------------


def wants_page(headers: Headers) -> bool:
    """Whether a browser goes there, or somebody who wants to read: programs ask for anything, or for JSON."""
    return "text/html" in headers.get("accept", "")


def token_in_link(scope: Scope) -> str:
    query: bytes = scope["query_string"]
    return parse_qs(query.decode("ascii", "replace")).get("token", [""])[0]


async def token_in_form(scope: Scope, receive: Receive) -> str:
    """Raises HTTPException if the request is not that form."""
    try:
        async with Request(scope, receive).form(max_files=0, max_fields=1) as form:
            token = form.get("token", "")
    except (MultiPartException, ClientDisconnect):
        raise HTTPException(400, "send the token as the field `token` of a form") from None
    return token if isinstance(token, str) else ""


def sign_in_page(*, wrong: bool) -> HTMLResponse:
    said = f"No, {WRONG}." if wrong else "This server asks for its token."
    return HTMLResponse(_PAGE.format(said=said), 401, {"www-authenticate": "Bearer"})


async def start_session(scope: Scope, receive: Receive, send: Send, token: str) -> None:
    """To the address without the token, so that it stays in no history, with a cookie in its place."""
    answer = response(303, problem_for(303, "signed in", "SIGNED_IN"), {"location": "/"})
    answer.set_cookie(COOKIE, session_of(token), httponly=True, samesite="strict", secure=scope["scheme"] == "https")
    await answer(scope, receive, send)
