import pytest
from hypothesis import given
from hypothesis import strategies as st

from wanvideo.errors import UnknownModel
from wanvideo.weights.catalog import MODELS
from wanvideo.weights.names import key, names_of, resolve

SPELLINGS = [(spec.id, name) for spec in MODELS for name in (spec.id, *spec.aliases)]


@given(spelling=st.sampled_from(SPELLINGS), separator=st.sampled_from(["-", "_", " ", ".", " - "]), upper=st.booleans())
def test_case_and_separators_do_not_count(spelling: tuple[str, str], separator: str, upper: bool) -> None:
    id_, name = spelling
    spelled = name.replace("-", separator)
    assert resolve(spelled.upper() if upper else spelled, MODELS).id == id_


@pytest.mark.parametrize("path", ["./t2v-A14B", "models/t2v-A14B", "/t2v-A14B", "somebody/Wan2.2-T2V-A14B"])
def test_a_path_or_the_repository_of_somebody_else_is_no_name(path: str) -> None:
    with pytest.raises(UnknownModel):
        resolve(path, MODELS)


def test_no_name_means_two_models() -> None:
    names = [name for spec in MODELS for name in names_of(spec)]
    assert len(set(names)) == len(names)


@given(st.text())
def test_a_key_is_its_own_key(name: str) -> None:
    assert key(key(name)) == key(name)
