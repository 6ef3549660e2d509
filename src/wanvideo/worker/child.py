"""The worker's side: listens for orders on one thread, beats on another, and makes videos on the first."""

import logging
import os
import queue
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from wanvideo.errors import Cancelled, InvalidRequest
from wanvideo.failure import failure_of, is_sticky
from wanvideo.runtime.calibration import measure_calibration, save_calibration, usual_calibration_file
from wanvideo.runtime.hardware import this_machine
from wanvideo.worker.frames import drop_frames
from wanvideo.worker.protocol import BrokenPipe, read_message, write_message
from wanvideo.worker.settings import WorkerSettings

if TYPE_CHECKING:
    from wanvideo.worker.device import Device

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

    def forget(self, job: str, attempt: int) -> None:
        """A job has ended: whether it was cancelled is of no more interest."""
        self._cancelled.discard((job, attempt))

    def is_cancelled(self, job: str, attempt: int) -> bool:
        return (job, attempt) in self._cancelled or self.closed.is_set()


class Pulse:
    """Says every second that the process lives, from its start on: also while PyTorch or a model is loaded."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self.job: str | None = None
        self.measure: Callable[[], Mapping[str, Any]] = dict  # until there is something to measure

    def beat(self) -> None:
        """On a thread of its own, until the server is gone."""
        while not self._mailbox.closed.is_set():
            self.tell()
            self._mailbox.closed.wait(BEAT_SECONDS)

    def tell(self) -> None:
        """Once. What cannot be measured now is left out."""
        self._mailbox.say({"type": "heartbeat", "job": self.job, "loaded": [], **self._measured()})

    def _measured(self) -> Mapping[str, Any]:
        try:
            return self.measure()
        except Exception:  # of a GPU that failed, or anything else: a worker that is silent would be taken for hung
            log.exception("the memory cannot be measured")
            return {}


def serve(orders: BinaryIO, reports: BinaryIO) -> int:
    """Work until told to stop; the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    mailbox = Mailbox(orders, reports)
    threading.Thread(target=mailbox.listen, name="orders", daemon=True).start()
    pulse = Pulse(mailbox)
    threading.Thread(target=pulse.beat, name="heartbeat", daemon=True).start()
    begin = mailbox.order()
    if begin is None or begin["type"] != "begin":
        return 1
    settings = WorkerSettings.from_json(begin["settings"])
    try:
        from wanvideo.worker.device import Device

        device = Device.of(settings.devices[0])
        device.probe()
        about = device.about()
    except Exception as error:  # whatever it is, the server has to know
        log.exception("the worker does not start")
        mailbox.say({"type": "broken", "failure": failure_of(error).to_json()})
        return USELESS
    mailbox.say({"type": "ready", "pid": os.getpid(), **about})
    return _Work(mailbox, settings, device, pulse).go_on()


class _Work:
    """Takes orders, one after the other."""

    def __init__(self, mailbox: Mailbox, settings: WorkerSettings, device: "Device", pulse: Pulse) -> None:
        from wanvideo.worker.warm import WarmModels

        self.mailbox, self.settings, self.device, self.pulse = mailbox, settings, device, pulse
        self.models = WarmModels(settings.library, device.room, settings.rank_patience)
        pulse.measure = lambda: {"loaded": self.models.names(), **device.memory()}
        pulse.tell()  # so that the first step of the first job shows memory, however short it is

    def go_on(self) -> int:
        """Until there are no more orders; the exit code."""
        while (order := self.mailbox.order()) is not None:
            works = True
            match order["type"]:
                case "run":
                    self.pulse.job = order["job"]
                    works = self._run(order)
                    self.mailbox.forget(order["job"], order["attempt"])
                    self.pulse.job = None
                case "unload":
                    self.models.free()
                case "calibrate":
                    works = self._calibrate()
                case "probe":
                    works = self._probe()
                case "stop":
                    break
            if not works:
                return USELESS
        self.models.free()
        return 0

    def _probe(self) -> bool:
        """Whether the process can still use its device."""
        try:
            seconds = self.device.probe()
        except Exception as error:  # whatever it is, the server has to know
            log.exception("the probe failed")
            self.mailbox.say({"type": "probed", "ok": False, "failure": failure_of(error).to_json()})
            return not is_sticky(error)
        self.mailbox.say({"type": "probed", "ok": True, "seconds": seconds})
        return True

    def _calibrate(self) -> bool:
        """Measure the device, with the memory of the models given back first."""
        self.models.free()
        machine = this_machine(str(self.device.device))
        try:
            measured = measure_calibration(machine)
        except Exception as error:  # a device that fails while it is measured may still make videos
            log.exception("the device could not be measured")
            return not is_sticky(error)
        if measured.measured:
            save_calibration(usual_calibration_file(), machine, measured)
        log.info("the device was %s", measured.origin)
        return True

    def _run(self, order: Mapping[str, Any]) -> bool:
        """One job, whatever comes of it. False: the process can do no more."""
        from wanvideo.worker.attempt import Attempt, is_of_one_rank

        job, mine = order["job"], {"job": order["job"], "attempt": order["attempt"]}
        attempt: Attempt | None = None
        try:
            attempt = Attempt(
                order, self.settings, self.device, self.models,
                tell=lambda event: self.mailbox.say({"type": "event", **mine, "event": dict(event)}),
                cancelled=lambda: self.mailbox.is_cancelled(job, order["attempt"]),
            )  # fmt: skip
            result = attempt.run()
        except Exception as error:  # the loop of a worker: everything that can go wrong becomes the end of one job
            if not isinstance(error, Cancelled):
                log.exception("job %s failed", job)
            ended = error
        else:
            self.mailbox.say({"type": "done", **mine, "result": result})
            return True
        works = not is_sticky(ended)
        if works:
            self._give_back(ended)
        if isinstance(ended, Cancelled):
            self.mailbox.say({"type": "cancelled", **mine})
        else:
            found = failure_of(ended) if attempt is None else attempt.failure(ended, gpu_works=works)
            self.mailbox.say({"type": "failed", **mine, "failure": found.to_json(), "again": is_of_one_rank(ended)})
        return works

    def _give_back(self, error: Exception) -> None:
        """The memory of a job that ended early. Models stay, unless they may be what is wrong, or in the way."""
        drop_frames(error)
        if isinstance(error, Cancelled | InvalidRequest):
            self.models.settle()
        else:
            self.models.free()
