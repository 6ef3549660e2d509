"""Which sizes a model can make, and how pictures get there. Whole numbers throughout, and no torch.

Sizes derived from a picture follow the official code (`wan/image2video.py`; `best_output_size` of `wan/utils/utils.py`)
with exact arithmetic: in floating point, sqrt(480 * 832 * 480 / 832) is a little below 480, which the official code
rounds down to a height of 464.
"""

import math
from functools import cache
from itertools import product
from typing import NamedTuple

from wanvideo.errors import InvalidSize
from wanvideo.weights.entry import Limits

MAX_SIDE = 16384  # pixels that may be asked for; a larger number is a slip of the finger, not a video


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int

    @property
    def area(self) -> int:
        return self.width * self.height

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@cache
def legal_sizes(limits: Limits) -> str:
    """The legal sizes in words, for messages."""
    return (
        f"width and height are multiples of {limits.size_multiple} from {limits.min_side}, "
        f"with at most {limits.max_area} pixels in all, such as {_largest(limits)}"
    )


def nearest_legal(asked: Size, limits: Limits) -> Size:
    """The legal size nearest to `asked`: scaled down to the largest area if need be, then each side rounded, ties up.

    Where rounding up would exceed the area, the aspect decides. Raises InvalidSize if a side gets too short.
    """
    scale = min(1.0, math.sqrt(limits.max_area / max(1, asked.area)))
    width, height = (side * scale for side in asked)
    if min(width, height) < limits.min_side:
        scaled = f" (scaled down, {width:.0f}x{height:.0f})" if scale < 1 else ""
        raise InvalidSize(
            f"{asked}{scaled} is too small: {legal_sizes(limits)}",
            facts={"width": asked.width, "height": asked.height, "multiple": limits.size_multiple},
        )
    multiple = limits.size_multiple
    nearest = Size(_nearest(width, multiple), _nearest(height, multiple))
    if nearest.area <= limits.max_area:
        return nearest
    around = product(_around(width, multiple), _around(height, multiple))
    fitting = [size for pair in around if (size := Size(*pair)).area <= limits.max_area]
    return min(fitting, key=lambda size: (_aspect_error(size, asked), -size.area))


def with_aspect(side: int, own: int, other: int) -> int:
    """The side that stands to `side` as `other` to `own`, to the nearest pixel."""
    return (2 * side * other + own) // (2 * own)


def floored_size(image: Size, area: int, limits: Limits) -> Size:
    """The shape of `image` at `area` pixels, both sides rounded down: the rule of I2V-A14B."""
    multiple = limits.size_multiple
    width = _floor(math.isqrt(area * image.width // image.height), multiple)
    height = _floor(math.isqrt(area * image.height // image.width), multiple)
    return _not_too_narrow(Size(width, height), area, limits)


def best_size(image: Size, area: int, limits: Limits) -> Size:
    """The shape of `image` at no more than `area` pixels: the rule of TI2V-5B.

    Either side may be rounded down first and the other one made as long as the area allows; the better aspect wins.
    """
    multiple = limits.size_multiple
    width = _floor(math.isqrt(area * image.width // image.height), multiple)
    height = _floor(math.isqrt(area * image.height // image.width), multiple)
    if min(width, height) < limits.min_side:
        return _not_too_narrow(Size(width, height), area, limits)
    by_width = Size(width, _floor(area // width, multiple))
    by_height = Size(_floor(area // height, multiple), height)
    better = by_width if _aspect_error(by_width, image) < _aspect_error(by_height, image) else by_height
    return _not_too_narrow(better, area, limits)


def is_rounded(size: Size, image: Size, multiple: int) -> bool:
    """Whether `size` has the shape of `image` but for rounding, so that resizing distorts by less than a multiple."""
    across = abs(size.width * image.height - size.height * image.width)
    return across < multiple * max(image)


def covering(image: Size, target: Size) -> Size:
    """The least size of the shape of `image` that covers `target`; what sticks out is to be cropped."""
    scale = max(target.width / image.width, target.height / image.height)
    return Size(round(image.width * scale), round(image.height * scale))


def _nearest(length: float, multiple: int) -> int:
    return math.floor(length / multiple + 0.5) * multiple


def _floor(length: int, multiple: int) -> int:
    return length // multiple * multiple


def _around(length: float, multiple: int) -> tuple[int, int]:
    return math.floor(length / multiple) * multiple, math.ceil(length / multiple) * multiple


def _aspect_error(size: Size, wanted: Size) -> float:
    """How many times too wide or too high `size` is; 1 if it has the shape of `wanted`."""
    ratio = size.width * wanted.height / (size.height * wanted.width)
    return max(ratio, 1 / ratio)


def _not_too_narrow(size: Size, area: int, limits: Limits) -> Size:
    """`size`, or the narrowest legal size where it is narrower."""
    least = limits.min_side
    longest = _floor(area // least, limits.size_multiple)
    if size.width < least:
        return Size(least, longest)
    if size.height < least:
        return Size(longest, least)
    return size


def _largest(limits: Limits) -> Size:
    """The largest legal size that is nearly 16:9."""
    return best_size(Size(16, 9), limits.max_area, limits)
