"""HTTP/1.1 as uvicorn speaks it, but nobody holds a connection for ever: each is one of the files that may be open."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class ImpatientProtocol(H11Protocol):
    """Gives what an idle connection has, and no more, to who does not finish to say what they want, and to who goes on
    sending after they were answered.

    The latter are not cut off at once: they would not see the answer, such as that their file is too large.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    @property
    def _wastes_time(self) -> bool:
        if self.transport.get_protocol() is not self:
            return False  # it has become a WebSocket, which has pings of its own
        answered = self.cycle is None or self.cycle.response_complete
        return answered and self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def _watch(self) -> None:
        """The time runs from the first byte, or from the connection, and what trickles in does not prolong it."""
        if not self._wastes_time:
            self._forget()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.timeout_keep_alive, self._give_up)

    def _give_up(self) -> None:
        self._deadline = None
        if self._wastes_time:
            self.transport.close()

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
