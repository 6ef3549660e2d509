"""A way to a server that breaks: TCP, of which some connections end after so many bytes of the answer.

The server is told the host that it expects.
"""

import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Breaking:
    """Listens at `url`. The n-th connection ends after `cuts[n]` bytes from the server, all later ones never."""

    def __init__(self, url: str, cuts: Sequence[int]) -> None:
        there = urlsplit(url)
        assert there.hostname is not None
        assert there.port is not None
        self._there = (there.hostname, there.port)
        self._cuts, self._threads, self._open = list(cuts), list[threading.Thread](), list[socket.socket]()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self.connections = 0
        self.received = 0  # bytes, from the server

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._open:
            _end(each)
        for thread in self._threads:
            thread.join(10)

    def _start(self, what: object, *arguments: object) -> None:
        thread = threading.Thread(target=what, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            there = socket.create_connection(self._there)
            self._open += [here, there]
            left = self._cuts[self.connections] if self.connections < len(self._cuts) else None
            self.connections += 1
            self._start(self._ask, here, there)
            self._start(self._answer, there, here, left)

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        ours, theirs = f"Host: 127.0.0.1:{self._port}\r\n", f"Host: 127.0.0.1:{self._there[1]}\r\n"
        with suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data.replace(ours.encode(), theirs.encode()))
        _end(server)

    def _answer(self, server: socket.socket, client: socket.socket, left: int | None) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                if left is not None:
                    data, left = data[:left], left - len(data)
                client.sendall(data)
                self.received += len(data)
                if left is not None and left <= 0:
                    break
        _end(server)
        _end(client)


def _end(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
