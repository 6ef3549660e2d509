"""Webhooks: other servers are told when a job has ended. Signed as https://www.standardwebhooks.com specifies.

The operator names the targets, and those that a request may name for its jobs. A name must lead to addresses of the
internet; what is private is told only if it is named by its address, or is localhost. Redirects are not followed.
"""

import base64
import binascii
import hashlib
import hmac
import ipaddress
import json
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import structlog

from wanvideo.errors import InvalidRequest, WanVideoError
from wanvideo.jobs.job import JobEvent
from wanvideo.jobs.outbox import ENDS, Delivery, Outbox, Target

log = structlog.stdlib.get_logger(__name__)

PREFIX: Final = "whsec_"
LEAST_SECRET, MOST_SECRET = 24, 64  # bytes
TIMEOUT: Final = 15.0  # seconds, as the specification recommends
LONGEST: Final = 6 * 3600.0  # seconds between two tries
_TAKEN: Final = 60.0  # seconds for which a message is one server's, of several
TRIES: Final = 12  # with a first pause of 5 s, over a day and a half


class NotAllowed(InvalidRequest):
    """The target leads to where the operator did not say."""

    code = "WEBHOOK_TARGET"


def target_of(text: str) -> Target:
    """An address, and behind it, after spaces, the types of messages that it gets: all if there are none.

    Raises ValueError.
    """
    url, *types = text.split()
    check_url(url)
    ends = [kind.removeprefix("job.") for kind in types]
    if wrong := next((kind for kind, end in zip(types, ends, strict=True) if end not in ENDS), None):
        raise ValueError(f"{wrong!r:.40} is no type of message: there is {', '.join(f'job.{end}' for end in ENDS)}")
    return Target(url, frozenset(ends or ENDS))


def check_url(url: str) -> None:
    """Raises ValueError for what cannot be called."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError(f"{url!r:.100} is no target of webhooks: give one such as https://example.org/hook")


def key_of(secret: str) -> bytes:
    """The bytes of a secret as `whsec_` and base64. Raises ValueError."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(PREFIX) or not LEAST_SECRET <= len(key) <= MOST_SECRET:
        raise ValueError(
            f"a secret of webhooks is {PREFIX} with {LEAST_SECRET} to {MOST_SECRET} bytes as base64 behind it: python "
            f"-c 'import base64, secrets; print(\"{PREFIX}\" + base64.b64encode(secrets.token_bytes(32)).decode())' "
            "makes one"
        )
    return key


def signatures(keys: Sequence[bytes], message: str, timestamp: int, body: bytes) -> str:
    """One with each key, so that receivers may change from one to the next at any time."""
    signed = f"{message}.{timestamp}.".encode() + body
    digests = (hmac.new(key, signed, hashlib.sha256).digest() for key in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def body_of(event: JobEvent, data: dict[str, Any]) -> str:
    """The message about an end. data: of the job."""
    stamp = datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"type": f"job.{event.kind}", "timestamp": stamp, "data": data}, separators=(",", ":"))


def pause(tries: int, first: float) -> float | None:
    """Seconds until the next try after so many have failed; None: it is given up."""
    return None if tries >= TRIES else min(LONGEST, first * 4.0 ** (tries - 1))


