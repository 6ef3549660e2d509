"""The one form in which what went wrong with a job is stored, sent and shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wanvideo.errors import Fact
from wanvideo.request import Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """Something to do about it."""

    text: str
    effect: str  # on the result
    change: Mapping[str, Any] | None = None  # of the job, as `jobs.queue.changed` takes it; {}: the same again

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text, "effect": self.effect, "change": None if self.change is None else dict(self.change)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Suggestion":
        return cls(text=values["text"], effect=values["effect"], change=values["change"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failure. Codes are stable: programs decide by them."""

    category: str
    code: str
    title: str  # in a few words
    message: str  # with the numbers
    phase: str | None = None
    model: str | None = None
    kept: str | None = None  # what need not be done again
    retryable: bool = False  # the same again may well work
    suggestions: tuple[Suggestion, ...] = ()
    facts: Mapping[str, Fact] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "category": self.category,
            "code": self.code,
            "title": self.title,
            "message": self.message,
            "phase": self.phase,
            "model": self.model,
            "kept": self.kept,
            "retryable": self.retryable,
            "suggestions": [suggestion.to_json() for suggestion in self.suggestions],
            "facts": dict(self.facts),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Failure":
        return cls(**{**values, "suggestions": tuple(Suggestion.from_json(each) for each in values["suggestions"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What advice has to know of the video that was not made. None: unknown."""

    model: str | None = None
    width: int | None = None  # pixels
    height: int | None = None
    frames: int | None = None
    tier: Tier | None = None
    on_gpu: bool | None = None
    loras: bool = True  # some, as far as is known
    all_steps_kept: bool = False  # only decoding is left
    planned: bool = False  # what would fit was worked out, and is not to be guessed
