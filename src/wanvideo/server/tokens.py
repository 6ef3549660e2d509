"""How many tokens a prompt has, counted by a process of its own: the tokenizer belongs to the engine.

One process serves one tokenizer, and is replaced when another model is asked about.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from wanvideo.errors import ModelMissing
from wanvideo.families.protocol import InstalledModel
from wanvideo.families.wan import WanModel
from wanvideo.server.errors import NotReady

PATIENCE: Final = 20.0  # seconds for an answer; a tokenizer of 16 MB is read first


@dataclass(frozen=True, slots=True)
class Count:
    tokens: int
    limit: int  # that the model uses; the rest is cut


@dataclass(slots=True)
class TokenCounter:
    """Thread-safe; blocks its caller for some milliseconds, and for seconds when a tokenizer is read first."""

    _child: "_Child | None" = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, model: InstalledModel, prompt: str) -> Count:
        """Raises ModelMissing if the model has no tokenizer here, NotReady if it cannot be used."""
        if not isinstance(model, WanModel):
            raise ModelMissing(f"{model.entry.id} does not say how it counts tokens")
        path = model.folder.tokenizer
        with self._lock:
            if self._child is None or self._child.path != path or not self._child.lives():
                self._stop()
                self._child = _Child(path)
            try:
                return self._child.ask(prompt)
            except queue.Empty:
                self._stop()
                raise NotReady("tokens cannot be counted: is the engine installed?") from None

    def close(self) -> None:
        with self._lock:
            self._stop()

    def _stop(self) -> None:
        if self._child is not None:
            self._child.stop()
            self._child = None


class _Child:
    """The process, and a thread that reads its answers: an empty one says that it has ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._said: queue.Queue[str] = queue.Queue()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "wanvideo.weights.token_counts", str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            cwd="/",
            env={"PYTHONPATH": os.pathsep.join(filter(os.path.isabs, sys.path)), "PYTHONUTF8": "1"},
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def lives(self) -> bool:
        return self._process.poll() is None

    def ask(self, prompt: str) -> Count:
        """Raises queue.Empty if there is no answer, or none in time."""
        to = self._process.stdin
        assert to is not None
        try:
            to.write(json.dumps(prompt) + "\n")
            to.flush()
        except BrokenPipeError:
            raise queue.Empty from None
        answer = self._said.get(timeout=PATIENCE)
        if not answer:
            raise queue.Empty
        return Count(**json.loads(answer))

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def _read(self) -> None:
        answers = self._process.stdout
        assert answers is not None
        with answers:
            for line in answers:
                self._said.put(line)
        self._said.put("")
