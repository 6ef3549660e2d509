"""Help with prompts. By rule: words are added where none of their kind is there, and each addition is named as a rule.

Or by a language model of the operator's choice, which is asked for the structure that Wan's authors publish: subject,
scene, motion, camera, light and style.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from wanvideo.errors import InvalidPrompt
from wanvideo.server.errors import NotReady

INSTRUCTIONS: Final = (
    "Rewrite the user's idea as one prompt for the video model Wan 2.2. Keep what the user asked for: subjects, their "
    "number, actions, quoted text and language. Write one paragraph of 80 to 100 words in the present tense that "
    "says, in this order: the subject and how it looks; the scene around it; one plausible motion that fits into five "
    "seconds; the shot size, camera angle and camera movement; light, colour and atmosphere; the visual style. "
    "Describe only what can be seen. Answer with the prompt alone."
)
ENHANCER_SECONDS: Final = 60.0
_MOST_ANSWER: Final = 16 * 1024  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Adds words to a prompt that has none of their kind."""

    name: str
    kind: str  # "cinematic", "style" or "vace"
    adds: str
    unless: re.Pattern[str]

    def applies(self, prompt: str) -> bool:
        return self.unless.search(prompt) is None


def _words(*words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(words)})", re.IGNORECASE)


RULES: Final = (
    Rule(
        name="rule: camera",
        kind="cinematic",
        adds="slow tracking shot, medium shot",
        unless=_words("shot", "camera", "close-?up", "pan(?:s|ning)?\\b", "dolly", "zoom", "orbit", "aerial", "drone"),
    ),
    Rule(
        name="rule: light",
        kind="cinematic",
        adds="soft cinematic light",
        unless=_words("light", "lit\\b", "sun", "moon", "dusk", "dawn", "neon", "shadow", "golden hour", "backlit"),
    ),
    Rule(
        name="rule: depth",
        kind="cinematic",
        adds="shallow depth of field",
        unless=_words("depth of field", "bokeh", "focus", "wide[- ]angle", "lens"),
    ),
    Rule(
        name="rule: style",
        kind="style",
        adds="photorealistic, rich natural colours",
        unless=_words(
            "realis", "photo", "anime", "cartoon", "watercolou?r", "painting", "illustration", "3d", "pixel",
            "clay", "film", "style", "sketch", "render",
        ),
    ),
    Rule(
        name="rule: motion",
        kind="vace",
        adds="smooth continuous motion, consistent appearance from frame to frame",
        unless=_words("smooth", "consistent", "continuous"),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """A look that a prompt may ask for."""

    name: str
    title: str
    about: str
    words: re.Pattern[str]


STYLES: Final = (
    Style(name="cinematic", title="Cinematic", about="as filmed for the cinema",
          words=_words("cinematic", "film", "movie")),
    Style(name="photorealistic", title="Photorealistic", about="as a camera sees it", words=_words("photo", "realis")),
    Style(name="anime", title="Anime", about="Japanese animation", words=_words("anime", "manga", "ghibli")),
    Style(name="cartoon", title="Cartoon", about="drawn animation", words=_words("cartoon", "animated", "pixar")),
    Style(name="3d", title="3D render", about="computer graphics", words=_words("3d", "render", "cgi", "voxel")),
    Style(name="painting", title="Painting", about="oil or watercolour",
          words=_words("painting", "watercolou?r", "oil on", "impressionis", "ink wash")),
    Style(name="pixel", title="Pixel art", about="few, large pixels", words=_words("pixel")),
    Style(name="documentary", title="Documentary", about="handheld and plain",
          words=_words("documentary", "handheld", "found footage")),
)  # fmt: skip

# Words of the VACE models: editing and reference to given material.
_VACE: Final = _words("vace\\b", "inpaint", "outpaint", "mask", "reference (?:image|video)", "subject reference")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A prompt made longer, and by what."""

    text: str
    applied: tuple[str, ...]  # names of rules, or of the language model


def by_rules(prompt: str, kinds: Sequence[str]) -> Suggestion:
    """Add what the rules of these kinds say is not there yet. Raises InvalidPrompt for an empty prompt."""
    text = prompt.strip()
    if not text:
        raise InvalidPrompt("the prompt is empty: say what the video should show")
    rules = [rule for rule in RULES if rule.kind in kinds and rule.applies(text)]
    added = ", ".join([text.rstrip(" .,"), *(rule.adds for rule in rules)])
    return Suggestion(text=added if rules else text, applied=tuple(rule.name for rule in rules))


def style_of(prompt: str) -> Style | None:
    """The first look that the words of a prompt name."""
    return next((style for style in STYLES if style.words.search(prompt)), None)


def speaks_of_vace(prompt: str) -> bool:
    return _VACE.search(prompt) is not None


def remarks(prompt: str) -> list[str]:
    """What could be said as well, by the structure of good prompts."""
    said = [f"{rule.name.removeprefix('rule: ')}: such as “{rule.adds}”" for rule in RULES if rule.applies(prompt)]
    if len(prompt.split()) < 8:
        said.insert(0, "length: models do best with 80 to 100 words about subject, scene and motion")
    return said


# --- by a language model ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Enhancer:
    """An OpenAI-compatible server that the operator named."""

    url: str
    model: str
    key: str | None = None

    @property
    def name(self) -> str:
        return f"language model: {self.model}"

    async def rewrite(self, prompt: str) -> Suggestion:
        """Raises NotReady if there is no usable answer."""
        headers = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        body = {
            "model": self.model,
            "messages": [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": prompt}],
            "temperature": 0.7,
        }
        try:
            async with httpx2.AsyncClient(timeout=ENHANCER_SECONDS, follow_redirects=False) as client:
                answer = await client.post(f"{self.url.rstrip('/')}/chat/completions", json=body, headers=headers)
            answer.raise_for_status()
            text = _content(answer.json())
        except (httpx2.HTTPError, ValueError) as error:
            raise NotReady(
                f"the language model {self.model} gave no answer ({type(error).__name__}): check the server that the "
                "settings name, or use the rules"
            ) from error
        return Suggestion(text=text, applied=(self.name,))


def _content(answer: Any) -> str:
    """Raises ValueError unless it is an answer in words."""
    try:
        text = answer["choices"][0]["message"]["content"]
    except (LookupError, TypeError):
        raise ValueError("no such answer") from None
    # Some models think aloud first.
    text = re.sub(r"<think>.*?</think>", "", text, flags=re.DOTALL).strip() if isinstance(text, str) else ""
    if not text or len(text) > _MOST_ANSWER:
        raise ValueError("no usable text")
    return text
