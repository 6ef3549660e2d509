"""What several groups of routes say."""

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from wanvideo.failure import SUGGESTION_CODES

JsonObject: TypeAlias = dict[str, Any]


class Wire(BaseModel):
    """Base of everything that is sent."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())


class Body(BaseModel):
    """Base of everything that is received. What is not known is refused rather than passed over."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class LenientBody(BaseModel):
    """Of requests that existing clients send, which may say more than we know."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, protected_namespaces=())


# RFC 3339 with Z.
Time: TypeAlias = Annotated[
    datetime, PlainSerializer(lambda value: value.isoformat(timespec="milliseconds").replace("+00:00", "Z"), str)
]


class Message(Wire):
    """Something was done."""

    message: str


class ActionCall(Wire):
    """One call to this server."""

    method: Literal["POST"] = "POST"
    path: str
    body: JsonObject = Field(default_factory=dict)


class Action(Wire):
    """What can be done about an error."""

    text: str
    effect: str = Field(description="What it does to the result.")
    change: JsonObject | None = Field(
        default=None, description="Fields of the request to change; empty: the same again; null: nothing to ask for."
    )
    code: str | None = Field(
        default=None, description="Stable; to be told in other languages.", examples=list(SUGGESTION_CODES)
    )
    values: JsonObject = Field(default_factory=dict, description="Names and numbers in the text, for the same end.")
    call: ActionCall | None = Field(default=None, description="Does it, where the error is that of a job.")


class Problem(Wire):
    """Every error has this form."""

    detail: str = Field(description="What happened and what to do; the same as `message`.")
    message: str
    error: str = Field(description="The same as `code`.")
    code: str = Field(description="Stable; for programs.")
    suggestions: list[str] = Field(default_factory=list)
    actions: list[Action] = Field(default_factory=list)
    category: str | None = None
    phase: str | None = None
    model: str | None = None
    kept: str | None = Field(default=None, description="What of the work is not lost.")
    facts: JsonObject | None = None
    error_id: str | None = Field(default=None, description="Of an internal error: under it, the log says more.")


class AdjustmentView(Wire):
    """One thing that was asked for and had to be changed."""

    field: str
    asked: str
    used: str
    reason: str
