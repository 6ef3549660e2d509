"""A hub on this computer: a real HTTP server that speaks as the Hugging Face hub does, and fails as told.

Large files are redirected to a second server, the CDN, as the real ones are. What goes wrong is scripted: each fault
answers the next request for the content of a file that matches, or all of them.
"""

import fnmatch
import gzip
import hashlib
import json
import select
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, TypeAlias
from urllib.parse import unquote, urlsplit

SEND_BYTES: Final = 16 << 10  # at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """An error instead of the content."""

    code: int
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """The connection breaks after so many bytes of content."""

    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """Nothing more comes after so many bytes, and the connection stands."""

    after: int
    seconds: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongBytes:
    """The right length, and one byte of each answer changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongLength:
    """A file of another length is announced and sent."""

    extra: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoreRange:
    """The whole file, whatever was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gzip:
    """The whole file, packed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendTo:
    """A redirect to any address."""

    url: str


Fault: TypeAlias = Status | Drop | Stall | WrongBytes | WrongLength | IgnoreRange | Gzip | SendTo


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What somebody asked for."""

    server: str  # "hub" or "cdn"
    method: str
    path: str
    headers: Mapping[str, str]


@dataclass(slots=True)
class _Script:
    pattern: str
    fault: Fault
    times: int | None  # None: always


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of a repository."""

    path: str
    data: bytes
    large: bool  # kept in LFS
    git_id: str
    digest: str  # SHA-256 of a large file, else git's


def _entry(path: str, data: bytes, *, large: bool) -> Entry:
    git_id = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    digest = hashlib.sha256(data).hexdigest() if large else git_id
    return Entry(path=path, data=data, large=large, git_id=git_id, digest=digest)


class LoopbackHub:
    """Repositories, faults, and everything that was asked for."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, Entry]] = {}
        self.token: str | None = None  # wanted from everybody, if set
        self.bytes_per_second: float | None = None  # of each connection
        self.requests: list[Request] = []
        self.sent_bytes = 0  # of content
        self.faults = 0  # that have happened
        self.active = 0  # contents on their way
        self.most_active = 0
        self._scripts: list[_Script] = []
        self._lock = threading.Lock()
        self._servers = {name: _Server(self, name) for name in ("hub", "cdn")}

    @property
    def endpoint(self) -> str:
        return self._servers["hub"].address

    @property
    def cdn(self) -> str:
        return self._servers["cdn"].address

    def add(self, repo_id: str, files: Mapping[str, bytes], *, large: str = "*.safetensors") -> None:
        """A repository, or a new commit of one that is there."""
        self.repositories[repo_id] = {
            path: _entry(path, data, large=fnmatch.fnmatchcase(path, large)) for path, data in files.items()
        }

    def commit(self, repo_id: str) -> str:
        entries = self.repositories[repo_id]
        return hashlib.sha1("".join(f"{path}{entry.digest}" for path, entry in entries.items()).encode()).hexdigest()

    def fail(self, pattern: str, *faults: Fault) -> None:
        """The next requests for the content of matching files are answered so, one after the other."""
        self._scripts += [_Script(pattern, fault, 1) for fault in faults]

    def fail_always(self, pattern: str, fault: Fault) -> None:
        self._scripts.append(_Script(pattern, fault, None))

    def heal(self) -> None:
        self._scripts.clear()

    def asked(self, server: str, part: str = "") -> list[Request]:
        return [request for request in self.requests if request.server == server and part in request.path]

    def total_bytes(self, repo_id: str) -> int:
        return sum(len(entry.data) for entry in self.repositories[repo_id].values())

    def start(self) -> None:
        for server in self._servers.values():
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        for server in self._servers.values():
            server.stopping.set()
            server.shutdown()
            server.server_close()

    # --- for the servers ------------------------------------------------------------------------------------------

    def note(self, request: Request) -> None:
        with self._lock:
            self.requests.append(request)

    def next_fault(self, path: str) -> Fault | None:
        with self._lock:
            for script in self._scripts:
                if fnmatch.fnmatchcase(path, script.pattern) and script.times != 0:
                    self.faults += 1
                    script.times = None if script.times is None else script.times - 1
                    return script.fault
        return None

    def count(self, nbytes: int) -> None:
        with self._lock:
            self.sent_bytes += nbytes

    @contextmanager
    def sending(self) -> Iterator[None]:
        with self._lock:
            self.active += 1
            self.most_active = max(self.most_active, self.active)
        try:
            yield
        finally:
            with self._lock:
                self.active -= 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: LoopbackHub, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = hub
        self.name = name
        self.stopping = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that break off are what this is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        # Little lies in buffers, so that what is counted as sent has nearly arrived.
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * SEND_BYTES)
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().setup()

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub, path = self.server.hub, unquote(urlsplit(self.path).path)
        hub.note(Request(server=self.server.name, method=self.command, path=path, headers=dict(self.headers.items())))
        if self.server.name == "hub" and hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
            self._answer(401, {})
        elif path.startswith("/api/models/") and "/revision/" in path:
            self._list(*path.removeprefix("/api/models/").split("/revision/"))
        elif "/resolve/" in path:
            self._resolve(*path.removeprefix("/").split("/resolve/"))
        elif self.server.name == "cdn" and (entry := self._stored(path)) is not None:
            self._content(entry, '"cdn-has-its-own-tags"')
        else:
            self._answer(404, {})

    def _list(self, repo_id: str, revision: str) -> None:
        hub = self.server.hub
        match hub.next_fault(f"{repo_id}/"):
            case Status(code=code, headers=headers):
                return self._answer(code, headers)
            case SendTo(url=url):
                return self._answer(302, {"Location": url})
        if repo_id not in hub.repositories or revision not in ("main", hub.commit(repo_id)):
            return self._answer(404, {})
        siblings = [
            {"rfilename": entry.path, "size": len(entry.data), "blobId": entry.git_id}
            | ({"lfs": {"sha256": entry.digest, "size": len(entry.data), "pointerSize": 134}} if entry.large else {})
            for entry in hub.repositories[repo_id].values()
        ]
        data = json.dumps({"id": repo_id, "sha": hub.commit(repo_id), "siblings": siblings}).encode()
        return self._answer(200, {"Content-Type": "application/json"}, data)

    def _resolve(self, repo_id: str, rest: str) -> None:
        hub, (revision, _, path) = self.server.hub, rest.partition("/")
        entry = hub.repositories.get(repo_id, {}).get(path)
        if entry is None or revision not in ("main", hub.commit(repo_id)):
            return self._answer(404, {})
        headers = {"X-Repo-Commit": hub.commit(repo_id), "ETag": f'"{entry.digest}"'}
        if not entry.large:
            return self._content(entry, headers["ETag"], headers)
        linked = {"X-Linked-Etag": f'"{entry.digest}"', "X-Linked-Size": str(len(entry.data))}
        location = {"Location": f"{hub.cdn}/{repo_id}/{path}?signature=of-today"}
        return self._answer(302, headers | linked | location)

    def _stored(self, path: str) -> Entry | None:
        owner, name, *rest = path.removeprefix("/").split("/")
        return self.server.hub.repositories.get(f"{owner}/{name}", {}).get("/".join(rest))

    def _content(self, entry: Entry, etag: str, headers: Mapping[str, str] | None = None) -> None:
        fault = self.server.hub.next_fault(entry.path)
        match fault:
            case Status(code=code, headers=more):
                return self._answer(code, more)
            case SendTo(url=url):
                return self._answer(302, {"Location": url})
            case Gzip():
                packed = gzip.compress(entry.data, 1)
                return self._send(200, {"ETag": etag, "Content-Encoding": "gzip"}, packed, None)
        data = entry.data
        if isinstance(fault, WrongBytes):
            data = bytes([data[0] ^ 1]) + data[1:-1] + bytes([data[-1] ^ 1])
        if isinstance(fault, WrongLength):
            data = data + bytes(fault.extra) if fault.extra > 0 else data[: fault.extra]
        start, end = self._range(len(data)) if not isinstance(fault, IgnoreRange) else (0, len(data))
        more = dict(headers or {}) | {"ETag": etag, "Accept-Ranges": "bytes"}
        if "Range" in self.headers and not isinstance(fault, IgnoreRange):
            more["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
            return self._send(206, more, data[start:end], fault)
        return self._send(200, more, data, fault)

    def _range(self, nbytes: int) -> tuple[int, int]:
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        return int(first), min(int(last) + 1 if last else nbytes, nbytes)

    def _answer(self, code: int, headers: Mapping[str, str], data: bytes = b"") -> None:
        self._send(code, headers, data, None, counted=False)

    def _send(
        self, code: int, headers: Mapping[str, str], data: bytes, fault: Fault | None, *, counted: bool = True
    ) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and counted:
            with self.server.hub.sending():
                self._trickle(memoryview(data), fault)
        elif self.command != "HEAD":
            self.wfile.write(data)

    def _trickle(self, data: memoryview, fault: Fault | None) -> None:
        """The content, at the speed of the line, as far as the fault lets it."""
        hub, sent, began = self.server.hub, 0, time.monotonic()
        limit = fault.after if isinstance(fault, Drop | Stall) else len(data)
        while sent < min(limit, len(data)):
            if _has_gone(self.connection):
                raise ConnectionResetError
            count = self.connection.send(data[sent : min(sent + SEND_BYTES, limit, len(data))])
            sent += count
            hub.count(count)
            if hub.bytes_per_second is not None:
                time.sleep(max(0.0, began + sent / hub.bytes_per_second - time.monotonic()))
        if isinstance(fault, Stall):
            self.server.stopping.wait(fault.seconds)
        if isinstance(fault, Drop | Stall):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)


def _has_gone(connection: socket.socket) -> bool:
    """Whether the other end is closed. The system would take one more write, which nobody ever gets."""
    if not select.select([connection], [], [], 0)[0]:
        return False
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except OSError:
        return True


@contextmanager
def running_hub() -> Iterator[LoopbackHub]:
    hub = LoopbackHub()
    hub.start()
    try:
        yield hub
    finally:
        hub.stop()
