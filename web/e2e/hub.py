"""A hub on this computer that has one small model, until stdin ends; its address goes to stdout.

Each line of stdin says how many bytes a second a connection gets from now on.

The model is the demo of TI2V-5B in the layout of the released one, so its files are real ones.
"""

import sys
from pathlib import Path
from typing import Final

from tests.hub.loopback import running_hub
from wanvideo.weights.places import DEMO_FOLDER

REPOSITORY: Final = "Wan-AI/Wan2.2-TI2V-5B-Diffusers"
BYTES_PER_SECOND: Final = 100_000  # at first: half a minute, in which one can pause


def files() -> dict[str, bytes]:
    """By their names in the repository."""
    roots: tuple[Path, ...] = (DEMO_FOLDER / "ti2v-5B-demo", DEMO_FOLDER / "shared")
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for root in reversed(roots)
        for path in root.rglob("*")
        if path.is_file()
    }


with running_hub() as hub:
    hub.bytes_per_second = BYTES_PER_SECOND
    hub.add(REPOSITORY, files())
    sys.stdout.write(f"{hub.endpoint}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        hub.bytes_per_second = float(line)
