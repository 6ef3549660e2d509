"""How a video remembers the settings it was made with: one JSON object inside the file.

Any JSON object will do. The prompt is looked for at the top and under "params"; with what else is known there it
becomes the title and the description that file managers and players show.
"""

import json
import textwrap
from collections.abc import Mapping
from typing import Final

_DESCRIBED: Final = ("model", "width", "height", "frames", "fps", "steps", "solver", "seed")


def to_json(settings: Mapping[str, object], *, ascii_only: bool = False) -> str:
    """One line of JSON; other scripts stay readable unless `ascii_only`, or if some text is no valid Unicode."""
    text = json.dumps(settings, ensure_ascii=ascii_only, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which a command line can hold
        return to_json(settings, ascii_only=True)
    return text


def from_json(text: str | None) -> dict[str, object] | None:
    """The JSON object in `text`, or None: other programs write what they like into the same place."""
    try:
        value = json.loads(text or "")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def title(settings: Mapping[str, object]) -> str:
    """The first words of the prompt, or ''."""
    return textwrap.shorten(_plain(_known(settings).get("prompt", "")), width=60, placeholder=" …")


def description(settings: Mapping[str, object]) -> str:
    """One line for people, such as 'model t2v-A14B, steps 40, seed 7', or ''."""
    known = _known(settings)
    return ", ".join(f"{key} {_plain(known[key])}" for key in _DESCRIBED if known.get(key) is not None)


def _known(settings: Mapping[str, object]) -> dict[str, object]:
    inner = settings.get("params")
    return {**settings, **inner} if isinstance(inner, Mapping) else dict(settings)


def _plain(value: object) -> str:
    """Text that any container takes: no control characters, no lone surrogates."""
    text = str(value).encode("utf-8", "replace").decode()
    return "".join(char if char.isprintable() else " " for char in text)
