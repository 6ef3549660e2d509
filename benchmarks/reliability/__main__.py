"""Prove what the server promises: `make proof ARGS="kills --n 400"`.

    python -m benchmarks.reliability NAME --n 200 --resume build/reliability.jsonl
    python -m benchmarks.reliability report --resume build/reliability.jsonl --report docs/reliability.md

Every trial is a line of the file as soon as it is over, and a run that is interrupted goes on with the next one. The
report is made from all lines. Several runs may share the trials of a proof, each with a file of its own, to be put
together for the report: `--first 50 --n 50` is the second half of 100. Exits with 1 if a promise was broken.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from benchmarks.reliability import (
    actors,
    contract,
    faults,
    kills,
    load,
    machines,
    mutations,
    network,
    overhead,
    power,
    restarts,
    serial,
    sockets,
)  # fmt: skip
from benchmarks.reliability.record import Record, Row, Tell
from benchmarks.reliability.report import written


class Proof(Protocol):
    """A module that tries something many times."""

    USUAL: int  # trials, if nobody says how many

    def run(self, trials: range, tell: Tell) -> None: ...

    def rows(self, lines: Sequence[Mapping[str, Any]]) -> list[Row]: ...


PROOFS: Final[Mapping[str, Proof]] = {
    "load": load,
    "kills": kills,
    "contract": contract,
    "faults": faults,
    "power": power,
    "mutations": mutations,
    "sockets": sockets,
    "serial": serial,
    "overhead": overhead,
    "machines": machines,
    "restarts": restarts,
    "network": network,
    "ray": actors,
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=[*PROOFS, "report"])
    parser.add_argument("--n", type=int, help="trials, those of earlier runs of the same file included")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first one")
    parser.add_argument("--resume", type=Path, default=Path("build/reliability.jsonl"), metavar="FILE")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the figures into this page")
    options = parser.parse_args(arguments)
    record = Record(options.resume)
    if options.name != "report":
        proof = PROOFS[options.name]
        done, first = len(record.lines(options.name)), options.first
        trials = range(first + done, first + (options.n or proof.USUAL))
        if trials:
            proof.run(trials, lambda values: record.add(options.name, values))
    found = {name: (proof, record.lines(name)) for name, proof in PROOFS.items()}
    sections = {name: (proof, proof.rows(lines)) for name, (proof, lines) in found.items() if lines}
    if options.report is not None:
        options.report.write_text(
            written(options.report.read_text("utf-8"), {n: rows for n, (_, rows) in sections.items()}), encoding="utf-8"
        )
    chosen = {n: rows for n, (_, rows) in sections.items() if options.name in (n, "report")}
    for rows in chosen.values():
        for row in rows:
            print(f"{'' if row.kept else 'BROKEN: '}{row.what}: {row.figure}{f' ({row.goal})' if row.goal else ''}")
    return 0 if all(row.kept for rows in chosen.values() for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
