"""Messages without the places of files: what a user may see names models and files, not the folders of a computer."""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from wanvideo.errors import Fact

# An absolute path: no part of a URL, of a fraction or of "and/or"; no call of the API, such as GET /api/v1/lora/list.
_ABSOLUTE: Final = re.compile(r"(?<![\w.:/~])(?!/(?:api/)?v1/)~?/(?:[^\s/:;,'\"()\[\]]+/)*[^\s/:;,'\"()\[\]]*")
# What is left of a path where its last folder says which part of a model it is.
_PART: Final = re.compile(r"(?:transformer(?:_2)?|text_encoder|vae|tokenizer)/[^/]*$")


def without_folders(text: str, folders: Iterable[Path] = ()) -> str:
    """`text` with paths cut down: those in `folders` to what follows them, others to the name of the file."""
    for folder in sorted({str(folder) for folder in folders}, key=len, reverse=True):
        if len(folder) > 1:
            inside = r"(?:/\.[^/\s]+(?=/))*"  # hidden folders say nothing to anybody
            found = rf"(?<![\w/.-]){re.escape(folder)}{inside}(?:/|(?![\w.-]))"
            text = re.sub(found, _named(Path(folder).name), text)
    return _ABSOLUTE.sub(lambda found: _shortened(found.group()), text)


def facts_without_folders(facts: Mapping[str, Fact], folders: Iterable[Path] = ()) -> dict[str, Fact]:
    folders = tuple(folders)
    return {name: without_folders(value, folders) if isinstance(value, str) else value for name, value in facts.items()}


def _named(name: str) -> Callable[[re.Match[str]], str]:
    """What stands for a folder: nothing before a file in it, else its name."""
    return lambda found: "" if found.group().endswith("/") else name


def _shortened(path: str) -> str:
    part = _PART.search(path)
    return part.group() if part else path.rstrip("/").rpartition("/")[2]
