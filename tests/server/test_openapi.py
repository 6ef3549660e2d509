"""The document that the types of the web app are made from."""

from pathlib import Path

from scripts.openapi import text

KEPT = Path(__file__).parents[2] / "web" / "openapi.json"


def test_the_web_app_knows_the_api_as_it_is() -> None:
    assert KEPT.read_text("utf-8") == text(), "web/openapi.json is out of date: make web-types"
