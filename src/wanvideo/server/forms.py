"""Bodies that may come as JSON or as a form with files."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from wanvideo.server.errors import BadRequest

ModelT = TypeVar("ModelT", bound=BaseModel)

MAX_FIELDS: Final = 40
MAX_FIELD_BYTES: Final = 64 * 1024
_SCHEMA: Final = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class Fields:
    """What a body holds."""

    values: Mapping[str, Any]  # JSON values, or the texts of a form
    files: Mapping[str, UploadFile] = field(default_factory=dict)  # of a form


@asynccontextmanager
async def body_of(
    request: Request, *, max_files: int = 0, max_field_bytes: int = MAX_FIELD_BYTES
) -> AsyncIterator[Fields]:
    """The body, with its files for as long as the block runs. Raises BadRequest."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        yield Fields(await _json(request))
        return
    async with AsyncExitStack() as closing:
        try:
            form = await closing.enter_async_context(
                request.form(max_files=max_files, max_fields=MAX_FIELDS, max_part_size=max_field_bytes)
            )
        except HTTPException as error:
            raise BadRequest(f"the form cannot be read: {error.detail}") from None
        yield Fields(
            {name: value for name, value in form.items() if isinstance(value, str)},
            {name: value for name, value in form.items() if isinstance(value, UploadFile)},
        )


async def _json(request: Request) -> Mapping[str, Any]:
    try:
        value = await request.json()
    except (ValueError, RecursionError):
        raise BadRequest("the request is no JSON") from None
    if not isinstance(value, dict):
        raise BadRequest("the request must be a JSON object")
    return value


def parsed(kind: type[ModelT], value: Any) -> ModelT:
    """`value` as a schema, with the errors of any other request."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from None


def either(kind: type[BaseModel], files: tuple[str, ...] = (), inlined: tuple[str, ...] = ()) -> dict[str, Any]:
    """For OpenAPI: a body of this kind as JSON, or as a form with these files.

    inlined: schemas that it uses and no other address describes.
    """
    schema = kind.model_json_schema(ref_template=_SCHEMA + "{model}")
    definitions = schema.pop("$defs", {})
    schema = _with(schema, {_SCHEMA + name: definitions[name] for name in inlined})
    binary = {name: {"type": "string", "format": "binary"} for name in files}
    form = {**schema, "properties": {**schema["properties"], **binary}}
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema}, "multipart/form-data": {"schema": form}},
        }
    }


def _with(value: Any, definitions: Mapping[str, Any]) -> Any:
    """JSON, with some references replaced by what they stand for."""
    if isinstance(value, list):
        return [_with(each, definitions) for each in value]
    if not isinstance(value, dict):
        return value
    found = definitions.get(value.get("$ref", ""))
    return {name: _with(each, definitions) for name, each in (found or value).items()}


def form_of(kind: type[BaseModel], file: str) -> dict[str, Any]:
    """For OpenAPI: a form with a file, which must be there."""
    schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
    properties = {**schema.get("properties", {}), file: {"type": "string", "format": "binary"}}
    form = {**schema, "properties": properties, "required": [*schema.get("required", ()), file]}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}}}
