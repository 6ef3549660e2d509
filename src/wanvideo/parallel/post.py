"""A rank's side of the pipe to the process that started it."""

import ctypes
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import torch

from wanvideo.errors import WanVideoError
from wanvideo.parallel.ranks import Ranks, joined
from wanvideo.parallel.team import OthersLost, Turns
from wanvideo.parallel.wire import Gone, Message

log = logging.getLogger(__name__)

BEAT_SECONDS: Final = 0.5
_PARENT_DEATH_SIGNAL: Final = 1  # of prctl
ORPHANED: Final = 71  # the exit code of a rank whose starter is gone


class Post:
    """Orders as they come, and what is said in return; sent by a thread, so that who says it need not wait."""

    def __init__(self, pipe: Connection) -> None:
        self.turns = Turns()  # told with every heartbeat
        self._pipe = pipe
        self._given: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._outgoing: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._quiet = threading.Event()
        self._sender = threading.Thread(target=self._send, name="reports", daemon=True)
        self._sender.start()
        for work in (self._listen, self._beat):
            threading.Thread(target=work, daemon=True).start()

    def order(self) -> Message:
        """The next one."""
        return self._given.get()

    def say(self, message: Message) -> None:
        self._outgoing.put(message)

    def close(self) -> None:
        """Once everything is sent."""
        self._quiet.set()
        self._outgoing.put(None)
        self._sender.join()

    def _listen(self) -> None:
        """Until the starter is gone: then there is nobody to work for, whatever this process is waiting for."""
        try:
            while True:
                self._given.put(Message.receive(self._pipe))
        except Gone:
            os._exit(ORPHANED)

    def _send(self) -> None:
        try:
            while (message := self._outgoing.get()) is not None:
                message.send(self._pipe)
        except Gone:
            os._exit(ORPHANED)

    def _beat(self) -> None:
        while not self._quiet.wait(BEAT_SECONDS):
            self.say(Message("alive", {"turns": self.turns.count, "waits": self.turns.waits}))


def take_part(pipe: int, work: Callable[[Ranks, Post, Message], None]) -> None:
    """The life of a rank: join the others, do the work, and say what went wrong. Ends the process.

    pipe: the number of an open socket. work: is given what the group was started with.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    post = Post(Connection(pipe))
    begin = post.order()
    place = begin.values
    if (starter := place["starter"]) is not None:
        end_with(starter)
    try:
        device, folder = torch.device(place["device"]), Path(place["folder"])
        with joined(place["rank"], place["size"], device, folder, place["board"], post.turns) as ranks:
            work(ranks, post, begin)
    except Exception as error:  # whatever it is, the starter has to know
        log.debug("rank %d failed", place["rank"], exc_info=True)
        post.say(report(error))
        post.close()
        os._exit(1)  # without goodbye to the others, who may not answer any more
    post.close()


def end_with(starter: int) -> None:
    """Let the system end this process with its parent, even if it is stopped then (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != starter:  # it was gone before that
            os._exit(ORPHANED)


def report(error: Exception) -> Message:
    """What went wrong, as values."""
    match error:
        case OthersLost():
            return Message("lost", {"message": str(error)})
        case WanVideoError():
            known = {"suggestions": list(error.suggestions), "facts": error.facts}
            return Message("failed", {"error": type(error).__name__, "message": error.message, **known})
    return Message("failed", {"error": None, "message": f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"})
