"""Which of the three model types a request is for, by rules and by what the models take."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from wanvideo.server.catalog import I2V, T2V, TI2V, WireType
from wanvideo.weights.entry import ModelEntry

# Words that ask for something to become something else, which a model that takes a picture and a text is for.
_CHANGE: Final = re.compile(
    r"\b(?:transform|morph|turns? into|becom(?:e|es|ing)|change[sd]? (?:in)?to|evolv|transition)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """A type, the rule that gave it, and what else takes the same inputs."""

    type: WireType
    rule: str
    alternatives: tuple[WireType, ...] = ()

    @property
    def confidence(self) -> float:
        """A number, because existing clients want one: the share of this type among those that take the inputs.

        It says how much the inputs leave open, and is no probability: there is nothing here that could estimate one.
        """
        return 1 / (1 + len(self.alternatives))


def detect(prompt: str, types: Mapping[WireType, ModelEntry], *, has_image: bool, has_end_image: bool) -> Detection:
    """types: what each of the three types means here."""
    takes = [name for name, entry in types.items() if _takes(entry, has_image, has_end_image)]
    preferred: WireType
    if has_end_image and has_image:
        preferred, rule = I2V, "rule: a first and a last picture"
    elif has_image and TI2V in takes and _CHANGE.search(prompt):
        preferred, rule = TI2V, "rule: a picture, and a prompt that asks for a change"
    elif has_image:
        preferred, rule = I2V, "rule: a picture to begin with"
    else:
        preferred, rule = T2V, "rule: no picture, so text alone"
    chosen = preferred if preferred in takes or not takes else takes[0]
    return Detection(type=chosen, rule=rule, alternatives=tuple(name for name in takes if name != chosen))


def _takes(entry: ModelEntry, has_image: bool, has_end_image: bool) -> bool:
    if has_end_image and not entry.takes_end_image:
        return False
    return entry.takes_image if has_image else not entry.requires_image
