"""Kill a download again and again until it is done, and count the bytes that came over the line.

    python -m tests.hub.cuts --megabytes 256 --cuts 200

Every life of the downloader is a process of its own, ended by SIGKILL after a random number of bytes; in every third
one, the server breaks all connections some time before that.
"""

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.hub.loopback import Drop, LoopbackHub, running_hub
from tests.hub.scene import contents, snapshot

REPO: Final = "Wan-AI/Cut"
SRC: Final = Path(__file__).parents[2] / "src"

# What a process that dies was doing: all of the product, with pauses and segments to the size of the test.
LIFE: Final = """
import json, sys
from pathlib import Path
from wanvideo.weights.download.run import download
from wanvideo.weights.download.plan import plan_download
from wanvideo.weights.download.hub import Hub
from wanvideo.weights.download.transfer import Options, Patience
from wanvideo.weights.variants import RemoteFiles

job = json.loads(sys.argv[1])
wanted = [RemoteFiles(repo_id=job["repo_id"], paths=("part/*",))]
options = Options(
    patience=Patience(attempts=20, first_seconds=0.01, longest_seconds=0.05), segment_bytes=job["segment_bytes"]
)
plan = plan_download(wanted, Hub(endpoint=job["endpoint"]), Path(job["cache"]))
print("ready", flush=True)
for _ in download(plan, options=options):
    pass
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What it took."""

    kills: int
    drops: int
    total_bytes: int
    sent_bytes: int
    seconds: float
    right: bool  # every file has the right hash

    @property
    def ratio(self) -> float:
        return self.sent_bytes / self.total_bytes


def cut(hub: LoopbackHub, cache: Path, *, nbytes: int, cuts: int, seed: int, bytes_per_second: float) -> Outcome:
    """Download `nbytes` in four files with `cuts` kills, spread over all of it."""
    chance = random.Random(seed)
    sizes = [nbytes // 2, nbytes // 4, nbytes // 8, nbytes - nbytes // 2 - nbytes // 4 - nbytes // 8]
    files = {f"part/{i}.safetensors": random.Random(i).randbytes(size) for i, size in enumerate(sizes)}
    hub.add(REPO, files)
    hub.bytes_per_second = bytes_per_second
    job = {"repo_id": REPO, "endpoint": hub.endpoint, "cache": str(cache), "segment_bytes": max(nbytes // 64, 1)}
    command = [sys.executable, "-c", LIFE, json.dumps(job)]
    began, kills = time.monotonic(), 0
    while True:
        left = max(nbytes - hub.sent_bytes, 0)
        lives = max(cuts - kills, 0)
        life = chance.uniform(0, 2 * left / (lives + 1)) if lives else float("inf")
        if lives % 3 == 0:
            hub.fail("*", *[Drop(after=chance.randrange(max(nbytes // 500, 1))) for _ in range(4)])
        if _live(hub, command, life):
            break
        kills += 1
    expected = {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}
    found = {path: hashlib.sha256(data).hexdigest() for path, data in contents(snapshot(hub, cache, REPO)).items()}
    return Outcome(
        kills=kills,
        drops=hub.faults,
        total_bytes=nbytes,
        sent_bytes=hub.sent_bytes,
        seconds=time.monotonic() - began,
        right=found == expected,
    )


def _live(hub: LoopbackHub, command: list[str], life: float) -> bool:
    """Whether the process came to its end before it was killed, after `life` bytes."""
    before = hub.sent_bytes
    environment = {"PYTHONPATH": str(SRC), "PATH": ""}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        while process.poll() is None:
            if hub.sent_bytes - before >= life:
                process.send_signal(signal.SIGKILL)
                process.wait()
                return False
            time.sleep(0.002)
        assert process.returncode == 0
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0.3, help="MB/s of each connection")
    chosen = parser.parse_args()
    with running_hub() as hub, tempfile.TemporaryDirectory() as cache:
        outcome = cut(
            hub,
            Path(cache),
            nbytes=chosen.megabytes << 20,
            cuts=chosen.cuts,
            seed=chosen.seed,
            bytes_per_second=chosen.rate * 1e6,
        )
    verdict = "right" if outcome.right else "WRONG"
    sys.stdout.write(
        f"{outcome.kills} kills and {outcome.drops} drops, {outcome.sent_bytes} of {outcome.total_bytes} bytes sent "
        f"({outcome.ratio:.4f} times), {outcome.seconds:.0f} s, hashes {verdict}\n"
    )


if __name__ == "__main__":
    main()
