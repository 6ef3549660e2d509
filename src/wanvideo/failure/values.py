"""The one form in which what went wrong with a job is stored, sent and shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, get_args

from wanvideo.errors import Fact
from wanvideo.request import Tier

Call: TypeAlias = Literal["retry", "rerun", "repair"]
# What a suggestion is, whatever the language; interfaces have a text for each.
SuggestionCode: TypeAlias = Literal[
    "again", "again_decoding", "another_picture", "another_variant", "close_program", "decode_on_cpu", "default_values",
    "demo_model", "fetch", "fitting", "fitting_model", "free_gpu", "install_again", "make_room", "model_with_picture",
    "model_without_picture", "named_model", "no_loras", "no_picture", "on_cpu", "repair", "restart_driver",
    "run_command", "shorter", "skip_bad_loras", "small_model", "smaller", "tier_exact", "tier_fast", "tiles",
    "usual_length", "usual_size",
]  # fmt: skip
SUGGESTION_CODES: Final[tuple[SuggestionCode, ...]] = get_args(SuggestionCode)
_SAME_VIDEO: Final = frozenset({"tile", "device"})  # changes after which what was kept can be gone on from


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """Something to do about it."""

    text: str
    effect: str  # on the result
    change: Mapping[str, Any] | None = None  # of what was asked, in the words of the HTTP API; {}: the same again
    repairs: bool = False  # the files of the model, rather than asks for anything else
    code: SuggestionCode | None = None  # None: in words alone
    values: Mapping[str, Fact] = field(default_factory=dict)  # that stand in the text: names, and numbers with the unit

    @property
    def call(self) -> Call | None:
        """What does it at once: the same job again, a new one that is changed, or a repair. None: only people can."""
        if self.repairs:
            return "repair"
        if self.change is None:
            return None
        return "retry" if self.change.keys() <= _SAME_VIDEO else "rerun"

    def to_json(self) -> dict[str, Any]:
        change = None if self.change is None else dict(self.change)
        return {
            "text": self.text,
            "effect": self.effect,
            "change": change,
            "call": self.call,
            "code": self.code,
            "values": dict(self.values),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Suggestion":
        repairs = values.get("call") == "repair"
        return cls(
            text=values["text"],
            effect=values["effect"],
            change=values["change"],
            repairs=repairs,
            code=values.get("code"),  # those stored by earlier versions have none
            values=values.get("values", {}),
        )


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
    from_hub: bool = True  # the model's files come from a hub, and can come again
    planned: bool = False  # what would fit was worked out, and is not to be guessed
