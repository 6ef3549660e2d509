"""Processes that compute one thing together: started, watched and ended together. No torch."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, Final

from wanvideo.parallel.verdict import Ending, verdict
from wanvideo.parallel.watch import PATIENCE, SILENCE, Watched, hanging
from wanvideo.parallel.wire import Blob, Gone, Message

LOOK_SECONDS: Final = 0.5
AWAY: Final = 5.0  # seconds without a look, after which it is this process that was held up
GRACE: Final = 2.0  # seconds that the others have to say what happened to them, after the first has
# All ranks are on this host, so nothing listens to the network. Multicast over NVLink helps no exchange of ours.
_ENVIRONMENT: Final = {
    "GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo", "NCCL_NVLS_ENABLE": "0", "TORCH_NCCL_DUMP_ON_TIMEOUT": "0",
}  # fmt: skip


class _Member:
    """One rank, as its starter holds it."""

    def __init__(self, rank: int, device: str, command: Sequence[str], board: int) -> None:
        self.rank, self.device = rank, device
        self.pipe, theirs = Pipe()
        with theirs:
            self.process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                pass_fds=(theirs.fileno(), board), stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(),
                env={**_ENVIRONMENT, **os.environ},
                start_new_session=True,  # Ctrl-C in a terminal is for the starter, which ends all of them
            )  # fmt: skip
        self.ended = os.pidfd_open(self.process.pid)
        self.watched = Watched.starting(time.monotonic())
        self.last: Message | None = None  # that it failed, or lost the others
        self.hangs = False

    @property
    def is_stopped(self) -> bool:
        """Whether its process is, by a signal: nothing that is only slow is."""
        with contextlib.suppress(ChildProcessError):
            return os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
        return False

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def end(self) -> None:
        self.kill()
        self.process.wait()
        self.pipe.close()
        os.close(self.ended)

    @property
    def ending(self) -> Ending:
        code = self.process.poll()
        return Ending(rank=self.rank, device=self.device, last=self.last, exitcode=code, hangs=self.hangs)

    @property
    def trouble(self) -> bool:
        return self.hangs or self.last is not None or self.process.poll() is not None


class RankGroup:
    """As many processes as there are devices. If one ends, fails or hangs, all are ended, and an error names it."""

    def __init__(
        self,
        command: Sequence[str],
        devices: Sequence[str],
        begin: dict[str, Any],
        *,
        patience: float = PATIENCE,
        silence: float = SILENCE,
    ) -> None:
        """command: runs `post.take_part` with the number of a socket, its last argument.

        begin: what all are started with. patience: seconds that a rank may be behind others without going on; more
        where steps take long, see `watch.PACE`. silence: seconds that nothing may be heard of one.
        """
        self.patience, self.silence = patience, silence
        self._folder = tempfile.mkdtemp(prefix="wanvideo-ranks-")
        self._members: list[_Member] = []
        self._board: int | None = os.memfd_create("wanvideo-board")  # for the ranks: see `board`
        try:
            for rank, device in enumerate(devices):
                self._members.append(_Member(rank, device, command, self._board))
            # The system takes a thread for the parent: only the main one lives as long as the process.
            main = threading.current_thread() is threading.main_thread()
            starter = os.getpid() if main else None
            same = {"size": len(devices), "folder": self._folder, "board": self._board, "starter": starter}
            for member in self._members:
                place = {"rank": member.rank, "device": member.device, **same}
                self._tell(member, Message("begin", {**begin, **place}))
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> list[int]:
        """Of the ranks that there are."""
        return [member.process.pid for member in self._members]

    def tell(self, kind: str, values: dict[str, Any] | None = None, blobs: Sequence[Blob] = ()) -> None:
        """Say the same to all. Who cannot hear it any more is noticed by `hear`."""
        for member in self._members:
            self._tell(member, Message(kind, values or {}, tuple(blobs)))

    def begin_anew(self) -> None:
        """The next steps may take longer than the last ones: something else is computed."""
        for member in self._members:
            member.watched.begin_anew()

    def hear(self) -> tuple[int, Message]:
        """What a rank says next. Raises RankFailed or the error that a rank had; then all have ended."""
        self._listen_anew()
        looked = time.monotonic()
        while True:
            heard = self._heard(LOOK_SECONDS)
            if heard is not None:
                return heard
            now = time.monotonic()
            if now - looked > AWAY:
                self._listen_anew()
            looked = now
            self._look_for_hanging(now)
            if any(member.trouble for member in self._members):
                self._fail()

    def _listen_anew(self) -> None:
        for member in self._members:
            member.watched.listen_anew(time.monotonic())

    def _look_for_hanging(self, now: float) -> None:
        watched = [member.watched for member in self._members]
        for member in self._members:
            since = member.watched.stopped
            member.watched.stopped = (now if since is None else since) if member.is_stopped else None
        found = hanging(watched, now, patience=self.patience, silence=self.silence)
        for member, hangs in zip(self._members, found, strict=True):
            member.hangs = hangs

    def close(self) -> None:
        """End all of them."""
        for member in self._members:  # at once: the GPU of one may wait for that of another
            member.kill()
        for member in self._members:
            member.end()
        self._members.clear()
        if self._board is not None:
            os.close(self._board)
            self._board = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _tell(self, member: _Member, message: Message) -> None:
        with contextlib.suppress(Gone):
            message.send(member.pipe)

    def _heard(self, seconds: float) -> tuple[int, Message] | None:
        """None: nothing that matters, for so long or since somebody ended."""
        talking = {member.pipe: member for member in self._members if not member.pipe.closed and member.last is None}
        ready = wait([*talking, *(m.ended for m in self._members if m.process.returncode is None)], seconds)
        for pipe in ready:
            if not isinstance(pipe, Connection):
                continue
            member = talking[pipe]
            member.watched.heard = time.monotonic()
            try:
                message = Message.receive(pipe)
            except Gone:
                pipe.close()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    member.process.wait(GRACE)
                continue
            if message.kind in ("failed", "lost"):
                member.last = message
            elif message.kind != "alive":
                return member.rank, message
            else:
                member.watched.beat(time.monotonic(), message.values["turns"], waits=message.values["waits"])
        return None

    def _fail(self) -> None:
        """Give the others time to say what happened, if that is not known yet, end all, and raise what did."""
        until = time.monotonic() + GRACE
        while not self._is_certain() and time.monotonic() < until:
            self._heard(0.1)
        endings = [member.ending for member in self._members]
        self.close()
        raise verdict(endings)

    def _is_certain(self) -> bool:
        """Whether nothing that may still be heard could name another cause."""
        if any(member.hangs for member in self._members):
            return True
        # Who has ended may have said why, and it was not read yet.
        ended = [member for member in self._members if member.process.poll() is not None]
        if any(not member.pipe.closed and member.last is None for member in ended):
            return False
        return any(member.ending.died for member in ended) or all(member.trouble for member in self._members)


def python(module: str) -> tuple[str, ...]:
    """The command that runs a module of ours as a rank."""
    return sys.executable, "-m", module
