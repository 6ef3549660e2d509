"""Which families are found, and what becomes of those that cannot be used."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from toy_family import FAMILY
from wanvideo.errors import ModelMissing, UnknownModel
from wanvideo.families.protocol import ENTRY_POINTS, Places
from wanvideo.families.registry import Registry, discover, installed_families
from wanvideo.families.wan import WAN
from wanvideo.request import GenerationRequest
from wanvideo.weights.catalog import MODELS

OURS = "wanvideo.families.wan:WAN"
TOY = "toy_family:FAMILY"

MODULE = """
from dataclasses import replace
from toy_family.family import FAMILY, PLASMA, ToyFamily

CLASS = ToyFamily
NUMBER = 7
TEXT = "a family"
TWICE = ToyFamily()
CLAIMS_OURS = ToyFamily("other", [replace(PLASMA, id="T2V_A14B", family="other", aliases=())])
STRANGER = ToyFamily("other", [PLASMA])

class Raises:
    name = "raises"

    @property
    def entries(self):
        raise OSError("no disk")

    def adapt(self): ...
    def look_in(self): ...

RAISES = Raises()
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "families_of_others.py").write_text(MODULE)
    (tmp_path / "family_that_raises.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)


def found(*values: str) -> Registry:
    return discover(EntryPoint(f"f{number}", value, ENTRY_POINTS) for number, value in enumerate(values))


def test_our_family_is_there_with_and_without_its_entry_point() -> None:
    assert found().families == found(OURS).families == (WAN,)
    assert WAN in installed_families().families


def test_another_family_stands_beside_ours() -> None:
    registry = found(TOY, OURS)
    assert registry.families == (WAN, FAMILY)
    assert registry.problems == ()
    assert [entry.id for entry in registry.entries] == [*(spec.id for spec in MODELS), "toy-plasma"]
    assert registry.resolve("Toy Plasma").family == registry.resolve("plasma").family == "toy"
    assert registry.family_of(registry.resolve("toy-plasma")) is FAMILY


def test_each_family_is_asked_about_its_own_models() -> None:
    registry = found(TOY)
    plasma, demo = registry.resolve("plasma"), registry.resolve("t2v-A14B-demo")
    search = registry.look_in(Places())
    assert search.find(plasma)[0].entry == plasma
    assert search.find(demo)[0].nbytes > 2**20
    request = GenerationRequest(prompt="waves", seed=7)
    assert registry.adapt(plasma, request).fps == 24
    assert registry.adapt(demo, request).fps == 8


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("family_that_raises:FAMILY", "cannot be used (ZeroDivisionError"),
        ("family_that_is_not_there:FAMILY", "cannot be used (ModuleNotFoundError"),
        ("families_of_others:NOTHING", "cannot be used (AttributeError"),
        ("families_of_others:CLASS", "is no object with what"),
        ("families_of_others:NUMBER", "is no object with what"),
        ("families_of_others:TEXT", "is no object with what"),
        ("families_of_others:RAISES", "cannot be used (OSError: no disk)"),
        ("families_of_others:STRANGER", "lists what is no model of the family other"),
        ("families_of_others:TWICE", "calls itself toy, as another one does: uninstall one"),
        ("families_of_others:CLAIMS_OURS", "'t2v-a14b', which is t2v-A14B of the family wan: uninstall one"),
    ],
)
@pytest.mark.usefixtures("modules")
def test_a_family_that_cannot_be_used_is_left_out_and_that_is_said(value: str, said: str) -> None:
    registry = found(TOY, value)
    assert registry.families == (WAN, FAMILY)
    (problem,) = registry.problems
    assert problem.family == "f1"
    assert said in problem.message


@pytest.mark.usefixtures("modules")
def test_an_unknown_name_may_be_of_a_family_that_cannot_be_used() -> None:
    with pytest.raises(UnknownModel, match=r"no model is called 'lost'.*The family f0 .* cannot be used"):
        found("family_that_raises:FAMILY").resolve("lost")
    with pytest.raises(UnknownModel) as caught:
        found(TOY).resolve("toy-plasm")
    assert caught.value.suggestions == ("toy-plasma",)


def test_a_folder_is_opened_by_whoever_knows_it(tiny: Path, tmp_path: Path) -> None:
    search = found(TOY).look_in(Places())
    assert search.open(tiny / "t2v").entry.family == "wan"
    with pytest.raises(ModelMissing, match="does not exist"):
        search.open(tmp_path / "nothing")
