"""When to ask again, and what to say when it was no use. Nothing here sends or waits."""

import ssl
import time
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2

from wanvideo.client.answers import error_of, read
from wanvideo.client.calls import Call, ValueT
from wanvideo.client.errors import BadAnswer, Unreachable
from wanvideo.client.find import Server
from wanvideo.errors import InvalidRequest

SILENCE_SECONDS: Final = 45.0  # of a stream that should give a sign of life every 15 s
# Answers that say that nothing was done, for now.
_LATER: Final = frozenset({429, 503})
_LONGEST: Final = 30.0  # seconds between two tries


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often, and after how many seconds, a request is sent again, and a stream is opened again."""

    retries: int = 4
    reconnects: int = 8  # in a row; with pauses of 64 s in all, enough for a server to start again
    first: float = 0.25  # seconds, doubled each time

    def after(self, tries: int, wanted: float | None = None) -> float | None:
        """Seconds until the next try, `tries` having failed; None: no more. wanted: by the server."""
        if tries > self.retries:
            return None
        return min(_LONGEST, self.first * 2 ** (tries - 1) if wanted is None else wanted)

    def reconnect(self, tries: int) -> float | None:
        """As `after`, for a stream."""
        return replace(self, retries=self.reconnects).after(tries)

    def after_failure(self, call: Call[Any], error: httpx2.TransportError, tries: int) -> float | None:
        """The connection failed. What was perhaps heard is said again only if that does no harm."""
        unheard = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
        return self.after(tries) if unheard or call.repeatable else None

    def after_answer(self, answer: httpx2.Response, tries: int) -> float | None:
        if answer.status_code not in _LATER:
            return None
        said = answer.headers.get("retry-after", "")
        return self.after(tries, float(said) if said.isdecimal() else None)


def value_of(call: Call[ValueT], answer: httpx2.Response) -> ValueT:
    """What the answer says. Raises ServerError and its kinds, BadAnswer."""
    if not answer.is_success:
        raise error_of(answer.status_code, answer.content, str(call))
    try:
        data = answer.json()
    except ValueError:
        raise BadAnswer(f"{call} is answered with something that is no JSON: is this a wanvideo server?") from None
    return read(call.kind, data.get(call.within) if call.within and isinstance(data, dict) else data)


def unreachable(server: Server, error: Exception) -> Unreachable:
    said = str(error) or type(error).__name__
    return Unreachable(
        f"the server at {server.url} does not answer ({said}): is it running, and is this its address?",
        facts={"url": server.url},
    )


def http_options(server: Server, timeout: float) -> dict[str, Any]:
    """Of either kind of HTTP client."""
    url = urlsplit(server.url)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise InvalidRequest(f"{server.url!r:.100} is no address of a server: give one such as http://127.0.0.1:9000")
    return {
        "base_url": server.url,
        "headers": {"User-Agent": "wanvideo"} | authorisation(server),
        "timeout": httpx2.Timeout(timeout, pool=None),
        # Reading the certificates of the world takes 0.17 s.
        "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if url.scheme == "http" else True,
        "trust_env": not server.on_loopback,  # the system's proxy, for what is not this computer
    }


def authorisation(server: Server) -> dict[str, str]:
    return {} if server.token is None else {"Authorization": f"Bearer {server.token}"}


def socket_url(server: Server, since: int | None) -> str:
    query = "" if since is None else f"?since={since}"
    return f"ws{server.url.removeprefix('http')}/ws{query}"


def end_of(timeout: float | None) -> float:
    """When so many seconds are over, on the clock `time.monotonic`."""
    return float("inf") if timeout is None else time.monotonic() + timeout
