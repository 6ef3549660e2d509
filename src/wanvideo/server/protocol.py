"""HTTP/1.1 as uvicorn speaks it, but the head of a request gets no more time than an idle connection has."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class ImpatientProtocol(H11Protocol):
    """Ends connections that never finish, or never begin, to say what they want: each takes one of the open files."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._until_head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """The time runs from the first byte, or from the connection, and what trickles in does not prolong it."""
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._until_head is None:
            self._until_head = self.loop.call_later(self.timeout_keep_alive, self._give_up)

    def _give_up(self) -> None:
        self._until_head = None
        if self.conn.their_state is h11.IDLE and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()

    def _forget(self) -> None:
        if self._until_head is not None:
            self._until_head.cancel()
            self._until_head = None
