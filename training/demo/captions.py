"""The words of the demo world: its attributes, the caption template, and other ways to say the same. No torch here."""

import random
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from itertools import product
from typing import Final, TypeAlias

RGB: TypeAlias = tuple[int, int, int]

SIZES: Final = ("small", "large")
COLOURS: Final[dict[str, RGB]] = {
    "red": (230, 40, 40),
    "green": (40, 190, 70),
    "blue": (50, 80, 230),
    "yellow": (240, 210, 40),
    "white": (245, 245, 245),
    "purple": (150, 60, 200),
    "orange": (245, 140, 30),
}
SHAPES: Final = ("circle", "square", "triangle")
MOTIONS: Final = ("moves left", "moves right", "moves up", "moves down", "stays still", "is growing", "is shrinking")
BACKGROUNDS: Final[dict[str, RGB]] = {
    "black": (15, 15, 15),
    "gray": (120, 120, 120),
    "navy": (15, 20, 70),
    "brown": (100, 60, 30),
}
# In the order of a scene's fields and of a caption. An attribute's label is its place in its own tuple.
VOCABULARY: Final = (SIZES, tuple(COLOURS), SHAPES, MOTIONS, tuple(BACKGROUNDS))


@dataclass(frozen=True, slots=True)
class Scene:
    """What a clip shows, in words. Raises ValueError for a word that the world does not know."""

    size: str
    colour: str
    shape: str
    motion: str
    background: str

    def __post_init__(self) -> None:
        for word, known in zip(astuple(self), VOCABULARY, strict=True):
            if word not in known:
                raise ValueError(f"{word!r} is not in the demo world; it knows {', '.join(known)}")

    @property
    def labels(self) -> tuple[int, int, int, int, int]:
        """The places of the five words in `VOCABULARY`."""
        size, colour, shape, motion, background = (
            known.index(word) for word, known in zip(astuple(self), VOCABULARY, strict=True)
        )
        return size, colour, shape, motion, background

    @classmethod
    def from_labels(cls, size: int, colour: int, shape: int, motion: int, background: int) -> "Scene":
        """The inverse of `labels`."""
        labels = (size, colour, shape, motion, background)
        return cls(*(known[label] for known, label in zip(VOCABULARY, labels, strict=True)))


def all_scenes() -> Iterator[Scene]:
    """Every scene of the world, 1176 of them, in the order of their labels."""
    return (Scene(*words) for words in product(*VOCABULARY))


def caption(scene: Scene) -> str:
    """The one sentence that everybody may rely on."""
    return f"a {scene.size} {scene.colour} {scene.shape} {scene.motion} on a {scene.background} background"


# Every word below stands for one attribute value only, so that no paraphrase is ambiguous.
SIZE_WORDS: Final = {"small": ("small", "little", "tiny"), "large": ("large", "big", "huge")}
COLOUR_WORDS: Final = {
    "red": ("red", "bright red"),
    "green": ("green", "bright green"),
    "blue": ("blue", "bright blue"),
    "yellow": ("yellow", "bright yellow"),
    "white": ("white",),
    "purple": ("purple", "violet"),
    "orange": ("orange", "bright orange"),
}
SHAPE_WORDS: Final = {
    "circle": ("circle", "disc", "disk", "ball"),
    "square": ("square", "box"),
    "triangle": ("triangle",),
}
BACKGROUND_WORDS: Final = {
    "black": ("black",),
    "gray": ("gray", "grey"),
    "navy": ("navy", "navy blue", "dark blue"),
    "brown": ("brown",),
}
# (says what it does, after "a circle"; describes it doing so, after "a video of a circle")
MOTION_WORDS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    **{
        f"moves {way}": (
            (f"moves {way}", f"moving {way}"),
            (f"is moving {way}", f"moving {way}"),
            (f"goes {way}", f"going {way}"),
            (f"shifts {way}", f"shifting {way}"),
            (f"slides {way}", f"sliding {way}"),
            *special,
        )
        for way, special in {
            "left": (
                ("moves to the left", "moving to the left"),
                ("goes to the left", "going to the left"),
                ("slides from right to left", "sliding from right to left"),
            ),
            "right": (
                ("moves to the right", "moving to the right"),
                ("goes to the right", "going to the right"),
                ("slides from left to right", "sliding from left to right"),
            ),
            "up": (("rises", "rising"), ("moves upward", "moving upward"), ("goes upwards", "going upwards")),
            "down": (
                ("falls", "falling"),
                ("moves downward", "moving downward"),
                ("goes downwards", "going downwards"),
            ),
        }.items()
    },
    "stays still": (
        ("stays still", "staying still"),
        ("is not moving", "not moving"),
        ("does not move", "that does not move"),
        ("stands still", "standing still"),
        ("stays in place", "staying in place"),
        ("is motionless", "that is motionless"),
    ),
    "is growing": (
        ("is growing", "growing"),
        ("grows", "that grows"),
        ("gets bigger", "getting bigger"),
        ("is getting larger", "getting larger"),
        ("becomes bigger", "becoming bigger"),
        ("expands", "expanding"),
    ),
    "is shrinking": (
        ("is shrinking", "shrinking"),
        ("shrinks", "that shrinks"),
        ("gets smaller", "getting smaller"),
        ("is getting smaller", "getting smaller"),
        ("becomes smaller", "becoming smaller"),
        ("contracts", "contracting"),
    ),
}
OPENINGS: Final = ("a video of ", "video of ", "an animation of ", "a clip of ", "a clip showing ")
ENDINGS: Final = ("", "", "", ".", ".", "!")


