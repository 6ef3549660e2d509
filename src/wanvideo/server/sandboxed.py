"""The process that opens strangers' files: what runs here never sees anything else.

    python -m wanvideo.server.sandboxed LIMITS image IN OUT      re-encode a picture to an upright 8-bit RGB PNG
    python -m wanvideo.server.sandboxed LIMITS settings IN       read what a video or picture was made with

One JSON object on stdout says how it went. Before it looks at the file, the process gives up what it could do harm
with, and cannot get it back: memory, processor time, the size of what it writes, further processes and privileges;
where the kernel lets an ordinary user do so, the network; and where there is Landlock, all files but the one that it
reads, the one that it writes, and the code of Python and of system libraries.
"""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wanvideo.errors import WanVideoError

# From <sched.h> and <sys/prctl.h> of Linux.
_NEW_USERS: Final = 0x10000000
_NEW_NETWORK: Final = 0x40000000
_NO_NEW_PRIVILEGES: Final = 38
# Libraries that a decoder may still have to load.
_SYSTEM: Final = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one child."""

    memory: int = 2 * 2**30  # bytes of address space; libraries alone take a third of it
    cpu_seconds: int = 20
    wall_seconds: float = 30.0
    written: int = 256 * 2**20  # bytes of a file


def main(arguments: Sequence[str]) -> int:
    limits, task, *paths = arguments
    confine(Limits(**json.loads(limits)))
    source, *written = map(Path, paths)
    try:
        answer = _reencode(source, *written) if task == "image" else _read(source)
    except WanVideoError as error:
        answer = {"error": error.message, "code": error.code}
    sys.stdout.write(json.dumps(answer, allow_nan=False))
    return 0


def confine(limits: Limits) -> bool:
    """For good. Whether the network is gone as well, which some kernels and containers do not let ordinary users do."""
    import ctypes
    import resource

    os.umask(0o077)
    libc = ctypes.CDLL(None)
    # As nobody in a world of its own, with a network that has not even a loopback: before anything has a thread.
    alone = sys.platform == "linux" and bool(libc.unshare(_NEW_USERS | _NEW_NETWORK) == 0)
    if sys.platform == "linux":
        libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    for what, most in (
        (resource.RLIMIT_AS, limits.memory),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_FSIZE, limits.written),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(what, (most, most))
    return alone


def keep_to(source: Path, *written: Path) -> bool:
    """Give up all other files; called when the decoders of pictures are loaded. Whether the kernel does this."""
    import sysconfig
    from importlib.util import find_spec

    from wanvideo.server.landlock import restrict

    code = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    code += [path for module in list(sys.modules.values()) for path in getattr(module, "__path__", ())]
    videos = find_spec("av")  # which is loaded when there is a video to read
    code += [] if videos is None else videos.submodule_search_locations or ()
    return restrict(read=[source, *map(Path, code), *map(Path, _SYSTEM)], write=written)


def _reencode(source: Path, target: Path) -> dict[str, object]:
    from wanvideo.media.image import load_image

    keep_to(source, target)
    picture = load_image(source)
    picture.save(target, format="PNG", compress_level=1)
    return {"width": picture.width, "height": picture.height}


def _read(source: Path) -> dict[str, object]:
    from wanvideo.media.info import read_settings

    keep_to(source)
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
