"""The files and folders that the user registered in place: one JSON file. No torch."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import platformdirs

from wanvideo.errors import ModelCorrupt, ModelIncomplete
from wanvideo.weights.headers import read_json
from wanvideo.weights.places import Added, Places, Role

_VERSION: Final = 1


def usual_registry() -> Path:
    """Where `wan models add` keeps what this user added."""
    return platformdirs.user_data_path("wanvideo", appauthor=False) / "models.json"


def read_registry(path: Path) -> tuple[Added, ...]:
    """What was registered, the newest first; nothing if there is no such file. Raises ModelCorrupt if it is damaged."""
    try:
        content = read_json(path)
    except ModelIncomplete:
        return ()
    entries = content.get("added")
    if content.get("version") != _VERSION or not isinstance(entries, list):
        raise _damaged(path)
    return tuple(_entry(path, entry) for entry in entries)


def registered(places: Places) -> tuple[Added, ...]:
    """What was added to these places: named ones first, then those of the registry. Raises ModelCorrupt."""
    return (*places.added, *(read_registry(places.registry) if places.registry is not None else ()))


def known(places: Places) -> tuple[Added, ...]:
    """The same, of which a damaged registry has none."""
    try:
        return registered(places)
    except ModelCorrupt:
        return places.added


def register(path: Path, added: Added) -> None:
    """Put an entry first, in the place of an older one for the same path. Written whole or not at all."""
    others = [entry for entry in read_registry(path) if entry.path != added.path]
    entries = [{"path": str(entry.path), "role": entry.role} for entry in (added, *others)]
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    draft.write_text(json.dumps({"version": _VERSION, "added": entries}, indent=2) + "\n", "utf-8")
    draft.replace(path)


def _entry(path: Path, entry: object) -> Added:
    fields: Mapping[str, Any] = entry if isinstance(entry, dict) else {}
    where, role = fields.get("path"), fields.get("role")
    if not isinstance(where, str) or not Path(where).is_absolute() or role not in (None, *Role):
        raise _damaged(path)
    return Added(path=Path(where), role=None if role is None else Role(role))


def _damaged(path: Path) -> ModelCorrupt:
    return ModelCorrupt(f"{path} is no list of added models: delete it, and add your models again")
