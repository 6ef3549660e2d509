"""What was measured, one JSON object a line, written as soon as it is known: a run that is killed keeps what it has."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

OURS: Final = "wanvideo"
PEER: Final = "diffusers"


class SkipPart(Exception):
    """This machine or this version of the engine cannot do it; the message is the reason, for the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One row: what ran, who ran it, and its numbers, or why there are none."""

    part: str  # of the benchmark: "forward", "vae", ...
    case: str  # what was done: "a14b-480p", ...
    subject: str  # who did it: "wanvideo exact", "diffusers compiled", "machine"
    numbers: Mapping[str, float] = field(default_factory=dict)  # by a name with its unit: "seconds", "peak_gib"
    note: str = ""
    skipped: str | None = None  # the reason
    failed: bool = False  # it was skipped because it broke

    def to_json(self) -> str:
        values: dict[str, Any] = {"part": self.part, "case": self.case, "subject": self.subject, **self.numbers}
        if self.note:
            values["note"] = self.note
        if self.skipped is not None:
            values |= {"skipped": self.skipped, "failed": self.failed}
        return json.dumps(values)

    @classmethod
    def from_json(cls, line: str) -> "Result":
        values = json.loads(line)
        return cls(
            part=values.pop("part"),
            case=values.pop("case"),
            subject=values.pop("subject"),
            note=values.pop("note", ""),
            skipped=values.pop("skipped", None),
            failed=values.pop("failed", False),
            numbers=values,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One start of the benchmark: its machine, and what it measured."""

    machine: Mapping[str, Any]
    results: tuple[Result, ...]


@dataclass(slots=True)
class Log:
    """The results of this run, in memory, on the terminal and in a file."""

    machine: Mapping[str, Any]
    path: Path | None = None
    results: list[Result] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        _write(json.dumps({"machine": dict(self.machine)}), self.path)

    def add(self, result: Result) -> None:
        self.results.append(result)
        _write(result.to_json(), self.path)

    @property
    def run(self) -> Run:
        return Run(machine=self.machine, results=tuple(self.results))


def add_row(row: Mapping[str, Any], path: Path | None) -> None:
    """On the terminal and, as one line, in a file; numbers to the thousandth."""
    rounded = {name: round(value, 3) if isinstance(value, float) else value for name, value in row.items()}
    _write(json.dumps(rounded), path)


def _write(line: str, path: Path | None) -> None:
    print(line, flush=True)
    if path is not None:
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def read_runs(path: Path) -> list[Run]:
    """All runs of a file that `Log` wrote. Half a line at its end, of a run that was killed, is left out."""
    runs: list[tuple[Mapping[str, Any], list[Result]]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if "machine" in values:
            runs.append((values["machine"], []))
        elif runs:
            runs[-1][1].append(Result.from_json(line))
    return [Run(machine=machine, results=tuple(results)) for machine, results in runs]
