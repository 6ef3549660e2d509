"""What all addresses have in common: the errors they may answer, and that null is left out."""

from collections.abc import Callable
from typing import Any, Final

from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.convertors import StringConvertor, register_url_convertor

from wanvideo.server.schemas.common import Problem

SAID: Final = {
    400: "The request cannot be understood, or not in this state.",
    401: "The token of the server is missing.",
    403: "The request comes from another web page.",
    404: "There is no such thing.",
    409: "It cannot be done in the state that things are in.",
    410: "The file has been deleted.",
    413: "The request is too large.",
    415: "Neither JSON nor a form with files.",
    421: "The Host header names another server.",
    422: "A value cannot be used; the message says which are legal.",
    429: "Too many; try again later.",
    500: "A bug; the log says more under the error's id.",
    502: "Another server, from which models come, fails.",
    503: "The server is stopping, or a part of it does not answer.",
    507: "The disk is too full.",
}


def errors_of(kind: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """What an address may answer beside what it is for.

    Not as "model", for FastAPI would make a model of its own for each of a thousand answers, which takes half a second
    of every start. One address of a kind names it so, and thereby puts it into the document.
    """
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}}}
    return {status: {"description": said, "content": content} for status, said in SAID.items()}


ERRORS: Final = errors_of(Problem)


class _JobId(StringConvertor):
    """Of an address: so that the router does not take /queue/clear for a job, and can say which methods are known."""

    regex = "[0-9a-z]{8,40}"


register_url_convertor("job", _JobId())


class Route(APIRoute):
    """Leaves out what is null, as existing clients expect."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        path = path.replace("{task_id}", "{task_id:job}")
        super().__init__(path, endpoint, **{**options, "response_model_exclude_none": True})


def group(name: str, prefix: str = "") -> APIRouter:
    """A router for one group of addresses."""
    return APIRouter(prefix=prefix, tags=[name], responses=ERRORS, route_class=Route)
