"""The families that are installed: our own, which is always there, and those of other packages. No torch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from wanvideo.errors import ModelMismatch, UnknownModel
from wanvideo.families.protocol import ENTRY_POINTS, Family, Finder, InstalledModel
from wanvideo.families.wan import WAN
from wanvideo.request import GenerationRequest, ResolvedRequest
from wanvideo.weights import names
from wanvideo.weights.entry import ModelEntry
from wanvideo.weights.folder import Places


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A family that is installed but cannot be used."""

    family: str  # the name of its entry point
    message: str  # what is wrong, and what to do


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """All families that work, and why the others do not."""

    families: tuple[Family, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def entries(self) -> tuple[ModelEntry, ...]:
        """Of all families, each in the order of its catalog."""
        return tuple(entry for family in self.families for entry in family.entries)

    def resolve(self, name: str) -> ModelEntry:
        """The model of that name, in any of the spellings in use. Raises UnknownModel, with the nearest names."""
        try:
            return names.resolve(name, self.entries)
        except UnknownModel as error:
            if not self.problems:
                raise
            broken = " ".join(problem.message for problem in self.problems)
            raise UnknownModel(
                f"{error.message}. {broken}", suggestions=error.suggestions, facts=error.facts
            ) from error

    def family_of(self, entry: ModelEntry) -> Family:
        return next(family for family in self.families if family.name == entry.family)

    def adapt(self, entry: ModelEntry, request: GenerationRequest) -> ResolvedRequest:
        """See `Family.adapt`."""
        return self.family_of(entry).adapt(entry, request)

    def look_in(self, places: Places) -> "Search":
        """What finds the models of all families in `places`."""
        return Search(registry=self, finders={family.name: family.look_in(places) for family in self.families})


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """The finders of all families; to be held on to while several models are looked for."""

    registry: Registry
    finders: Mapping[str, Finder]  # by the name of the family

    def find(self, entry: ModelEntry, variant: str | None = None) -> Sequence[InstalledModel]:
        """See `Finder.find`."""
        return self.finders[entry.family].find(entry, variant)

    def open(self, path: Path) -> InstalledModel:
        """The model at `path`, of whatever family. Ours is asked last: it has an error for every path."""
        for name in sorted(self.finders, key=lambda name: name == WAN.name):
            if (found := self.finders[name].open(path)) is not None:
                return found
        raise ModelMismatch(f"{path} holds no model of the families {', '.join(self.finders)}")


def installed_families() -> Registry:
    """What is installed now. Takes a few milliseconds; hold on to it rather than ask again."""
    return discover(entry_points(group=ENTRY_POINTS))


def discover(points: Iterable[EntryPoint]) -> Registry:
    """Our own family, and those that `points` name, in the order of their names.

    A family that cannot be imported, is none, or has a name that another one has is left out and becomes a problem.
    """
    families: list[Family] = [WAN]
    problems: list[Problem] = []
    for point in sorted(points, key=lambda point: (point.name, point.value)):
        family = _load(point)
        if family is WAN:
            continue
        message = family if isinstance(family, str) else _objection(family, families)
        if message is not None:
            problems.append(Problem(family=point.name, message=f"The family {point.name} ({_origin(point)}) {message}"))
        elif isinstance(family, Family):
            families.append(family)
    return Registry(families=tuple(families), problems=tuple(problems))


def _load(point: EntryPoint) -> object:
    """What the entry point names; in words, why it cannot be had."""
    try:
        return point.load()
    except Exception as error:  # noqa: BLE001 - code of others, which may raise anything, must not take the rest with it
        return f"cannot be imported ({type(error).__name__}: {error}): update or uninstall it."


def _objection(family: object, others: Sequence[Family]) -> str | None:
    """Why `family` cannot stand beside `others`; None if it can."""
    try:
        if isinstance(family, type) or not isinstance(family, Family):
            return "is no object with what wanvideo.families.protocol.Family asks for: tell its author."
        entries = tuple(family.entries)
        strangers = [entry for entry in entries if not isinstance(entry, ModelEntry) or entry.family != family.name]
    except Exception as error:  # noqa: BLE001 - as above
        return f"has a catalog that cannot be read ({type(error).__name__}: {error}): update or uninstall it."
    if strangers:
        return f"lists what is no model of the family {family.name}: tell its author."
    for other in others:
        if other.name == family.name:
            return f"calls itself {family.name}, as another one does: uninstall one of them."
        taken = {name: entry.id for entry in other.entries for name in names.names_of(entry)}
        for entry in entries:
            if clash := sorted(names.names_of(entry) & taken.keys()):
                return (
                    f"calls its model {entry.id} {clash[0]!r}, which is {taken[clash[0]]} of the family {other.name}: "
                    "uninstall one of them."
                )
    return None


def _origin(point: EntryPoint) -> str:
    return f"from {point.dist.name} {point.dist.version}" if point.dist else point.value
