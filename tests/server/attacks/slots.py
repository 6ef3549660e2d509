"""Every place of the API where a client may put a text, found in its OpenAPI document."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx2

from tests.server.attacks.serving import ID, filled

Schema = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One parameter, header or field."""

    method: str
    path: str  # as the document has it
    place: str  # path, query, header or body
    name: str
    parameters: tuple[Schema, ...]
    body: Mapping[str, Any] | None = field(default=None)  # what else is needed

    def fill(self, client: httpx2.Client, text: str, **headers: str) -> httpx2.Response:
        """A request with `text` there, and plain values elsewhere."""
        raw = self.path
        if self.place == "path":  # as it is, so that nobody tidies it up on the way
            raw = raw.replace(f"{{{self.name}}}", quote(text, safe="/%\\.;:"))
        url = filled(raw, self.parameters)
        query = {self.name: text} if self.place == "query" else None
        json = None if self.body is None else self.body
        if self.place == "body":
            json = _put(self.body, self.name.split("."), text)
        if self.place == "header" and text.isascii() and text.isprintable():
            headers[self.name] = text
        return client.request(self.method, url, params=query, json=json, headers=headers)


def slots(document: Mapping[str, Any]) -> list[Slot]:
    return list(_slots(document))


def _slots(document: Mapping[str, Any]) -> Iterator[Slot]:
    schemas = document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parameters = tuple(operation.get("parameters", ()))
            content = operation.get("requestBody", {}).get("content", {})
            schema = content.get("application/json", {}).get("schema")
            body = None if schema is None else _least(schema, schemas)
            about: dict[str, Any] = {"method": method.upper(), "path": path, "parameters": parameters, "body": body}
            for each in parameters:
                if _is_text(each["schema"], schemas):
                    yield Slot(**about, place=each["in"], name=each["name"])
            if schema is not None:
                for name in _texts(schema, schemas):
                    yield Slot(**about, place="body", name=name)


def _texts(schema: Schema, schemas: Mapping[str, Schema]) -> Iterator[str]:
    """Names of text fields; dots lead into what lies deeper, and 0 is an element of a list."""
    for name, each in _resolved(schema, schemas).get("properties", {}).items():
        for kind in _kinds(each, schemas):
            if kind.get("type") == "string":
                yield name
            elif kind.get("type") == "array":
                items = _resolved(kind["items"], schemas)
                yield from [f"{name}.0"] if items.get("type") == "string" else []
                yield from (f"{name}.0.{inner}" for inner in _texts(items, schemas))
            elif kind.get("type") == "object":
                yield from (f"{name}.{inner}" for inner in _texts(kind, schemas))


def _kinds(schema: Schema, schemas: Mapping[str, Schema]) -> list[Schema]:
    found = _resolved(schema, schemas)
    return [kind for each in found["anyOf"] for kind in _kinds(each, schemas)] if "anyOf" in found else [found]


def _is_text(schema: Schema, schemas: Mapping[str, Schema]) -> bool:
    return any(kind.get("type") == "string" and "enum" not in kind for kind in _kinds(schema, schemas))


def _resolved(schema: Schema, schemas: Mapping[str, Schema]) -> Schema:
    return _resolved(schemas[schema["$ref"].rpartition("/")[2]], schemas) if "$ref" in schema else schema


def _least(schema: Schema, schemas: Mapping[str, Schema]) -> dict[str, Any]:
    """The smallest body that has all that is needed; jobs wait for ever."""
    found = _resolved(schema, schemas)
    properties = found.get("properties", {})
    body = {name: _value(_kinds(properties[name], schemas)[0], schemas) for name in found.get("required", ())}
    return body | ({"held": True} if "held" in properties else {})


def _value(kind: Schema, schemas: Mapping[str, Schema]) -> Any:
    values = {"string": ID, "integer": kind.get("minimum", 1), "number": 1.0, "boolean": False, "array": [], None: None}
    if "enum" in kind:
        return kind["enum"][0]
    return _least(kind, schemas) if kind.get("type") == "object" else values[kind.get("type")]


def _put(body: Any, where: list[str], text: str) -> Any:
    """A copy of `body` with `text` there."""
    if not where:
        return text
    first, *rest = where
    if first == "0":
        return [_put({"name": "x"} if rest else None, rest, text)]
    return {**(body or {}), first: _put((body or {}).get(first), rest, text)}
