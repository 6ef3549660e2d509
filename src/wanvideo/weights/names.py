"""Names of models as people write them -> one catalog entry, or the nearest ones. Never a guess. No torch."""

import difflib
import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TypeVar

from wanvideo.errors import UnknownModel
from wanvideo.weights.entry import ModelEntry

EntryT = TypeVar("EntryT", bound=ModelEntry)


def key(name: str) -> str:
    """One spelling for all of `T2V-A14B`, `t2v_a14b`, `t2v a14b`: case and separators do not count.

    A slash does: ./t2v-A14B is a folder.
    """
    return re.sub(r"[\s._-]+", "-", name.casefold()).strip("-")


def names_of(entry: ModelEntry) -> frozenset[str]:
    """The keys of every name of a model."""
    return _keys((entry.id, *entry.aliases))


@cache
def _keys(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(key(name) for name in names)


def resolve(name: str, entries: Sequence[EntryT]) -> EntryT:
    """The entry of that name. Raises UnknownModel, with the names that come nearest, rather than guess."""
    wanted = key(name)
    for entry in entries:
        if wanted in names_of(entry):
            return entry
    shown = name if len(name) <= 100 else f"{name[:100]}..."
    near = nearest(wanted, entries)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(entry.id for entry in entries)}"
    raise UnknownModel(f"no model is called {shown!r}: {hint}", suggestions=near, facts={"model": shown})


def nearest(wanted: str, entries: Iterable[ModelEntry]) -> tuple[str, ...]:
    """Ids that look like the key `wanted`, best first, at most three."""
    # Without its version, a name of Wan 2.1 is no name, but it shows what was meant.
    ids = {re.sub(r"^wan2-1-", "", name): entry.id for entry in entries for name in names_of(entry)}
    close = difflib.get_close_matches(wanted[:100], ids, n=20, cutoff=0.7)
    if not close and wanted:
        close = [name for name in ids if wanted in name]
    return tuple(dict.fromkeys(ids[name] for name in close))[:3]
