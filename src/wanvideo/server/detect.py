"""Which of the three model types a request is for, by rules. A rule is sure or it is not: there is no probability."""

import re
from dataclasses import dataclass
from typing import Final

from wanvideo.server.catalog import I2V, T2V, TI2V

# Words that ask for something to become something else, which a model that takes a picture and a text is for.
_CHANGE: Final = re.compile(
    r"\b(?:transform|morph|turns? into|becom(?:e|es|ing)|change[sd]? (?:in)?to|evolv|transition)", re.IGNORECASE
)
# Existing clients want a number. It says how much the rule leaves open, not how likely it is to be right.
ONLY_CHOICE, USUAL_CHOICE = 1.0, 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """A type, the rule that gave it, and what else would do."""

    type: str
    rule: str
    confidence: float
    alternatives: tuple[str, ...] = ()


def detect(prompt: str, *, has_image: bool, has_end_image: bool) -> Detection:
    if has_image and has_end_image:
        return Detection(
            type=TI2V,
            rule="rule: a first and a last picture",
            confidence=USUAL_CHOICE,
            alternatives=(I2V,),
        )
    if has_image and _CHANGE.search(prompt):
        return Detection(
            type=TI2V,
            rule="rule: a picture, and a prompt that asks for a change",
            confidence=USUAL_CHOICE,
            alternatives=(I2V,),
        )
    if has_image:
        return Detection(type=I2V, rule="rule: a picture to begin with", confidence=USUAL_CHOICE, alternatives=(TI2V,))
    return Detection(type=T2V, rule="rule: no picture, so text alone", confidence=USUAL_CHOICE, alternatives=(TI2V,))
