"""Models that are already on this computer, at the request of somebody who sits at it."""

import ipaddress
from pathlib import Path

from wanvideo.errors import InvalidRequest
from wanvideo.server.errors import Forbidden
from wanvideo.server.parts import Parts
from wanvideo.server.schemas.models import AddBody, AddedView
from wanvideo.weights.adding import look_at, needs_role
from wanvideo.weights.places import Added, Role
from wanvideo.weights.registry import register
from wanvideo.weights.survey import Survey


def add_files(parts: Parts, client: str, body: AddBody) -> AddedView:
    """Register a file or folder, without copying it.

    Raises Forbidden for other computers, InvalidRequest for a path or role that cannot be meant, and what `look_at`
    raises.
    """
    registry = parts.catalog.places.registry
    if registry is None or not _is_here(client):
        raise Forbidden("files are added at the computer that has them: there, use this page, or `wan models add`")
    added = _added(body)
    found = look_at(added)
    if body.role is not None and len(found.transformers) != 1:
        raise InvalidRequest(f"role is for one transformer, and there are {len(found.transformers)}: add them singly")
    if needs_role(added, found):
        raise InvalidRequest(
            f"{added.path.name} could be the high-noise or the low-noise expert of Wan 2.2, or a model of Wan 2.1, and "
            "its name does not say: choose which it is",
            facts={"field": "role"},
        )
    before = _ready(parts)
    register(registry, added)
    parts.catalog.look_again()
    new = sorted(_ready(parts) - before)
    return AddedView(message=f"{added.path.name} is used where it lies", found=_networks(found), ready=new)


def _is_here(client: str) -> bool:
    try:
        return ipaddress.ip_address(client).is_loopback
    except ValueError:
        return False


def _added(body: AddBody) -> Added:
    text = body.path.strip().strip("\"'")
    path = Path(text).expanduser() if text and "\0" not in text else None
    if path is None or not path.is_absolute():
        raise InvalidRequest("path must be the whole path of a file or folder, such as /home/me/ComfyUI/models")
    if not path.exists():
        raise InvalidRequest(f"nothing lies at {path}: give a file or folder of the computer that the server runs on")
    return Added(path=path, role=None if body.role is None else Role(body.role))


def _ready(parts: Parts) -> frozenset[str]:
    return frozenset(name for name, presence in parts.catalog.presences().items() if presence.ready)


def _networks(found: Survey) -> list[str]:
    """Such as "transformer, high, fp8"."""
    return [
        *(f"transformer, {each.role or 'only'}, {each.part.precision}" for each in found.transformers),
        *(f"autoencoder, {part.precision}" for part in found.vaes),
        *(f"text encoder, {part.precision}" for part in found.text_encoders),
        *("tokenizer" for _ in found.tokenizers),
    ]