def paraphrase(scene: Scene, rng: random.Random) -> str:
    """Another English sentence that names all five attributes: synonyms, word order, articles, capitals, full stops."""
    thing, description = _thing(scene, rng), _background(scene, rng)
    does, doing = rng.choice(MOTION_WORDS[scene.motion])
    place = rng.choice(("on", "on", "on", "against", "over", "in front of")) + f" {article(description)}"
    sentence = rng.choice(
        (
            f"{article(thing)} {does} {place}",
            f"{article(thing)} {does} {place}",
            f"{article(thing)} {doing} {place}",
            f"the {thing} {does} {place}",
            f"{thing} {doing} {place}",
            f"{thing} {does}, {description}",
            f"{thing}, {doing}, {description}",
            f"{article(thing)} {place} {does}",
            f"{place} {article(thing)} {does}",
            f"{place}, there is {article(thing)} {doing}",
            f"{description}, {article(thing)} {does}",
            f"there is {article(thing)} {place}. it {does}",
            f"{rng.choice(OPENINGS)}{article(thing)} {doing} {place}",
            f"{rng.choice(OPENINGS)}{article(thing)} that {does} {place}",
        )
    )
    return _typed(sentence, rng)


def fragment(scene: Scene, rng: random.Random) -> str:
    """A shorter prompt, as people type them: colour and shape, and each other attribute only half the time.

    What is left out is true of the clip all the same, so a model learns that it may choose.
    """
    size = rng.choice(SIZE_WORDS[scene.size]) + " " if rng.random() < 0.5 else ""
    thing = f"{size}{rng.choice(COLOUR_WORDS[scene.colour])} {rng.choice(SHAPE_WORDS[scene.shape])}"
    motion = f" {rng.choice(rng.choice(MOTION_WORDS[scene.motion]))}" if rng.random() < 0.5 else ""
    place = f" on {article(_background(scene, rng))}" if rng.random() < 0.5 else ""
    return _typed(f"{rng.choice((article(thing), thing))}{motion}{place}", rng)


def article(noun: str) -> str:
    """`noun` with "a" or "an" before it."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _thing(scene: Scene, rng: random.Random) -> str:
    size = rng.choice(SIZE_WORDS[scene.size])
    colour = rng.choice(COLOUR_WORDS[scene.colour])
    shape = rng.choice(SHAPE_WORDS[scene.shape])
    return rng.choice(
        (
            f"{size} {colour} {shape}",
            f"{size} {colour} {shape}",
            f"{size}, {colour} {shape}",
            f"{colour} {size} {shape}",
        )
    )


def _background(scene: Scene, rng: random.Random) -> str:
    return f"{rng.choice(BACKGROUND_WORDS[scene.background])} {rng.choice(('background', 'background', 'backdrop'))}"


def _typed(sentence: str, rng: random.Random) -> str:
    sentence += rng.choice(ENDINGS)
    return rng.choice(
        (sentence, sentence, sentence[0].upper() + sentence[1:], sentence.upper() if rng.random() < 0.2 else sentence)
    )
