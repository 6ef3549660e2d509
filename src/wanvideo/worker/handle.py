"""A worker as the server holds it: a process of its own session, two pipes, and a thread that reads. No torch."""

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO, Final

from wanvideo.jobs.executor import Message
from wanvideo.worker.protocol import BrokenPipe, read_message, write_message
from wanvideo.worker.settings import WorkerSettings

# -P: what lies in the folder that the server was started in is not imported.
COMMAND: Final = (sys.executable, "-P", "-m", "wanvideo.worker")
_SECRET: Final = re.compile("TOKEN|SECRET|PASSWORD|API_KEY")  # environment variables that a worker has no use for
END_SECONDS: Final = 2.0  # that a worker gets to end after it has closed its pipe


class WorkerHandle:
    """See `wanvideo.jobs.executor.Executor`."""

    def __init__(self, settings: WorkerSettings, *, log: Path | None = None, command: Sequence[str] = COMMAND) -> None:
        """log: where the worker's own output goes, what crashes print included; by default to ours."""
        self.settings, self.log, self.command = settings, log, tuple(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._to: BinaryIO | None = None
        self._said: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._reader: threading.Thread | None = None
        self._writing = threading.Lock()

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def alive(self) -> bool:
        """Also while there is still to be read what it said before it ended."""
        if self._process is None:
            return False
        if self._process.poll() is None or not self._said.empty():
            return True
        return self._reader is not None and self._reader.is_alive()

    @property
    def exitcode(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        try:
            with contextlib.ExitStack() as files:
                output: IO[Any] | None = None if self.log is None else files.enter_context(self.log.open("ab"))
                self._process = subprocess.Popen(
                    [*self.command, str(theirs_in), str(theirs_out)],
                    pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                    env={name: value for name, value in os.environ.items() if not _SECRET.search(name)},
                    # A session of its own: Ctrl-C in a terminal is for the server, and all that it starts can be ended.
                    start_new_session=True,
                )  # fmt: skip
        except OSError:
            os.close(ours_in)
            os.close(ours_out)
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        self._to = os.fdopen(ours_out, "wb")
        self._reader = threading.Thread(target=self._read, args=(os.fdopen(ours_in, "rb"),), daemon=True)
        self._reader.start()
        self.send({"type": "begin", "settings": self.settings.to_json()})

    def send(self, message: Message) -> None:
        with self._writing, contextlib.suppress(BrokenPipe):
            if self._to is not None:
                write_message(self._to, message)

    def receive(self, timeout: float) -> Message | None:
        try:
            return self._said.get(timeout=timeout) if timeout > 0 else self._said.get_nowait()
        except queue.Empty:
            return None

    def kill(self) -> None:
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if self._reader is not None:
            self._reader.join(5.0)
        with self._writing:
            if self._to is not None:
                with contextlib.suppress(OSError):
                    self._to.close()
                self._to = None
        while self.receive(0.0) is not None:
            pass

    def _read(self, pipe: BinaryIO) -> None:
        with pipe, contextlib.suppress(BrokenPipe):
            while True:
                self._said.put(read_message(pipe))
        self._end()

    def _end(self) -> None:
        """Nothing can be heard from it any more: it has ended, or will not by itself."""
        process = self._process
        assert process is not None
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
