"""Strangers' files are opened in a process of their own, which may crash, hang or be taken over, and is then gone.

    python -m wanvideo.server.sandbox image IN OUT      re-encode a picture to an upright 8-bit RGB PNG
    python -m wanvideo.server.sandbox settings IN       read what a video or picture was made with

One JSON object on stdout says how it went. The child limits itself before it looks at the file: memory, processor time,
the size of what it writes, no further processes. It inherits no environment and no open files.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from wanvideo.errors import ImageTooLarge, InvalidImage, InvalidMedia, InvalidRequest, WanVideoError

MEMORY: Final = 2 * 2**30  # bytes of address space; libraries alone take a third of it
CPU_SECONDS: Final = 20
WALL_SECONDS: Final = 30.0
WRITTEN: Final = 256 * 2**20  # bytes
_ANSWER: Final = 1 << 20  # bytes of the child's answer that are read


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture that was re-encoded."""

    width: int  # pixels
    height: int


def reencode(source: Path, target: Path) -> Picture:
    """Make a clean PNG of what may be a picture. Blocks for some tenths of a second. Raises InvalidImage."""
    answer = _ask(["image", str(source), str(target)], InvalidImage, "the image")
    return Picture(width=int(answer["width"]), height=int(answer["height"]))


def read_media(source: Path) -> Mapping[str, Any]:
    """What a video or picture is, and the settings inside. Raises InvalidMedia."""
    return _ask(["settings", str(source)], InvalidMedia, "the file")


def _ask(arguments: Sequence[str], error: type[InvalidRequest], what: str) -> Mapping[str, Any]:
    command = [sys.executable, "-m", __name__, *arguments]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=WALL_SECONDS,
            check=False,
            env={"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise error(f"{what} takes too long to read: save it again with another program") from None
    try:
        answer = json.loads(done.stdout[:_ANSWER])
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or ("error" not in answer and done.returncode != 0):
        raise error(f"{what} cannot be read: it is damaged, or made to do harm; save it again with another program")
    if "error" in answer:
        kind = ImageTooLarge if answer.get("code") == ImageTooLarge.code else error
        # The child speaks of the file by the name that we gave it.
        raise kind(str(answer["error"]).replace(arguments[1], what).replace(Path(arguments[1]).name, what))
    return answer


# --- in the child ----------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str]) -> int:
    limit_myself()
    try:
        if arguments[0] == "image":
            answer = _reencode(Path(arguments[1]), Path(arguments[2]))
        else:
            answer = _read(Path(arguments[1]))
    except WanVideoError as error:
        answer = {"error": error.message, "code": error.code}
    sys.stdout.write(json.dumps(answer, allow_nan=False))
    return 0


def limit_myself() -> None:
    """For good: a process cannot raise these limits again."""
    import resource

    for what, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_FSIZE, WRITTEN),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(what, (most, most))


def _reencode(source: Path, target: Path) -> dict[str, object]:
    from wanvideo.media.image import load_image

    picture = load_image(source)
    picture.save(target, format="PNG", compress_level=1)
    return {"width": picture.width, "height": picture.height}


def _read(source: Path) -> dict[str, object]:
    from wanvideo.media.info import read_settings

    info = read_settings(source)
    return {
        "width": info.width,
        "height": info.height,
        "frames": info.frames,
        "fps": info.fps,
        "seconds": info.seconds,
        "codec": info.codec,
        "settings": None if info.settings is None else dict(info.settings),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
