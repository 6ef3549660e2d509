"""Which model makes a video: the one that was asked for, and what may stand in for it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wanvideo.errors import WanVideoError
from wanvideo.families.protocol import InstalledModel
from wanvideo.families.registry import Registry, Search
from wanvideo.jobs.spec import Fallback, JobSpec
from wanvideo.request import GenerationRequest, Tier
from wanvideo.weights.entry import ModelEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model in one form, computed in one way."""

    entry: ModelEntry
    precision: str | None  # None: the best there is
    tier: Tier
    form: InstalledModel | None = None  # None: not looked for yet

    @property
    def name(self) -> str:
        details = ", ".join(filter(None, (self.precision, self.tier if self.tier is not Tier.EXACT else None)))
        return f"{self.entry.id} ({details})" if details else self.entry.id

    def found(self, search: Search) -> InstalledModel:
        """Raises the errors of models on disk."""
        return self.form if self.form is not None else search.find(self.entry, self.precision)[0]


def candidates(spec: JobSpec, families: Registry, search: Search) -> Iterator[Candidate]:
    """First what was asked for; then, as far as `spec.fallback` allows, what is here and takes the same pictures.

    Raises UnknownModel.
    """
    entry = families.resolve(spec.model)
    yield Candidate(entry=entry, precision=spec.variant, tier=spec.tier)
    if spec.fallback is Fallback.OFF or entry.demo:  # nothing stands in for a demo
        return
    forms = _forms(search, entry)
    # The best form is what was tried, unless another one was asked for.
    for form in forms[1:] if spec.variant is None else forms:
        if form.precision != spec.variant:
            yield Candidate(entry=entry, precision=form.precision, tier=spec.tier, form=form)
    for other in sorted(families.entries, key=lambda other: other.rank, reverse=True):
        allowed = spec.fallback is Fallback.DEMO if other.demo else other.rank > 0
        if allowed and other.id != entry.id and _takes(other, spec.request):
            for form in _forms(search, other)[:1]:
                yield Candidate(entry=other, precision=form.precision, tier=spec.tier, form=form)


def _forms(search: Search, entry: ModelEntry) -> Sequence[InstalledModel]:
    """Of a model, those that are here and in order, the best first."""
    try:
        return search.find(entry)
    except WanVideoError:
        return ()


def _takes(entry: ModelEntry, request: GenerationRequest) -> bool:
    """Whether a model can be given the pictures of a request."""
    if request.image is None:
        return not entry.requires_image
    return entry.takes_image and (request.end_image is None or entry.takes_end_image)
