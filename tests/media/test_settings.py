import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wanvideo.media.settings import description, from_json, title, to_json

# Any text, lone surrogates included: a command line can hold them.
text = st.text(st.characters(exclude_categories=()), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(text, values, max_size=5))
def test_settings_survive_the_round_trip(settings: dict[str, object]) -> None:
    for ascii_only in (False, True):
        line = to_json(settings, ascii_only=ascii_only)
        line.encode()
        assert "\n" not in line
        assert from_json(line) == settings


def test_other_scripts_stay_readable() -> None:
    assert "冬の湖" in to_json({"prompt": "冬の湖"})
    assert to_json({"prompt": "冬"}, ascii_only=True) == '{"prompt": "\\u51ac"}'


@pytest.mark.parametrize("comment", [None, "", "made with love", "[1, 2]", "7", '{"a": ', "[" * 100_000])
def test_what_is_no_json_object_is_no_settings(comment: str | None) -> None:
    assert from_json(comment) is None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_are_not_written(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        to_json({"shift": value})


def test_the_title_is_the_first_words_of_the_prompt() -> None:
    assert title({"prompt": "a heron\nlands"}) == "a heron lands"
    assert title({"params": {"prompt": "nested"}}) == "nested"
    assert title({}) == ""
    long = title({"prompt": "a heron lands on a frozen lake " * 9})
    assert long.startswith("a heron lands on a frozen lake a heron")
    assert long.endswith("…")
    assert len(long) <= 60


def test_the_description_is_one_line_of_what_is_known() -> None:
    assert description({"app": "wanvideo", "params": {"model": "t2v-A14B", "seed": 7}}) == "model t2v-A14B, seed 7"
    assert description({"seed": None}) == ""
    assert description(json.loads('{"model": "a\\u0000\\ud800b"}')) == "model a ?b"
