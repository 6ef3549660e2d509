"""What the name of a LoRA file says about the expert it is for. No torch, no files."""

import re
from pathlib import PurePath
from typing import Final

from wanvideo.weights.variants import Part

# Words of a name, also where only capitals part them: "HighNoise", "high_noise", "HIGH-NOISE", "wan22HN".
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_MARKS: Final = {
    "high": Part.TRANSFORMER,
    "highnoise": Part.TRANSFORMER,
    "hn": Part.TRANSFORMER,
    "low": Part.TRANSFORMER_2,
    "lownoise": Part.TRANSFORMER_2,
    "ln": Part.TRANSFORMER_2,
}
# "low poly" and "high contrast" are styles.
_STYLES: Final = frozenset(
    {"angle", "contrast", "definition", "detail", "details", "fantasy", "fashion", "fidelity", "fps", "frequency"}
    | {"heel", "heels", "key", "light", "poly", "quality", "ram", "res", "resolution", "school", "speed", "vram"}
)
_SAYS_NOTHING: Final = frozenset({"lora", "loras", "model", "noise"})


def expert_in(name: str) -> Part | None:
    """The expert that a name speaks of; None if it speaks of none, or of both."""
    found = {part for _, _, part in _marks(name)}
    return next(iter(found)) if len(found) == 1 else None


def expert_of(path: PurePath) -> Part | None:
    """By the name of the file, or else of its folder."""
    return expert_in(path.stem) or expert_in(path.parent.name)


def without_expert(name: str) -> str:
    """`name` without the words for an expert, which is what a pair has in common; "" if nothing is left."""
    for start, end, _ in reversed(_marks(name)):
        name = name[:start] + name[end:]
    tidy = re.sub(r"([ ._-])[ ._-]+", r"\1", name).strip(" ._-")
    words = {word.casefold() for word in _WORD.findall(tidy)}
    return tidy if words - _SAYS_NOTHING else ""


def _marks(name: str) -> list[tuple[int, int, Part]]:
    """Where the words for an expert stand: (start, end, expert); "noise" after one belongs to it."""
    words = list(_WORD.finditer(name))
    found = []
    for i, word in enumerate(words):
        part = _MARKS.get(word[0].casefold())
        following = words[i + 1] if i + 1 < len(words) else None
        after = following[0].casefold() if following else ""
        if part is None or after in _STYLES:
            continue
        end = following.end() if following is not None and after == "noise" else word.end()
        found.append((word.start(), end, part))
    return found
