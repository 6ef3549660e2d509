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
from wanvideo.weights.lora.library import LoraLibrary
from wanvideo.weights.places import Places


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

    def adapt(
        self, entry: ModelEntry, request: GenerationRequest, *, library: LoraLibrary | None = None
    ) -> ResolvedRequest:
        """See `Family.adapt`."""
        return self.family_of(entry).adapt(entry, request, library=library)

    def look_in(self, places: Places) -> "Search":
        """What finds the models of all families in `places`."""
        return Search({family.name: family.look_in(places) for family in self.families})


@dataclass(frozen=True, slots=True)
class Search:
    """The finders of all families; to be held on to while several models are looked for."""

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
        try:
            family = point.load()
            if family is not WAN:
                families.append(_checked(family, families))
        except _Unusable as error:
            problems.append(_problem(point, str(error)))
        except Exception as error:  # noqa: BLE001 - code of others may raise anything, and must not take the rest with it
            what = f"{type(error).__name__}: {error}"
            problems.append(_problem(point, f"cannot be used ({what}): update or uninstall it."))
    return Registry(families=tuple(families), problems=tuple(problems))


class _Unusable(Exception):
    """Why a family cannot stand beside the others, as the end of a sentence about it."""


def _checked(family: object, others: Sequence[Family]) -> Family:
    """`family`, which can stand beside `others`. Raises _Unusable, and whatever the family raises."""
    if isinstance(family, type) or not isinstance(family, Family):
        raise _Unusable("is no object with what wanvideo.families.protocol.Family asks for: tell its author.")
    if not all(isinstance(entry, ModelEntry) and entry.family == family.name for entry in family.entries):
        raise _Unusable(f"lists what is no model of the family {family.name}: tell its author.")
    for other in others:
        if other.name == family.name:
            raise _Unusable(f"calls itself {family.name}, as another one does: uninstall one of them.")
        taken = {name: entry.id for entry in other.entries for name in names.names_of(entry)}
        for entry in family.entries:
            if clash := sorted(names.names_of(entry) & taken.keys()):
                raise _Unusable(
                    f"calls its model {entry.id} {clash[0]!r}, which is {taken[clash[0]]} of the family {other.name}: "
                    "uninstall one of them."
                )
    return family


def _problem(point: EntryPoint, message: str) -> Problem:
    origin = f"from {point.dist.name} {point.dist.version}" if point.dist else point.value
    return Problem(family=point.name, message=f"The family {point.name} ({origin}) {message}")
