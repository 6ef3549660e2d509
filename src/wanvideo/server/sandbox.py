"""Strangers' files are opened in a process of their own, which may crash, hang or be taken over, and is then gone.

What it may do is in `sandboxed`, which it runs. It inherits no environment and no open files.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from wanvideo.errors import InvalidImage, InvalidMedia, InvalidRequest
from wanvideo.server import sandboxed
from wanvideo.server.errors import NotReady
from wanvideo.server.sandboxed import Limits

CHILDREN: Final = 4  # at the same time
PATIENCE: Final = 30.0  # seconds that a file waits for one of them
_ANSWER: Final = 1 << 20  # bytes of the child's answer that are read


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture that was re-encoded."""

    width: int  # pixels
    height: int


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Starts the children, so many at a time. Each blocks its caller for some tenths of a second."""

    limits: Limits = field(default_factory=Limits)
    patience: float = PATIENCE
    free: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(CHILDREN))

    def reencode(self, source: Path, target: Path) -> Picture:
        """Make a clean PNG of what may be a picture. Raises InvalidImage and its kinds, or NotReady."""
        target.touch(0o600)  # the child may write to it, and make no other
        answer = self._ask(["image", str(source), str(target)], InvalidImage, "the image")
        return Picture(width=int(answer["width"]), height=int(answer["height"]))

    def read_media(self, source: Path) -> Mapping[str, Any]:
        """What a video or picture is, and the settings inside. Raises InvalidMedia or NotReady."""
        return self._ask(["settings", str(source)], InvalidMedia, "the file")

    def _ask(self, arguments: Sequence[str], error: type[InvalidRequest], what: str) -> Mapping[str, Any]:
        try:
            code, output = self._run(arguments)
        except subprocess.TimeoutExpired:
            raise error(f"{what} takes too long to read: save it again with another program") from None
        try:
            answer = json.loads(output[:_ANSWER])
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or ("error" not in answer and code != 0):
            raise error(f"{what} cannot be read: it is damaged, or made to do harm; save it again with another program")
        if "error" in answer:
            kinds = {kind.code: kind for kind in error.__subclasses__()}
            # The child speaks of the file by the name that we gave it.
            said = str(answer["error"]).replace(arguments[1], what).replace(Path(arguments[1]).name, what)
            raise kinds.get(str(answer.get("code")), error)(said)
        return answer

    def _run(self, arguments: Sequence[str]) -> tuple[int, bytes]:
        """Exit code and output. Raises NotReady, and TimeoutExpired of a child that was killed."""
        if not self.free.acquire(timeout=self.patience):
            raise NotReady("too many files are being read: try again in a moment")
        try:
            done = subprocess.run(
                # -P: nothing is imported from the folder that the server was started in.
                [sys.executable, "-P", "-m", sandboxed.__name__, json.dumps(asdict(self.limits)), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=self.limits.wall_seconds,
                check=False,
                cwd="/",
                env={"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(os.path.isabs, sys.path))},
                start_new_session=True,
            )
        finally:
            self.free.release()
        return done.returncode, done.stdout
