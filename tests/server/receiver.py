"""A server that webhooks are sent to, on this computer; it may fail first."""

import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import NamedTuple, Self


class Received(NamedTuple):
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes


class Receiver:
    """Answers with one status after the other, and with 204 when there are no more."""

    def __init__(self, statuses: Sequence[int] = (), port: int = 0) -> None:
        self.received: list[Received] = []
        left, received, self._arrived = list(statuses), self.received, threading.Condition()
        arrived = self._arrived

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = left.pop(0) if left else 204
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("location", "/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()
                with arrived:
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    received.append(Received(self.path, headers, body))
                    arrived.notify_all()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def wait(self, count: int, seconds: float = 20.0) -> list[Received]:
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.received) >= count, seconds), self.received
        return self.received
