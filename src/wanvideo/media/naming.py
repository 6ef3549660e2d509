"""How finished files are called: after their prompt and seed, or by a template of the user's.

The values are made safe one by one, and what a user writes between them is checked when the template is read: so no
prompt leads out of a folder, hides a file, or makes a name that another system cannot hold.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from wanvideo.errors import InvalidRequest

USUAL: Final = "{prompt}-{seed}"
SLUG_LENGTH: Final = 48
LONGEST: Final = 180  # bytes before the ending; file systems hold 255, encrypted ones 143 characters
ID_LENGTH: Final = 12  # of the 32 characters of a job's id

_FIELD: Final = re.compile(r"\{([^{}]*)\}")
_BETWEEN_LONGEST: Final = 50  # bytes; with every field at its longest, and 8 characters of the prompt, 180
_MODEL_LENGTH: Final = 32
_BETWEEN: Final = "-_.,+=()[] "  # besides letters and digits
_TAKEN_ON_WINDOWS: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)


class Named(Protocol):
    """What a name is made of; a ResolvedRequest has it all."""

    @property
    def model(self) -> str: ...
    @property
    def prompt(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def frames(self) -> int: ...
    @property
    def steps(self) -> int: ...


FIELDS: Final = ("date", "time", "model", "seed", "prompt", "size", "frames", "steps", "id")


@dataclass(frozen=True, slots=True)
class NameTemplate:
    """A text such as "{date}-{model}-{seed}-{prompt}". Raises InvalidRequest for one that makes no file names."""

    text: str = USUAL

    def __post_init__(self) -> None:
        fields = _FIELD.findall(self.text)
        for field in fields:
            if fields.count(field) > 1:
                raise InvalidRequest(f"the template {self.text!r:.100} names {{{field:.40}}} twice: name it once")
            if field not in FIELDS:
                known = ", ".join(f"{{{name}}}" for name in FIELDS)
                raise InvalidRequest(f"a name has no {{{field:.40}}}: there is {known}")
        between = _FIELD.sub("", self.text)
        if wrong := [char for char in between if not _is_plain(char)]:
            raise InvalidRequest(
                f"the template {self.text!r:.100} holds {wrong[0]!r}: use letters, digits, fields in braces, and "
                f"{_BETWEEN!r}; videos are not sorted into folders"
            )
        if self.text.startswith((".", "-", " ")):
            raise InvalidRequest(
                f"the template {self.text!r:.100} begins with {self.text[0]!r}: begin with something else"
            )
        if len(between.encode()) > _BETWEEN_LONGEST:
            raise InvalidRequest(
                f"the template has {len(between.encode())} bytes beside its fields: {_BETWEEN_LONGEST} fit"
            )
        if not self.text:
            raise InvalidRequest("the template is empty: write one such as {date}-{seed}-{prompt}")

    def file_name(self, request: Named, made: datetime, job: str = "") -> str:
        """Of a video, or of a picture for 1 frame; at most `LONGEST` bytes and the ending.

        The first characters of `job`, an id, are always in it: no two jobs share a name, and as long as `made` belongs
        to the job, each of its attempts has the same.
        """
        text = self.text if not job or "{id}" in self.text else f"{self.text}-{{id}}"
        values = _values(request, made, job)
        # What is too long loses words of the prompt first, and never the id.
        for words in range(SLUG_LENGTH, 0, -8):
            name = _filled(text, {**values, "prompt": slug(request.prompt, words)})
            if len(name.encode()) <= LONGEST:
                break
        stem = f"video-{name}" if _TAKEN_ON_WINDOWS.fullmatch(name) else name
        return f"{stem}{'.png' if request.frames == 1 else '.mp4'}"


def slug(text: str, length: int = SLUG_LENGTH) -> str:
    """A part of a file name that recalls a text: its first words, in any script, or "video"."""
    letters = (char if unicodedata.category(char)[0] in "LMN" else " " for char in text.casefold())
    name = "-".join("".join(letters).split())
    if len(name) > length:  # cut between words, if there is a between
        name = name[: length + 1].rpartition("-")[0] or name[:length]
    return name or "video"


def _values(request: Named, made: datetime, job: str) -> dict[str, str]:
    return {
        "date": f"{made:%Y-%m-%d}",
        "time": f"{made:%H%M%S}",
        "model": slug(request.model, _MODEL_LENGTH),
        "seed": str(request.seed),
        "size": f"{request.width}x{request.height}",
        "frames": str(request.frames),
        "steps": str(request.steps),
        "id": job[:ID_LENGTH],
    }


def _filled(text: str, values: Mapping[str, str]) -> str:
    name = _FIELD.sub(lambda found: values[found[1]], text).strip(" .-")
    return name or "video"


def _is_plain(char: str) -> bool:
    return char in _BETWEEN or unicodedata.category(char)[0] in "LMN"
