"""A worker that computes nothing: what it does with a job stands in the job's prompt. One JSON value a line."""

import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any


def say(**message: Any) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def told(seconds: float) -> dict[str, Any] | None:
    """What is said within so long."""
    if not select.select([sys.stdin], [], [], seconds)[0]:
        return None
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    found: dict[str, Any] = json.loads(line)
    return found


def work(message: dict[str, Any]) -> None:
    mine = {"job": message["job"], "attempt": message["attempt"]}
    what, _, rest = message["spec"]["request"]["prompt"].partition(" ")
    kept = Path(message["folder"]) / "step"

    def event(kind: str, **data: Any) -> None:
        say(type="event", **mine, event={"type": kind, **data})

    event("plan", seconds={"load": 0.1, "denoise": 1.0, "decode": 0.1})
    event("phase", phase="load", step=0, steps=1)
    if what == "crash" or (what == "crash-once" and message["attempt"] == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "hang":
        event("phase", phase="encode", step=0, steps=1)
        time.sleep(600)
    if what == "sticky" and message["attempt"] == 1:
        say(type="failed", **mine, failure={"code": "CUDA_FATAL", "message": "an illegal memory access"})
        time.sleep(600)
    if what == "rank":
        failure = {"code": "RANK_FAILED", "message": "rank 1 of 2 died"}
        say(type="failed", **mine, failure=failure, again=message["attempt"] <= int(rest))
        return
    if what == "fail":
        say(type="failed", **mine, failure={"code": "VRAM_OOM_VAE", "message": "too large"})
        return
    steps = int(rest or 3) if what != "pace" else 3
    first = int(kept.read_text()) if kept.exists() else 0
    for step in range(first, steps):
        asked = told(0.05)
        if asked is not None and asked["type"] == "cancel" and what != "deaf":
            say(type="cancelled", **mine)
            return
        kept.write_text(str(step + 1))
        event("step", phase="denoise", step=step + 1, steps=steps)
        if what == "keep":
            event("checkpoint", step=step + 1, steps=steps)
    pace = float(rest) if what == "pace" else 1.0
    say(type="heartbeat", loaded=[message["spec"]["model"]])
    result = {"file": f"{message['job']}.mp4", "first": first, "pid": os.getpid(), "phases": {"denoise": pace}}
    say(type="done", **mine, result={**result, "memory_limit": message["memory_limit"]})


def main() -> None:
    say(type="ready", pid=os.getpid(), device="none")
    loaded: list[str] = []
    while True:
        message = told(0.5)
        if message is None:
            say(type="heartbeat", loaded=loaded)
        elif message["type"] == "run":
            work(message)
            loaded = [message["spec"]["model"]]
        elif message["type"] == "stop":
            return


if __name__ == "__main__":
    main()
