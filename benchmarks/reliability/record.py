"""What came of every trial, one JSON object a line: a run that is interrupted goes on where it was."""

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

Tell = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of the report."""

    what: str
    figure: str
    goal: str = ""
    kept: bool = True


def at_most(what: str, value: float, goal: float, unit: str = "") -> Row:
    return Row(what, f"{_plain(value)}{unit}", f"≤ {_plain(goal)}{unit}", value <= goal)


def at_least(what: str, value: float, goal: float, unit: str = "") -> Row:
    return Row(what, f"{_plain(value)}{unit}", f"≥ {_plain(goal)}{unit}", value >= goal)


def none_of(what: str, count: int, trials: int) -> Row:
    """Zero in so many trials, with what that says about the rate at 95 %: less than 3 / n."""
    bound = f" of {trials} (rate < {300 / trials:.2g} % at 95 %)" if count == 0 and trials > 3 else f" of {trials}"
    return Row(what, f"{count}{bound}", "0", count == 0)


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest of the values that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else math.nan


@dataclass(frozen=True, slots=True)
class Record:
    """A file of results, of several proofs."""

    path: Path

    def lines(self, proof: str) -> list[Mapping[str, Any]]:
        return [line for line in self._all() if line["proof"] == proof]

    def add(self, proof: str, values: Mapping[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # What else keeps the machine busy, for whoever reads the times.
        line = json.dumps({"proof": proof, **values, "load_average": round(os.getloadavg()[0], 1)})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def _all(self) -> Sequence[Mapping[str, Any]]:
        """All lines that are whole; the last one of a run that was killed may not be."""
        if not self.path.is_file():
            return []
        found = []
        for line in self.path.read_text("utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found


def machine() -> str:
    """Without names and dates."""
    cores, memory = psutil.cpu_count(), psutil.virtual_memory().total / 2**30
    return f"{cores} cores, {memory:.0f} GiB of memory, no GPU, demo models"


def _plain(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
