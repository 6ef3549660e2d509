"""The worker's side: listens for orders on one thread, beats on another, and makes videos on the first."""

import logging
import os
import queue
import threading
import time
from collections.abc import Mapping
from typing import Any, BinaryIO, Final

from wanvideo.failure import failure_of, is_sticky
from wanvideo.worker.protocol import BrokenPipe, read_message, write_message
from wanvideo.worker.settings import WorkerSettings

log = logging.getLogger(__name__)

BEAT_SECONDS: Final = 1.0
USELESS: Final = 70  # the exit code of a process that cannot use its GPU any more


class Mailbox:
    """Orders as they come, and reports as they are made; both from any thread."""

    def __init__(self, orders: BinaryIO, reports: BinaryIO) -> None:
        self._orders, self._reports = orders, reports
        self._writing = threading.Lock()
        self._given: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._cancelled: set[tuple[str, int]] = set()
        self.closed = threading.Event()

    def listen(self) -> None:
        """On a thread of its own, until the server is gone: then the worker has nobody to work for."""
        try:
            while True:
                message = read_message(self._orders)
                if message["type"] == "cancel":
                    self._cancelled.add((message["job"], message["attempt"]))
                else:
                    self._given.put(message)
        except BrokenPipe:
            self.closed.set()
            self._given.put(None)

    def order(self) -> dict[str, Any] | None:
        """The next one; None: there will be none."""
        return self._given.get()

    def say(self, message: Mapping[str, Any]) -> None:
        with self._writing:
            try:
                write_message(self._reports, message)
            except BrokenPipe:
                self.closed.set()

    def is_cancelled(self, job: str, attempt: int) -> bool:
        return (job, attempt) in self._cancelled or self.closed.is_set()


def serve(orders: BinaryIO, reports: BinaryIO) -> int:
    """Work until told to stop; the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    mailbox = Mailbox(orders, reports)
    threading.Thread(target=mailbox.listen, name="orders", daemon=True).start()
    begin = mailbox.order()
    if begin is None or begin["type"] != "begin":
        return 1
    settings = WorkerSettings.from_json(begin["settings"])
    from wanvideo.worker.device import Device
    from wanvideo.worker.warm import WarmModels

    device = Device.of(settings.device)
    models = WarmModels(settings)
    state: dict[str, Any] = {"job": None}
    mailbox.say({"type": "ready", "pid": os.getpid(), **device.about()})
    threading.Thread(target=_beat, args=(mailbox, device, models, state), name="heartbeat", daemon=True).start()
    while (order := mailbox.order()) is not None:
        match order["type"]:
            case "run":
                state["job"] = order["job"]
                if not _run(mailbox, settings, device, models, order):
                    return USELESS
                state["job"] = None
            case "unload":
                models.free()
            case "probe":
                began = time.monotonic()
                mailbox.say({"type": "probed", "ok": device.probe(), "seconds": time.monotonic() - began})
            case "stop":
                break
    models.free()
    return 0


def _beat(mailbox: Mailbox, device: Any, models: Any, state: Mapping[str, Any]) -> None:
    while not mailbox.closed.wait(BEAT_SECONDS):
        mailbox.say({"type": "heartbeat", "job": state["job"], "loaded": models.names(), **device.memory()})


def _run(mailbox: Mailbox, settings: WorkerSettings, device: Any, models: Any, order: Mapping[str, Any]) -> bool:
    """One job, whatever comes of it. False: the process can do no more."""
    from wanvideo.errors import Cancelled
    from wanvideo.worker.attempt import Attempt

    mine = {"job": order["job"], "attempt": order["attempt"]}
    attempt = Attempt(
        order, settings, device, models,
        tell=lambda event: mailbox.say({"type": "event", **mine, "event": dict(event)}),
        cancelled=lambda: mailbox.is_cancelled(order["job"], order["attempt"]),
    )  # fmt: skip
    try:
        result = attempt.run()
    except Cancelled:
        models.settle()
        mailbox.say({"type": "cancelled", **mine})
    except Exception as error:  # the loop of a worker: everything that can go wrong becomes the failure of one job
        log.exception("job %s failed", order["job"])
        found = failure_of(
            error, phase=attempt.phase, model=attempt.model, kept=attempt.kept, suggestions=attempt.remedies(error)
        )
        mailbox.say({"type": "failed", **mine, "failure": found.to_json()})
        if is_sticky(error):
            return False
        models.free()
    else:
        mailbox.say({"type": "done", **mine, "result": result})
    return True
