"""What a user may do to a download while it runs."""

import threading


class Stopped(Exception):
    """The transfer was told to end. Never leaves the download, which says by whom."""


class Control:
    """Pause, go on, cancel: from any thread. Whatever is done, nothing that has arrived is lost."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._paused = False
        self._cancelled = False

    @property
    def paused(self) -> bool:
        return self._paused and not self._cancelled

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def pause(self) -> None:
        """Connections are closed, so that no server waits for us."""
        self._set(paused=True)

    def resume(self) -> None:
        self._set(paused=False)

    def cancel(self) -> None:
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()

    def _set(self, *, paused: bool) -> None:
        with self._changed:
            self._paused = paused
            self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Until the time is over or something has changed."""
        with self._changed:
            self._changed.wait(seconds)


class Gate:
    """The way on for the threads of one download: closed by its user's control, or when another of them has failed."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._closed = threading.Event()

    def close(self) -> None:
        self._closed.set()

    @property
    def interrupted(self) -> bool:
        """Nothing should be transferred now."""
        return self._closed.is_set() or self._control.cancelled or self._control.paused

    def check(self) -> None:
        """Wait while it is paused. Raises Stopped once it is over."""
        while not self._closed.is_set() and self._control.paused:
            self._control.wait(0.1)
        if self._closed.is_set() or self._control.cancelled:
            raise Stopped

    def sleep(self, seconds: float) -> None:
        """Raises Stopped as soon as it is over."""
        while seconds > 0:
            self.check()
            self._closed.wait(min(seconds, 0.1))
            seconds -= 0.1
        self.check()
