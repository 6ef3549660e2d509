"""Help with prompts, by rules that say that they are rules."""

import pytest

from wanvideo.errors import InvalidPrompt
from wanvideo.server.prompt import RULES, by_rules, remarks, speaks_of_vace, style_of


def test_rules_add_what_is_not_there_and_say_so() -> None:
    made = by_rules("a heron lands on a lake.", ["cinematic"])
    assert made.text.startswith("a heron lands on a lake, ")
    assert made.applied == ("rule: camera", "rule: light", "rule: depth")


def test_what_is_there_is_not_added_again() -> None:
    text = "close-up of a heron, golden hour, bokeh, watercolour"
    assert by_rules(text, ["cinematic", "style"]) == by_rules(text, [])
    assert by_rules(text, ["cinematic", "style"]).text == text


def test_applying_the_rules_twice_changes_nothing_more() -> None:
    kinds = [rule.kind for rule in RULES]
    once = by_rules("a heron", kinds)
    assert by_rules(once.text, kinds).text == once.text


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(InvalidPrompt):
        by_rules("  ", ["cinematic"])


def test_looks_are_found_by_their_words() -> None:
    style = style_of("an anime girl")
    assert style is not None
    assert style.name == "anime"
    assert style_of("a heron") is None
    assert speaks_of_vace("inpaint the mask")
    assert not speaks_of_vace("a heron")
    assert remarks("a heron")
