"""The OpenAPI document against the server: schemathesis makes requests from it, alone and in chains, good and bad.

Every line is a run of all its checks with a seed of its own, so that more runs are more cases.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.reliability.record import Row, Tell, at_least, none_of
from benchmarks.reliability.server import running

USUAL: Final = 10  # runs
EXAMPLES: Final = 10  # for each address
CONFIG: Final = Path(__file__).with_name("schemathesis.toml")
# Streams never end, a queue that goes on would make videos of the most absurd settings, and a server whose last worker
# is taken away rightly says 503.
LEFT_OUT: Final = r"/stream$|/queue/resume$|/queue/\{task_id\}/release$|/download$|/system/workers/\{name\}$"
_CASES: Final = re.compile(r"(\d+) (?:test cases )?generated")
_FAILURES: Final = re.compile(r"^ +❌ (.+): (\d+)$", re.MULTILINE)


def run(trials: range, tell: Tell, examples: int = EXAMPLES) -> None:
    for seed in trials:
        with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server:
            with server.client() as client:
                client.post("/api/v1/queue/pause", json={})
            ended = subprocess.run(
                command(server.url, seed, examples),
                capture_output=True,
                text=True,
                check=False,
                cwd=folder,  # where it leaves what it remembers
            )
            assert server.process is not None
            died = server.process.poll() is not None
        tell(
            {
                "seed": seed,
                "died": int(died),
                "exit": ended.returncode,
                **summary(ended.stdout, ended.returncode),
                "said": ended.stdout,
            }
        )


def command(url: str, seed: int, examples: int) -> list[str]:
    return [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", f"{url}/openapi.json",
        "--seed", str(seed), "--checks", "all", "--max-examples", str(examples), "--request-timeout", "60",
        "--continue-on-failure", "--exclude-path-regex", LEFT_OUT, "--no-color", "--generation-database", "none",
    ]  # fmt: skip


def summary(said: str, code: int) -> dict[str, Any]:
    """How many cases there were, and which checks failed how often. code: what schemathesis ended with; 0: none did."""
    cases = _CASES.search(said)
    failed = {name.strip(): int(count) for name, count in _FAILURES.findall(said)}
    if code != 0 and not failed:
        failed = {"something that it does not count": 1}
    return {"cases": int(cases.group(1)) if cases else 0, "failed": failed}


def rows(lines: Sequence[Mapping[str, Any]]) -> list[Row]:
    cases = sum(line["cases"] for line in lines)
    errors = sum(count for line in lines for name, count in line["failed"].items() if "server error" in name.lower())
    others = sum(sum(line["failed"].values()) for line in lines) - errors
    return [
        at_least("cases", cases, 10_000),
        none_of("server errors", errors, cases),
        none_of("breaks of the contract", others, cases),
        none_of("deaths of the server", sum(line["died"] for line in lines), len(lines)),
    ]
