"""HTTP to a hub: one request at a time, every redirect looked at, every failure given a name. No torch.

What may be tried again is TryAgain, which carries the error to raise once patience has run out; everything else is
raised as the error it is. Who tries again, and when, is decided by the caller, who knows about progress.
"""

import json
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Final, Self
from urllib.parse import urljoin, urlsplit

import httpx2

from wanvideo.errors import (
    DownloadError,
    DownloadForbidden,
    DownloadNotFound,
    DownloadOffline,
    DownloadRateLimited,
    DownloadRefused,
    DownloadStalled,
    DownloadUnreachable,
)
from wanvideo.weights.download.hub import Hub, HubFile, Listing, check_repo_id, check_revision, parse_listing

_REDIRECTS: Final = 5
_CONNECT_SECONDS: Final = 15.0
_LISTING_BYTES: Final = 32 << 20
_LONGEST_RETRY_AFTER: Final = 600.0  # seconds; a server that wants more is given up sooner


class TryAgain(Exception):
    """It did not work, and may work later. Never leaves the download: `error` is raised when patience has run out."""

    def __init__(self, error: DownloadError, after: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.after = after  # seconds, if the server said


class RangesIgnored(Exception):
    """The server sends whole files only, or packs them: they have to come in one piece, from the beginning."""


@dataclass(slots=True, eq=False)
class Body:
    """The content of a file, arriving."""

    _response: httpx2.Response
    _file: HubFile

    def chunks(self) -> Iterator[bytes]:
        """As they come. Raises TryAgain if the connection ends early or falls silent."""
        with _naming_failures(str(self._file)):
            yield from self._response.iter_bytes()

    def abort(self) -> None:
        """End the connection, from another thread: who reads from it gets TryAgain at once."""
        stream = self._response.extensions.get("network_stream")
        connection = stream.get_extra_info("socket") if stream is not None else None
        if isinstance(connection, socket.socket):
            try:
                # Not SSLSocket's own method, which takes the session away from under the reading thread.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            except OSError:  # it has ended by itself
                return


class HubClient:
    """Requests to one hub. May be used by several threads; to be closed, best by `with`."""

    def __init__(self, hub: Hub, *, stall_seconds: float = 30.0, connections: int = 16) -> None:
        self.hub = hub
        plain = hub.on_loopback and hub.endpoint.startswith("http:")
        self._http = httpx2.Client(
            # Where there is nothing but this computer, reading the certificates of the world (0.17 s) is left out.
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else True,
            headers={"User-Agent": "wanvideo", "Accept-Encoding": "identity"},
            timeout=httpx2.Timeout(stall_seconds, connect=min(stall_seconds, _CONNECT_SECONDS), pool=None),
            limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
            follow_redirects=False,
            trust_env=not hub.on_loopback,  # the system's proxy and certificates, for what is not this computer
        )
        self._locations: dict[str, str] = {}  # address of a file at the hub -> where the hub sent us

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def list_files(self, repo_id: str, revision: str = "main") -> Listing:
        """The files of a repository, in one request. Raises DownloadError, or TryAgain."""
        url = self.hub.listing_url(check_repo_id(repo_id), check_revision(revision))
        with _naming_failures(repo_id), self._get(url, repo_id, {}) as response:
            _check_status(response, repo_id, self.hub)
            data = bytearray()
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) > _LISTING_BYTES:
                    raise DownloadRefused(f"the list of {repo_id} is longer than {_LISTING_BYTES} bytes")
        try:
            answer = json.loads(data)
        except (ValueError, RecursionError):
            raise DownloadRefused(
                f"{self.hub.endpoint} answers {bytes(data[:60])!r} about {repo_id}, which is no JSON: is it a hub?"
            ) from None
        return parse_listing(repo_id, revision, answer)

    @contextmanager
    def open(self, file: HubFile, start: int, end: int) -> Iterator[Body]:
        """The bytes of `file` from `start` up to and without `end`; those of a whole file without asking for a range.

        Raises RangesIgnored if they come as something else, DownloadError, or TryAgain.
        """
        whole = (start, end) == (0, file.nbytes)
        headers = {} if whole else {"Range": f"bytes={start}-{end - 1}"}
        origin = self.hub.file_url(file)
        url = self._locations.get(origin, origin)
        with _naming_failures(str(file)), self._get(url, str(file), headers, file) as response:
            if response.status_code >= 400 and response.request.url.netloc != httpx2.URL(origin).netloc:
                # An address at the CDN is valid for some time only: the next time, the hub is asked again.
                self._locations.pop(origin, None)
                host = response.request.url.host
                error = DownloadUnreachable(f"{file}: the CDN {host} answers {response.status_code}: use a mirror")
                raise TryAgain(error, _retry_after(response.headers))
            _check_status(response, str(file), self.hub)
            _check_range(response, file, start, end, whole)
            self._locations[origin] = str(response.request.url)
            yield Body(response, file)

    @contextmanager
    def _get(
        self, url: str, what: str, headers: Mapping[str, str], file: HubFile | None = None
    ) -> Iterator[httpx2.Response]:
        """The first answer that is no redirect; the token goes only where it may."""
        if self.hub.offline:
            raise DownloadOffline(
                f"{what} is needed from {self.hub.endpoint}, and HF_HUB_OFFLINE forbids it: unset it, or copy the "
                "files here"
            )
        for _ in range(_REDIRECTS + 1):
            token = {"Authorization": f"Bearer {self.hub.token}"} if self.hub.sends_token_to(url) else {}
            with self._http.stream("GET", url, headers={**headers, **token}) as response:
                if file is not None:
                    _check_identity(response, file)
                if response.status_code not in (301, 302, 303, 307, 308):
                    yield response
                    return
                url = self._redirect(url, response.headers.get("Location", ""), what)
        raise DownloadRefused(f"{what}: more than {_REDIRECTS} redirects: is {self.hub.endpoint} a hub?")

    def _redirect(self, url: str, location: str, what: str) -> str:
        target = urljoin(url, location)
        if not location or not self.hub.allows(target):
            raise DownloadRefused(
                f"{what}: {self.hub.host} sends us to {urlsplit(target).hostname!r:.100}, which is neither the hub nor "
                "its CDN: not followed",
                facts={"host": urlsplit(target).hostname},
            )
        return target


