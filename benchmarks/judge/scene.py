"""What a demo clip can show: the judge's own copy of the demo world's words and colours, apart from training."""

from dataclasses import dataclass
from typing import Final, TypeAlias

RGB: TypeAlias = tuple[int, int, int]

SIZES: Final = ("small", "large")
SHAPES: Final = ("circle", "square", "triangle")
MOTIONS: Final = ("moves left", "moves right", "moves up", "moves down", "stays still", "is growing", "is shrinking")
COLOURS: Final[dict[str, RGB]] = {
    "red": (230, 40, 40),
    "green": (40, 190, 70),
    "blue": (50, 80, 230),
    "yellow": (240, 210, 40),
    "white": (245, 245, 245),
    "purple": (150, 60, 200),
    "orange": (245, 140, 30),
}
BACKGROUNDS: Final[dict[str, RGB]] = {
    "black": (15, 15, 15),
    "gray": (120, 120, 120),
    "navy": (15, 20, 70),
    "brown": (100, 60, 30),
}
ATTRIBUTES: Final = ("background", "colour", "shape", "motion", "size")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a clip was asked to show."""

    size: str
    colour: str
    shape: str
    motion: str
    background: str

    @property
    def caption(self) -> str:
        return f"a {self.size} {self.colour} {self.shape} {self.motion} on a {self.background} background"
