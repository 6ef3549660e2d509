"""Messages without what is nobody else's business: where files lie."""

import re
from collections.abc import Mapping
from typing import Final

from wanvideo.errors import Fact

# The folders of an absolute path, up to its last part. Addresses on the web have their own slashes, and so has the API.
_FOLDERS: Final = re.compile(r"(?<![\w:/.~-])(?!/(?:api/)?v1/)~?(?:/[^\s/'\"`:;,()\[\]<>]+)+/(?=[^\s/'\"`:;,()\[\]<>])")


def without_folders(text: str) -> str:
    """Every absolute path shortened to its last part."""
    return _FOLDERS.sub("", text)


def redacted(facts: Mapping[str, Fact]) -> dict[str, Fact]:
    return {name: without_folders(value) if isinstance(value, str) else value for name, value in facts.items()}
