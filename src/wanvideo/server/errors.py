"""Whatever goes wrong becomes one flat object; a traceback or the place of a file never leaves the computer."""

import secrets
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wanvideo.errors import (
    DiskFull,
    DownloadDiskFull,
    DownloadError,
    IdempotencyConflict,
    InvalidRequest,
    JobConflict,
    JobNotFound,
    ModelCorrupt,
    ModelIncomplete,
    ModelMissing,
    NotEnoughMemory,
    QueueFull,
    StorageFailed,
    WanVideoError,
    WorkerNotFound,
)
from wanvideo.failure import Suggestion, failure_of
from wanvideo.failure.paths import facts_without_folders, without_folders
from wanvideo.server.schemas.common import Action, Problem

log = structlog.stdlib.get_logger(__name__)


NO_SUCH_METHOD: Final = "this address does not take that method"


class NotFound(WanVideoError):
    """There is no such thing, or no longer."""

    code = "NOT_FOUND"


class Forbidden(WanVideoError):
    """Not from there, or not by everybody."""

    code = "FORBIDDEN"


class Gone(WanVideoError):
    """It is known, and its file has been deleted."""

    code = "OUTPUT_MISSING"
    category = "output"


class Conflict(WanVideoError):
    """It cannot be done in the state that things are in."""

    code = "CONFLICT"


class AlreadyOver(WanVideoError):
    """The job has ended, or has not yet; existing clients know this as a bad request."""

    code = "JOB_STATE"


class BadRequest(WanVideoError):
    """The request cannot be understood."""

    code = "BAD_REQUEST"
    category = "input"


class TooLarge(WanVideoError):
    code = "TOO_LARGE"
    category = "input"


class NotReady(WanVideoError):
    """The server cannot do it now: it is stopping, or a part of it does not answer."""

    code = "NOT_READY"


class Internal(WanVideoError):
    """A bug. Its text is for the log."""


_STATUS: Final[Mapping[type[WanVideoError], int]] = {
    NotFound: 404,
    Forbidden: 403,
    Gone: 410,
    Conflict: 409,
    AlreadyOver: 400,
    BadRequest: 400,
    TooLarge: 413,
    JobNotFound: 404,
    WorkerNotFound: 404,
    JobConflict: 409,
    IdempotencyConflict: 422,
    QueueFull: 429,
    NotReady: 503,
    StorageFailed: 503,
    InvalidRequest: 422,
    ModelMissing: 409,
    ModelIncomplete: 409,
    ModelCorrupt: 409,
    NotEnoughMemory: 409,
    DiskFull: 507,
    DownloadDiskFull: 507,
    DownloadError: 502,
}
_CODES: Final = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "TIMEOUT",
    413: "TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    421: "WRONG_HOST",
    429: "TOO_MANY_REQUESTS",
    503: "NOT_READY",
}
_INPUT: Final = frozenset({400, 404, 405, 408, 413, 415})


def status_of(error: WanVideoError) -> int:
    """HTTP status of an error, by the nearest of its kinds."""
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)


def problem_of(error: WanVideoError, folders: Iterable[Path] = ()) -> Problem:
    """The error as it is told to others. folders: what they are called, and where they are, is left out."""
    folders = tuple(folders)
    message = without_folders(error.message, folders)
    model = error.facts.get("model")
    model = model if isinstance(model, str) else None
    # That code is said of every value, also of such as are not those of a video.
    known = () if error.code == InvalidRequest.code else failure_of(error, model=model).suggestions
    texts = [each.text for each in known]
    # Names of models stand in what is known already.
    said = [*texts, *(each for each in error.suggestions if not any(each in text for text in texts))]
    return Problem(
        detail=message,
        message=message,
        error=error.code,
        code=error.code,
        suggestions=[without_folders(text, folders) for text in said],
        actions=[_action(each) for each in known if each.change],
        category=error.category,
        model=model,
        facts=facts_without_folders(error.facts, folders) or None,
    )


