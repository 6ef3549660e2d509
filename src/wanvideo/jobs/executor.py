"""What does the work, as the supervisor sees it: something that is started, told, listened to and killed."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

Message = Mapping[str, Any]  # JSON values; "type" says what it is


class Executor(Protocol):
    """A process that runs one job at a time. It may die at any moment.

    It is told `run`, `cancel`, `unload`, `calibrate`, `probe` and `stop`, and says `ready`, `heartbeat`, `event`,
    `done`, `failed` and `cancelled`; what is in these messages stands in `wanvideo.worker.protocol`.
    """

    @property
    def pid(self) -> int | None: ...

    @property
    def alive(self) -> bool: ...

    @property
    def exitcode(self) -> int | None:
        """Negative: the signal that ended it; None: it runs, or was never started."""

    def start(self) -> None:
        """Start the process and return at once. Raises OSError."""

    def send(self, message: Message) -> None:
        """Hand over a message. Does nothing if the process is gone: that is noticed by `receive`."""

    def receive(self, timeout: float) -> Message | None:
        """The next message, after at most `timeout` seconds; None: there was none, or the process is gone."""

    def kill(self) -> None:
        """End it with all that it started, and wait until it is gone."""


MakeExecutor = Callable[[], Executor]
