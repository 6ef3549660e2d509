"""How finished files are called."""

import unicodedata
from typing import Final

_LENGTH: Final = 40


def file_name(prompt: str, seed: int, job: str, *, still: bool) -> str:
    """First words of the prompt, seed and id: the same for every attempt of a job, and never that of another one."""
    letters = (char if unicodedata.category(char)[0] in "LMN" else " " for char in prompt.casefold())
    words = "-".join("".join(letters).split())[:_LENGTH].strip("-") or "video"
    return f"{words}-{seed}-{job[:8]}{'.png' if still else '.mp4'}"