def _action(suggestion: Suggestion) -> Action:
    return Action(
        text=suggestion.text,
        effect=suggestion.effect,
        change=dict(suggestion.change or {}),
        code=suggestion.code,
        values=dict(suggestion.values),
    )


def problem_for(status: int, message: str, code: str | None = None) -> Problem:
    """An error that no exception of ours stands for."""
    code = code or _CODES.get(status, "ERROR")
    category = "input" if status in _INPUT else "server"
    return Problem(detail=message, message=message, error=code, code=code, category=category)


def response(status: int, problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(problem.model_dump(mode="json", exclude_none=True), status_code=status, headers=headers)


_TYPES: Final = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


def answer(scope: Scope, status: int, problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """In the form of the address: under /v1, clients of OpenAI's API read an envelope of theirs."""
    if not str(scope["path"]).startswith("/v1/"):
        return response(status, problem, headers)
    status = 400 if status == 422 else status
    kind = "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
    faults = (problem.facts or {}).get("faults")
    param = faults[0].get("field") if isinstance(faults, list) and faults else None
    error = {"message": problem.message, "type": kind, "param": param, "code": problem.code}
    return JSONResponse({"error": error}, status_code=status, headers=headers)


def install(app: FastAPI) -> None:
    """Let every error of the application have the one form."""
    app.add_exception_handler(WanVideoError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_middleware(LastStop)


async def _ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, WanVideoError)
    status = status_of(error)
    if status == 500:
        return unexpected(request.scope, error)
    headers = {"Retry-After": "5"} if status in (429, 503) else None
    return answer(request.scope, status, problem_of(error, request.app.state.parts.folders()), headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults = [_fault(each) for each in error.errors()[:20]]
    message = "; ".join(
        fault["message"] if not fault["field"] else f"{fault['field']}: {fault['message']}" for fault in faults
    )
    problem = problem_for(422, message or "the request is not valid", "INVALID_REQUEST")
    problem = problem.model_copy(update={"category": "input", "facts": {"faults": faults}})
    return answer(request.scope, 422, problem)


def _fault(error: Mapping[str, Any]) -> dict[str, str]:
    """One fault that pydantic found; what was given is not repeated, since it may be a secret or very long."""
    where = [str(part)[:60] for part in error["loc"] if part not in ("body", "query", "path", "header")][:6]
    return {"field": ".".join(where), "message": without_folders(str(error["msg"]))[:300]}


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    known = isinstance(error.detail, str) and error.detail != HTTPStatus(error.status_code).phrase
    message = error.detail if known else _SAID.get(error.status_code, HTTPStatus(error.status_code).phrase)
    headers = error.headers
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {**(headers or {}), "Allow": ", ".join(sorted(request.app.state.addresses.methods(request.url.path)))}
    return answer(request.scope, error.status_code, problem_for(error.status_code, str(message)), headers)


_SAID: Final = {
    404: "there is nothing at this address",
    405: NO_SUCH_METHOD,
}


def unexpected(scope: Scope, error: Exception) -> JSONResponse:
    """The text of an error that nobody foresaw is for the log alone."""
    error_id = secrets.token_hex(8)
    log.error("internal error", error_id=error_id, method=scope["method"], path=scope["path"], exc_info=error)
    message = f"something went wrong in the server; its log says more under {error_id}"
    problem = problem_for(500, message, "INTERNAL").model_copy(update={"error_id": error_id})
    return answer(scope, 500, problem)


class LastStop:
    """ASGI, around the addresses: a bug becomes an answer in the one form, with all headers that answers have."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, sending)
        except ClientDisconnect:
            return  # there is nobody to tell
        except Exception as error:  # noqa: BLE001 - the last stop: what nobody foresaw must not reach the client
            answer = unexpected(scope, error)
            if not begun:
                await answer(scope, receive, send)
