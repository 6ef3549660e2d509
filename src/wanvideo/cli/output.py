"""Where the command line prints: results on stdout, all else on stderr; with `--json` one object a line on stdout."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path

import typer

from wanvideo.errors import Cancelled, InvalidRequest, WanVideoError

OK, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130  # exit codes


class UsageFault(InvalidRequest):
    """The command line itself is wrong: an unknown command or option, or a value of another type."""

    code = "USAGE"


class EngineMissing(WanVideoError):
    """Only the light part of the package is installed."""

    code = "ENGINE_MISSING"


class UnexpectedError(WanVideoError):
    """A bug, shown without its traceback."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What the user wants to see."""

    json: bool = False
    quiet: bool = False

    def result(self, text: str) -> None:
        """What the command was called for, unless the events say it."""
        if not self.json:
            typer.echo(text)

    def say(self, text: str) -> None:
        """A message to the person in front of it."""
        if not (self.json or self.quiet):
            typer.echo(text, err=True)

    def event(self, event: str, **fields: object) -> None:
        """One line of JSON, for programs."""
        if self.json:
            typer.echo(to_json({"event": event} | fields))

    def error(self, error: WanVideoError) -> None:
        """The message alone: it says what happened and what to do."""
        if not self.json:
            typer.echo(f"{'' if isinstance(error, Cancelled) else 'error: '}{error.message}", err=True)
        self.event(
            "error",
            error={
                "code": error.code,
                "category": error.category,
                "message": error.message,
                "suggestions": error.suggestions,
                "facts": error.facts,
            },
        )


def exit_code(error: WanVideoError) -> int:
    if isinstance(error, InvalidRequest):
        return WRONG_INPUT
    return INTERRUPTED if isinstance(error, Cancelled) else FAILED


def to_json(value: Mapping[str, object]) -> str:
    """One line, ASCII, so that no terminal or pipe can refuse it."""
    return json.dumps(_plain(value), allow_nan=False)


def _plain(value: object) -> object:
    """As JSON has it: paths, enumerations and times as text, NaN and infinity too, which JSON has no numbers for."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Path) else value


def table(rows: Mapping[str, object]) -> str:
    """Names and values in two columns; what is None is left out."""
    shown = {name: value for name, value in rows.items() if value is not None}
    width = max(map(len, shown), default=0)
    return "\n".join(f"{name:{width}}  {value}" for name, value in shown.items())


def many(number: int, what: str) -> str:
    """Such as "1 job" and "2 jobs"."""
    return f"{number} {what}{'' if number == 1 else 's'}"
