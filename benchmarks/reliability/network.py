"""Machines whose network is cut: each in a network namespace of its own, joined to the others by a bridge.

The database and the storage, which speaks S3, are reached over that bridge alone. Taken off it, a machine hears nothing
and is told nothing: its connections stay as they were, and its worker goes on, until the cut ends.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.reliability.cluster import LEASE_SECONDS, Plan, Scene, checked, postgres, rows_of, scene
from benchmarks.reliability.record import Row, Tell, percentile
from benchmarks.reliability.server import NotReady
from tests.bucket import KEYS, NAME
from tests.bucket import running as bucket_running

USUAL: Final = 50
BRIDGE: Final = "wan-bridge"
HERE: Final = "198.18.0.1"  # of the range for measurements, RFC 2544
NODES: Final = 2
LEAST, MOST = LEASE_SECONDS / 3, LEASE_SECONDS * 5  # seconds of a cut: some are noticed, and some are not


def run(trials: range, tell: Tell) -> None:
    with ExitStack() as closing:
        namespaces = closing.enter_context(network())
        there = closing.enter_context(_scene(namespaces, trials.start))
        for _ in trials:
            tell(_tried(there, namespaces))


def _tried(there: Scene, namespaces: Sequence[str]) -> dict[str, Any]:
    asked = there.submit_some()
    there.until_started(asked[0].job)
    time.sleep(there.chance.uniform(0, there.usual))
    cut = namespaces[there.nodes.index(there.machine_of(asked[0].job))]
    seconds = there.chance.uniform(LEAST, MOST)
    _ip("link", "set", cut, "nomaster")
    time.sleep(seconds)
    _ip("link", "set", cut, "master", BRIDGE)
    return {"cut_seconds": round(seconds, 1), **checked(there, asked)}


@contextmanager
def _scene(namespaces: Sequence[str], chance: int) -> Iterator[Scene]:
    with ExitStack() as closing:
        folder = closing.enter_context(tempfile.TemporaryDirectory(prefix="wan-machines-"))
        server = closing.enter_context(postgres(HERE))
        keys = {**KEYS, "AWS_ENDPOINT_URL": closing.enter_context(bucket_running(HERE))}
        os.environ.update(keys)  # which the storage reads here, too
        plan = Plan(
            root=Path(folder), postgres=server, database=server.create("wan"), storage=f"s3://{NAME}/queue", more=keys
        )
        servers = [plan.server(f"server-{each}") for each in "ab"]
        nodes = [plan.node(each, "ip", "netns", "exec", each) for each in namespaces]
        yield closing.enter_context(scene(plan, servers, nodes, chance))


@contextmanager
def network() -> Iterator[list[str]]:
    """Names of namespaces, each on the bridge by an interface of that name. Raises NotReady where none can be made."""
    names = [f"wan-node-{number}" for number in range(NODES)]
    with ExitStack() as closing:
        _ip("link", "add", BRIDGE, "type", "bridge")
        closing.callback(_ip, "link", "del", BRIDGE)
        _ip("addr", "add", f"{HERE}/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        for number, name in enumerate(names):
            _ip("netns", "add", name)
            closing.callback(_ip, "netns", "del", name)
            _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", name, "master", BRIDGE, "up")
            _ip("-n", name, "addr", "add", f"{HERE.rpartition('.')[0]}.{number + 2}/24", "dev", "eth0")
            for each in ("lo", "eth0"):
                _ip("-n", name, "link", "set", each, "up")
        yield names


def _ip(*arguments: str) -> None:
    found = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        raise NotReady(f"ip {' '.join(arguments)}: {found.stderr.strip()}; this needs root, iproute2 and namespaces")


def rows(lines: Sequence[Mapping[str, Any]]) -> list[Row]:
    cuts = [line["cut_seconds"] for line in lines]
    beyond = sum(cut > LEASE_SECONDS for cut in cuts)
    return [
        Row("cuts", f"{len(cuts)}, of {min(cuts):.1f} to {max(cuts):.1f} s, p50 {percentile(cuts, 50):.1f} s"),
        Row(f"of them longer than the lease of {LEASE_SECONDS} s", str(beyond)),
        *rows_of(lines),
    ]
