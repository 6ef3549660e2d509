"""All checks of one family."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from wanvideo.errors import ModelMissing
from wanvideo.families.protocol import Family, InstalledModel
from wanvideo.testing import catalog, running
from wanvideo.testing.check import Check, NotConforming
from wanvideo.weights import names
from wanvideo.weights.places import Places

_OF_THE_CATALOG = (
    catalog.has_a_name_and_models,
    catalog.describes_its_models,
    catalog.has_legal_defaults,
    catalog.resolves_its_names,
    catalog.adapts_by_a_fixed_point,
    catalog.reports_every_change,
    catalog.draws_a_seed,
    catalog.refuses_what_it_cannot_do,
    catalog.refuses_pictures_it_cannot_take,
    catalog.is_described_without_the_engine,
)
_OF_A_MODEL = (
    running.plans_its_memory,
    running.refuses_before_it_starts,
    running.repeats_itself,
    running.follows_the_prompt,
    running.can_be_cancelled,
    running.frees_what_it_loaded,
)


def checks(family: Family, *, models: Sequence[str] | None = None, places: Places | None = None) -> list[Check]:
    """Everything that `family` has to do.

    models: names of those that are run, on the CPU, at their smallest size; by default all that are found in `places`.
    places: where models are looked for; by default only where a family keeps what comes with its package.

    Raises NotConforming if there is no model to run.
    """
    where = places or Places()
    found = [check for function in _OF_THE_CATALOG for check in [_check(function.__name__, partial(function, family))]]
    installed = _installed(family, models, where)
    if not installed:
        raise NotConforming(f"no model of {family.name} is on disk: name one and its place, or ship a small one")
    for model in installed:
        tell = partial(running.says_what_it_does, family, model)
        found.append(_check(running.says_what_it_does.__name__, tell, model.entry.id))
        found += [_check(function.__name__, partial(function, model), model.entry.id) for function in _OF_A_MODEL]
    return found


def conformance(
    family: Family, *, models: Sequence[str] | None = None, places: Places | None = None
) -> Callable[[Check], None]:
    """A pytest test with one case for each of `checks`; bind it to a name that begins with `test`."""
    import pytest

    @pytest.mark.parametrize("check", checks(family, models=models, places=places), ids=str)
    def test(check: Check) -> None:
        check()

    return test


def _check(name: str, run: Callable[[], None], model: str | None = None) -> Check:
    return Check(f"{model}-{name}" if model else name, run)


def _installed(family: Family, models: Sequence[str] | None, where: Places) -> list[InstalledModel]:
    """The best form of each model that is on disk; all of `models` have to be."""
    finder = family.look_in(where)
    if models is not None:
        return [finder.find(names.resolve(name, family.entries))[0] for name in models]
    found = []
    for entry in family.entries:
        with suppress(ModelMissing):
            found.append(finder.find(entry)[0])
    return found
