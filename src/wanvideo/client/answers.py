"""Answers of a server -> values and errors."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from wanvideo.client.errors import BadAnswer, Busy, Conflict, NotFound, Refused, ServerError, Unauthorized
from wanvideo.client.values import Action
from wanvideo.errors import JobConflict, WanVideoError


def error_of(status: int, body: bytes | bytearray, asked: str) -> WanVideoError:
    """What an answer that is no success says. asked: what for, such as GET /api/v1/queue."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or not isinstance(said.get("code"), str):
        return BadAnswer(
            f"{asked} is answered with status {status} and not in the form of a wanvideo server: is this its address?",
            facts={"status": status},
        )
    kind = Conflict if said["code"] == JobConflict.code else _KINDS.get(status, ServerError)
    return kind(
        str(said.get("message", said["code"])),
        status=status,
        code=said["code"],
        category=str(said.get("category", "server")),
        suggestions=[str(each) for each in said.get("suggestions", ())],
        actions=read(tuple[Action, ...], said.get("actions", ())),
        facts=said.get("facts"),
        error_id=said.get("error_id"),
    )


_KINDS: Final[Mapping[int, type[ServerError]]] = {
    400: Refused,
    401: Unauthorized,
    403: Unauthorized,
    404: NotFound,
    409: Conflict,
    410: NotFound,
    413: Refused,
    415: Refused,
    422: Refused,
    429: Busy,
    503: Busy,
}


ValueT = TypeVar("ValueT")


def read(kind: type[ValueT], data: object) -> ValueT:
    """JSON values as what they stand for; what is not known is passed over. Raises BadAnswer."""
    try:
        hashable: Any = kind
        value: ValueT = _adapter(hashable).validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise BadAnswer(
            f"the server's answer is not understood ({where}: {first['msg']}): is it of another version?"
        ) from None
    return value


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