def _check_status(response: httpx2.Response, what: str, hub: Hub) -> None:
    """Raises what an error status means."""
    status = response.status_code
    if status < 400:
        return
    if status in (401, 403):
        have = "the token that you have is not accepted" if hub.token else "it wants a token"
        raise DownloadForbidden(
            f"{what}: {hub.host} answers {status}, {have}: accept the terms of the repository on its page, and set "
            "HF_TOKEN to a token of your account that may read it",
            facts={"status": status, "host": hub.host},
        )
    if status in (404, 410):
        raise DownloadNotFound(f"{what} does not exist at {hub.host} (it answers {status})", facts={"status": status})
    after = _retry_after(response.headers)
    if status == 429:
        raise TryAgain(DownloadRateLimited(f"{what}: {hub.host} says that we ask too often (429): wait"), after)
    error = DownloadUnreachable(f"{what}: {hub.host} answers {status}", facts={"status": status, "host": hub.host})
    if status == 408 or status >= 500:
        raise TryAgain(error, after)
    raise error


def _check_identity(response: httpx2.Response, file: HubFile) -> None:
    """Where the hub names the content, it must be the one that was planned."""
    linked = response.headers.get("X-Linked-Etag", "").removeprefix("W/").strip('"')
    size = response.headers.get("X-Linked-Size", "")
    if (linked and linked != file.digest) or (size and size != str(file.nbytes)):
        raise DownloadRefused(f"{file} is no longer what was listed: begin again", facts={"file": file.path})


def _check_range(response: httpx2.Response, file: HubFile, start: int, end: int, whole: bool) -> None:
    """The answer must be the bytes that were asked for. Raises RangesIgnored or TryAgain."""
    if whole and response.status_code == 200:
        length = response.headers.get("Content-Length", "")
        if "Content-Encoding" not in response.headers and length not in ("", str(file.nbytes)):
            raise TryAgain(_wrong_length(file, f"{length} bytes"))
        return
    if response.status_code != 206 or "Content-Encoding" in response.headers:
        raise RangesIgnored
    said = response.headers.get("Content-Range", "")
    if said != f"bytes {start}-{end - 1}/{file.nbytes}":
        raise TryAgain(_wrong_length(file, repr(said[:100])))


def _wrong_length(file: HubFile, said: str) -> DownloadUnreachable:
    return DownloadUnreachable(
        f"{file}: the server offers {said}, and the file has {file.nbytes} bytes: try another mirror"
    )


def _retry_after(headers: httpx2.Headers) -> float | None:
    """Seconds, from either form of the header."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return min(float(text), _LONGEST_RETRY_AFTER)
    try:
        return min(max(0.0, parsedate_to_datetime(text).timestamp() - time.time()), _LONGEST_RETRY_AFTER)
    except ValueError:
        return None


@contextmanager
def _naming_failures(what: str) -> Iterator[None]:
    """What goes wrong below HTTP, in our words. All of it may pass."""
    try:
        yield
    except httpx2.ReadTimeout as error:
        raise TryAgain(DownloadStalled(f"{what}: nothing comes any more: check the connection")) from error
    except httpx2.TransportError as error:
        reason = str(error) or type(error).__name__
        raise TryAgain(DownloadUnreachable(f"{what}: {reason}: check the connection, or use a mirror")) from error
    except httpx2.DecodingError as error:
        raise TryAgain(DownloadUnreachable(f"{what}: what comes is packed and damaged")) from error
    except httpx2.InvalidURL as error:
        raise DownloadRefused(f"{what}: the hub gives an address that is none: {error}") from error
