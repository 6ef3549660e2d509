"""The models as the server offers them: by any of their names, on disk or not, and what the demo stands for."""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

from wanvideo.errors import UnknownModel, WanVideoError
from wanvideo.families.presence import Presence, look_for
from wanvideo.families.registry import Registry, Search
from wanvideo.request import Task
from wanvideo.server.errors import NotFound
from wanvideo.weights.entry import ModelEntry
from wanvideo.weights.names import key
from wanvideo.weights.places import Places

# The three types that existing clients know, spelt as they spell them.
WireType: TypeAlias = Literal["T2V-A14B", "I2V-A14B", "TI2V-5B"]
T2V: Final = "T2V-A14B"
I2V: Final = "I2V-A14B"
TI2V: Final = "TI2V-5B"
WIRE_TYPES: Final[tuple[WireType, ...]] = (T2V, I2V, TI2V)
_SHORT: Final[Mapping[str, WireType]] = {"t2v": T2V, "i2v": I2V, "ti2v": TI2V}  # further spellings in use
_FRESH_SECONDS: Final = 20.0  # for which what was found on disk is believed


def wire_type(entry: ModelEntry) -> WireType:
    """The type under which existing clients see a model: that with the same inputs."""
    if entry.requires_image:
        return I2V
    return TI2V if Task.IMAGE_TO_VIDEO in entry.tasks else T2V


class Catalog:
    """All models of all families. Thread-safe; looks at the disk when asked, not more often than need be."""

    def __init__(self, families: Registry, places: Places, *, demo: bool = False) -> None:
        self.families = families
        self.places = places
        self.demo = demo
        self._lock = threading.Lock()
        self._found: Mapping[str, Presence] = {}
        self._at = float("-inf")  # monotonic seconds
        self._variants: dict[tuple[str, str], tuple[float, WanVideoError | None]] = {}

    @property
    def entries(self) -> Sequence[ModelEntry]:
        return self.families.entries

    def resolve(self, name: str) -> ModelEntry:
        """The model that a request means. Raises UnknownModel, with the nearest names."""
        name = name.partition("@")[0]  # t2v-A14B@2.2.0
        entry = self.families.resolve(_SHORT.get(key(name), name))
        return self._demo_of(entry) if self.demo else entry

    def listed(self, name: str) -> ModelEntry:
        """The model whose files are meant: of exactly this id, for which no demo stands; else as `resolve`.

        So real models can be downloaded while a server shows the demo, and clients that name types get what they make.
        """
        return self.entry(name) or self.resolve(name)

    def at(self, name: str) -> ModelEntry:
        """The listed model that an address names. Raises NotFound."""
        try:
            return self.listed(name)
        except UnknownModel as error:
            raise NotFound(error.message, suggestions=error.suggestions, facts=error.facts) from None

    def entry(self, model_id: str) -> ModelEntry | None:
        """Of exactly this id, as jobs store it; None if a family is no longer installed."""
        return next((entry for entry in self.entries if entry.id == model_id), None)

    def wire_type(self, model_id: str) -> WireType:
        """See `wire_type`; of a model that is no longer known, the commonest."""
        entry = self.entry(model_id)
        return T2V if entry is None else wire_type(entry)

    def wire_entries(self) -> dict[WireType, ModelEntry]:
        """What each of the three types means here."""
        return {name: self.resolve(name) for name in WIRE_TYPES}

    def demo_of(self, entry: ModelEntry) -> ModelEntry:
        """The demo model that is the miniature of a model, or at least takes the same inputs."""
        own = self._demo_of(entry if entry.base is None else self.families.resolve(entry.base))
        return own if own.demo else self._demo_of(self.families.resolve(wire_type(entry)))

    def presence(self, entry: ModelEntry) -> Presence:
        return self.presences()[entry.id]

    def presences(self) -> Mapping[str, Presence]:
        """Of all models, by id. Blocks while files are looked at."""
        with self._lock:
            if time.monotonic() - self._at > _FRESH_SECONDS:
                search = self.families.look_in(self.places)
                self._found = {entry.id: look_for(entry, search) for entry in self.entries}
                self._at = time.monotonic()
            return self._found

    def problem(self, entry: ModelEntry, variant: str | None) -> WanVideoError | None:
        """Why a model, or one variant of it, cannot be loaded; None if it can. Quick when asked again."""
        if variant is None:
            return self.presence(entry).problem
        with self._lock:
            known = self._variants.get((entry.id, variant))
            if known is None or time.monotonic() - known[0] > _FRESH_SECONDS:
                problem = _problem(entry, variant, self.families.look_in(self.places))
                known = self._variants[entry.id, variant] = time.monotonic(), problem
            return known[1]

    def look_again(self) -> None:
        """Files have come or gone."""
        with self._lock:
            self._at = float("-inf")
            self._variants.clear()

    def _demo_of(self, entry: ModelEntry) -> ModelEntry:
        if entry.demo or entry.base is not None:
            return entry
        return next((each for each in self.entries if each.demo and each.id == f"{entry.id}-demo"), entry)


def _problem(entry: ModelEntry, variant: str, search: Search) -> WanVideoError | None:
    try:
        search.find(entry, variant)
    except WanVideoError as error:
        return error
    return None