class Webhooks:
    """Sends what is in the outbox: a thread for each target, so that one that is slow delays no other."""

    def __init__(self, outbox: Outbox, keys: Sequence[bytes], *, first_pause: float = 5.0) -> None:
        self.outbox, self._keys, self._first = outbox, tuple(keys), first_pause
        self._wake = {url: threading.Event() for url in outbox.urls}
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(url,), name=f"webhook {number}", daemon=True)
            for number, url in enumerate(outbox.urls)
        ]

    def start(self) -> None:
        self.outbox.collect()
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float = 2.0) -> None:
        """A try that takes longer is left alone: what it sends is sent again by the next server, under the same id."""
        self._stopping.set()
        self.wake()
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def wake(self) -> None:
        """Something has ended."""
        for each in self._wake.values():
            each.set()

    def _run(self, url: str) -> None:
        with httpx2.Client(timeout=TIMEOUT, follow_redirects=False, trust_env=False) as http:
            while not self._stopping.is_set():
                self._wake[url].clear()
                try:
                    wait = self._send_due(http, url)
                except WanVideoError as error:  # of the database, which others tell about, too
                    log.warning("webhooks wait", error=error.message)
                    wait = LONGEST
                self._wake[url].wait(wait)

    def _send_due(self, http: httpx2.Client, url: str) -> float:
        """Send all that is due; the seconds until there is more."""
        self.outbox.collect()
        while (delivery := self.outbox.next(url)) is not None:
            wait = delivery.due - self.outbox.ledger.now()
            if wait > 0:
                return wait
            if not self.outbox.take(delivery, _TAKEN):
                continue
            outcome = send(http, delivery, self._keys)
            if self._stopping.is_set():
                return 0.0
            self._settle(delivery, outcome)
        return LONGEST

    def _settle(self, delivery: Delivery, outcome: "Outcome") -> None:
        wait = None if outcome.final else pause(delivery.tries + 1, self._first)
        said = log.bind(target=urlsplit(delivery.target).netloc, message=delivery.message, tries=delivery.tries + 1)
        if outcome.arrived:
            said.info("webhook delivered")
            self.outbox.remove(delivery)
        elif wait is None:
            said.error("webhook given up", reason=outcome.reason)
            self.outbox.remove(delivery)
        else:
            said.warning("webhook failed", reason=outcome.reason, again_in=round(wait))
            self.outbox.put_off(delivery, max(wait, outcome.after))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Of one try."""

    arrived: bool
    final: bool = False  # no other try would help
    after: float = 0.0  # seconds that the target asks for
    reason: str = ""


def send(http: httpx2.Client, delivery: Delivery, keys: Sequence[bytes]) -> Outcome:
    """Try once."""
    body, timestamp = delivery.body.encode(), int(time.time())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "wanvideo",
        "webhook-id": delivery.message,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signatures(keys, delivery.message, timestamp, body),
    }
    there = urlsplit(delivery.target)
    headers["Host"] = there.netloc
    reason = ""
    try:
        for url in pinned(delivery.target):
            try:
                extensions = {"sni_hostname": there.hostname}
                with http.stream("POST", url, content=body, headers=headers, extensions=extensions) as answer:
                    return _outcome_of(answer)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:  # another of its addresses may answer
                reason = str(error)
    except NotAllowed as error:
        reason = error.message
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        reason = str(error) or type(error).__name__
    return Outcome(arrived=False, reason=reason)


def _outcome_of(answer: httpx2.Response) -> Outcome:
    """What a target's answer means; it is not read."""
    if answer.is_success:
        return Outcome(arrived=True)
    said = answer.headers.get("retry-after", "")
    after = min(LONGEST, float(said)) if said.isdecimal() and len(said) < 10 else 0.0
    # 410 is the specification's word for a target that wants no more.
    return Outcome(
        arrived=False, final=answer.status_code == 410, after=after, reason=f"answered with {answer.status_code}"
    )


def pinned(target: str) -> list[str]:
    """The address with the host looked up, one for each that it has: what was checked is what is called.

    Raises NotAllowed for a name that leads, even among others, to what is no place of the internet.
    """
    parts = urlsplit(target)
    name = parts.hostname or ""
    addresses = _looked_up(name, parts.port or (443 if parts.scheme == "https" else 80))
    private = next((each for each in addresses if not each.is_global), None)
    if private is not None and name != "localhost" and not _is_address(name):
        raise NotAllowed(f"{name} leads to {private}, which is private: name the target by its address")
    port = "" if parts.port is None else f":{parts.port}"
    hosts = (f"[{each}]" if each.version == 6 else str(each) for each in dict.fromkeys(addresses))
    return [parts._replace(netloc=f"{host}{port}", fragment="").geturl() for host in hosts]


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _looked_up(name: str, port: int) -> list[Address]:
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NotAllowed(f"{name} is not known to the name service") from None
    return [ipaddress.ip_address(str(address[0]).partition("%")[0]) for *_, address in found]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
